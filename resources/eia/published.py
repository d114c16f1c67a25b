"""What a source hands over: a release as published, and the two short answers."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

ReleaseFormat = Literal["xls", "csv", "json"]
SourceKind = Literal["live", "api", "file", "sample"]

# First bytes of a simulated release, wherever it is found.
SIMULATED = b"# SIMULATED"


@dataclass(frozen=True)
class Validators:
    """What makes the next request conditional (RFC 9110, section 13)."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Published:
    """One release of one series, byte for byte.

    Attributes:
        unique_id: The EIA series.
        content: The bytes as published. From the API: its rows, all pages merged into one canonical JSON document.
        format: How to read them.
        source: Where they came from. A simulated release is `sample` even when it was read from a file.
        url: The address, without secrets.
        fetched_at: When, an aware time.
        etag: The server's validator, if it gave one.
        last_modified: The server's other validator, if it gave one.
    """

    unique_id: str
    content: bytes
    format: ReleaseFormat
    source: SourceKind
    url: str
    fetched_at: datetime
    etag: str | None = None
    last_modified: str | None = None

    @property
    def sha256(self) -> str:
        """Checksum of the bytes, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def validators(self) -> Validators:
        """What to send to learn whether this release is still the newest."""
        return Validators(self.etag, self.last_modified)


@dataclass(frozen=True)
class NotModified:
    """The source still has what the validators stand for."""

    url: str


@dataclass(frozen=True)
class Newest:
    """The newest week a source has of a series, and what makes the next question conditional."""

    week: date
    validators: Validators = Validators()


class Source(Protocol):
    """A place that has releases."""

    @property
    def now(self) -> Callable[[], datetime]:
        """The clock; its times are aware."""
        ...

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The newest release of a series, or `NotModified` where it is the one the validators stand for."""
        ...

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The newest week of a series, asked as cheaply as the source allows."""
        ...
