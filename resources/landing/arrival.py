"""What has landed, as it is before anybody has looked into it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

LOOK_S = 20.0
"""Seconds after which a look takes nothing more: Dagster ends a tick after a minute."""

# What programs call a file that they have not finished, or that is theirs alone.
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
_HIDDEN = (".", "_", "~")


@dataclass(frozen=True)
class Brought:
    """A file as it was read.

    Attributes:
        content: Its bytes.
        modified: When it was last changed, by the clock of the place; aware.
    """

    content: bytes
    modified: datetime


class Arrival(Protocol):
    """A file that has landed."""

    @property
    def name(self) -> str:
        """The name of the file, without folders."""

    @property
    def url(self) -> str:
        """Where it landed."""

    @property
    def aside(self) -> str:
        """Where it goes if it is refused, in words for people."""

    def read(self) -> Brought | None:
        """The file; None where it is changing, and has to be looked at again.

        Raises:
            FileNotFoundError: It is gone.
            LandingReadError: It cannot be read now.
            LandingRefusedError: It is no file.
            ReleaseTooLargeError: It is larger than the limit.
        """

    def settle(self) -> None:
        """It is safely kept, or there is nothing to keep: it need not come again."""

    def set_aside(self, reason: str, content: bytes | None) -> None:
        """It is refused: put it where it is in nobody's way, with the reason. It need not come again."""


class Place(Protocol):
    """Where files land."""

    @property
    def where(self) -> str:
        """The place in words for people."""

    @property
    def cursor(self) -> str | None:
        """What the next look has to know of this one."""

    def arrivals(self) -> Iterator[Arrival]:
        """What has landed and is not settled, while there is time.

        Raises:
            LandingPlaceError: The place cannot be looked at.
        """


def is_for_others(name: str) -> bool:
    """Whether a name says that a file is hidden, or not finished yet."""
    return name.startswith(_HIDDEN) or name.lower().endswith(_UNFINISHED)
