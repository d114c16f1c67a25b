"""What goes, and how old things are."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from resources.clock import Clock


@dataclass(frozen=True)
class Removal:
    """Something that is kept no longer.

    Attributes:
        kind: What it is one of, in the plural: `runs`, `models`.
        name: Which.
        size_bytes: What it takes on this machine; 0 where that is not known.
        remove: Removes it. What is gone already is no error.
    """

    kind: str
    name: str
    size_bytes: int
    remove: Callable[[], None]


class Ages:
    """How old things are by the platform's clock, from the real times at which they were made.

    Args:
        clock: The platform's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._now = clock, clock.now()

    def exceeds(self, made: datetime | float, weeks: float) -> bool:
        """Whether something was made more than so many weeks ago; a number is of seconds since 1970."""
        moment = made if isinstance(made, datetime) else datetime.fromtimestamp(made, UTC)
        return self._clock.at(moment) < self._now - timedelta(weeks=weeks)


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder; 0 where nothing is. Links are not followed."""
    return sum(found.size for found in files_below(path))


def newest_change(path: Path) -> float | None:
    """When a file, or the last of the files below a folder, was written, in seconds since 1970; None without any."""
    return max((found.written for found in files_below(path)), default=None)


@dataclass(frozen=True)
class _File:
    size: int
    written: float


def files_below(path: Path) -> Iterator[_File]:
    """Size and time of every file; those that vanish meanwhile are left out."""
    for file in [path] if path.is_file() else path.rglob("*"):
        try:
            if not file.is_symlink() and file.is_file():
                found = file.stat()
                yield _File(found.st_size, found.st_mtime)
        except FileNotFoundError:
            continue


def discard(path: Path) -> None:
    """Remove a folder under another name: nobody finds half of it, and what a kill leaves is swept with the lake."""
    gone = path.with_name(f".gone-{uuid.uuid4().hex}")
    try:
        path.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)
