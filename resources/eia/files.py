"""Releases from files: an official workbook, a CSV `date,value`, or a folder of one file a series, here or on the web.

A folder holds `<SERIES>.csv` or `<SERIES>w.xls`. A single file must be the series': it is when its name begins with the
series' id, or when one series alone is configured and the name does not say another.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

import httpx

from resources.eia.errors import (
    EiaResponseError,
    EiaUnreachableError,
    ReleaseFormatError,
    ReleaseTooLargeError,
    SeriesMismatchError,
    SourceSpecError,
    UnknownSeriesError,
)
from resources.eia.fetch import LIMITS, Limits, download, scrub
from resources.eia.parse import newest_in_csv, parse
from resources.eia.published import SIMULATED, Newest, NotModified, Published, Validators

_ENDS_BYTES = 4096
_SERIES_NAME = re.compile(r"W[A-Z]{2}UP(US|_NUS_)2")
_FORMATS: dict[str, Literal["csv", "xls"]] = {".csv": "csv", ".xls": "xls"}


@dataclass(frozen=True)
class LocalFiles:
    """A file or a folder of this machine.

    Attributes:
        path: It.
        now: The clock.
        series: The configured series.
        limits: Bounds; only the size matters here.
    """

    path: Path
    now: Callable[[], datetime]
    series: tuple[str, ...] = ()
    limits: Limits = LIMITS

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The file of a series, or `NotModified` where its time of change and size are those of the validators.

        Raises:
            UnknownSeriesError: The folder has no file of the series.
            SeriesMismatchError: The file is another series'.
            ReleaseFormatError: The folder has two files of the series.
            ReleaseTooLargeError: The file is larger than the limit.
            EiaUnreachableError: The file cannot be read.
        """
        path = self._file(unique_id)
        tag = self._tag(path)
        if validators and validators.etag == tag:
            return NotModified(path.as_uri())
        try:
            content = path.read_bytes()
        except OSError as error:
            raise EiaUnreachableError(path.as_uri(), str(error)) from error
        return _published(unique_id, content, name=path.name, url=path.as_uri(), fetched_at=self.now(), etag=tag)

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The newest week of a series: of a CSV from its two ends alone.

        Raises:
            EiaError: As `published` and `parse`.
        """
        path = self._file(unique_id)
        tag = self._tag(path)
        if validators and validators.etag == tag:
            return NotModified(path.as_uri())
        if _FORMATS[path.suffix.lower()] == "xls":
            return _newest(self.published(unique_id))
        try:
            with path.open("rb") as file:
                head = file.read(_ENDS_BYTES)
                file.seek(max(path.stat().st_size - _ENDS_BYTES, 0))
                tail = file.read(_ENDS_BYTES)
        except OSError as error:
            raise EiaUnreachableError(path.as_uri(), str(error)) from error
        return Newest(newest_in_csv(head, tail, unique_id=unique_id), Validators(etag=tag))

    def _file(self, unique_id: str) -> Path:
        if self.path.is_dir():
            there = [path for name in _names(unique_id) if (path := self.path / name).is_file()]
            if not there:
                raise UnknownSeriesError(unique_id, f"{self.path.as_uri()} (as {' or '.join(_names(unique_id))})")
            if len(there) > 1:
                raise ReleaseFormatError(unique_id, self.path.as_uri(), f"both {' and '.join(_names(unique_id))}")
            return there[0]
        _check_name(self.path.name, unique_id, series=self.series)
        return self.path

    def _tag(self, path: Path) -> str:
        try:
            state = path.stat()
        except OSError as error:
            raise EiaUnreachableError(path.as_uri(), str(error)) from error
        if state.st_size > self.limits.max_bytes:
            raise ReleaseTooLargeError(path.as_uri(), self.limits.max_bytes)
        return f'"{state.st_mtime_ns:x}-{state.st_size:x}"'


@dataclass(frozen=True)
class RemoteFiles:
    """A file or a folder behind http or https.

    Attributes:
        url: It; a folder unless it ends in .csv or .xls. A query, such as a signature, is kept for every file.
        now: The clock.
        series: The configured series.
        limits: Bounds of a download.
    """

    url: str
    now: Callable[[], datetime]
    series: tuple[str, ...] = ()
    limits: Limits = LIMITS

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The file of a series, or `NotModified`.

        Raises:
            UnknownSeriesError: No file of the series is there.
            SeriesMismatchError: The file is another series'.
            EiaResponseError: The server refuses.
            EiaUnreachableError: Nobody answered.
            ReleaseTooLargeError: The file is larger than the limit.
        """
        urls = self._urls(unique_id)
        for url in urls:
            try:
                got = download(url, validators=validators, limits=self.limits)
            except EiaResponseError as error:
                if error.status == 404:
                    continue
                raise
            if isinstance(got, NotModified):
                return got
            return _published(
                unique_id,
                got.content,
                name=PurePosixPath(urlsplit(url).path).name,
                url=got.url,
                fetched_at=self.now(),
                etag=got.etag,
                last_modified=got.last_modified,
            )
        raise UnknownSeriesError(unique_id, " or ".join(map(scrub, urls)))

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The newest week of a series: one conditional download.

        Raises:
            EiaError: As `published` and `parse`.
        """
        return _newest(self.published(unique_id, validators=validators))

    def _urls(self, unique_id: str) -> list[str]:
        parts = urlsplit(self.url)
        path = PurePosixPath(parts.path)
        if path.suffix.lower() in _FORMATS:
            _check_name(path.name, unique_id, series=self.series)
            return [self.url]
        folder = parts.path.rstrip("/")
        return [urlunsplit(parts._replace(path=f"{folder}/{name}")) for name in _names(unique_id)]


def open_files(
    spec: str, *, now: Callable[[], datetime], series: tuple[str, ...] = (), limits: Limits = LIMITS
) -> LocalFiles | RemoteFiles:
    """The files a path or address names.

    Raises:
        SourceSpecError: It names none: an unknown scheme, a path that does not exist, a file of another type.
    """
    try:
        parts = urlsplit(spec)
        remote = httpx.URL(spec) if parts.scheme in {"http", "https"} else None
    except (ValueError, httpx.InvalidURL) as error:
        # It may be an unusual password that makes it none; what stands behind the colon may quote that.
        shown = scrub(re.sub(r"(?<=//).*@", "***@", spec))
        raise SourceSpecError(shown, f"no address: {str(error).partition(':')[0]}") from None
    if remote is not None:
        if not remote.host:
            raise SourceSpecError(scrub(spec), "the address has no host")
        return RemoteFiles(spec, now=now, series=series, limits=limits)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise SourceSpecError(spec, f"a file:// address has three slashes, {parts.netloc!r} is read as a host")
        path = Path(url2pathname(parts.path)).absolute()
    elif "://" in spec:
        raise SourceSpecError(scrub(spec), f"{parts.scheme}:// is not supported")
    else:
        path = Path(spec).expanduser().absolute()
    if not path.exists():
        raise SourceSpecError(spec, f"there is no file or folder {path}")
    if path.is_file() and path.suffix.lower() not in _FORMATS:
        raise SourceSpecError(spec, f"{path.name} is neither .csv nor .xls")
    return LocalFiles(path, now=now, series=series, limits=limits)


def _names(unique_id: str) -> tuple[str, str]:
    return f"{unique_id}.csv", f"{unique_id}w.xls"


def _check_name(name: str, unique_id: str, *, series: tuple[str, ...]) -> None:
    if name.upper().startswith(unique_id):
        return
    if series not in {(), (unique_id,)} or _SERIES_NAME.match(name.upper()):
        raise SeriesMismatchError(unique_id, f"what {name} is by its name (a single file serves one series)")


def _published(
    unique_id: str,
    content: bytes,
    *,
    name: str,
    url: str,
    fetched_at: datetime,
    etag: str | None,
    last_modified: str | None = None,
) -> Published:
    return Published(
        unique_id=unique_id,
        content=content,
        format=_FORMATS[PurePosixPath(name).suffix.lower()],
        source="sample" if content.startswith(SIMULATED) else "file",
        url=url,
        fetched_at=fetched_at,
        etag=etag,
        last_modified=last_modified,
    )


def _newest(got: Published | NotModified) -> Newest | NotModified:
    if isinstance(got, NotModified):
        return got
    return Newest(parse(got)["ds"].max().date(), got.validators)
