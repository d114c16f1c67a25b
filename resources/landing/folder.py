"""A folder of this machine where files land.

A file is taken once it has not changed between two looks: whoever writes slowly writes under a temporary name and
renames. What is taken stays where it is, and is taken again when it changes; what is refused moves to `rejected/`.
"""

import contextlib
import errno
import filecmp
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from resources.eia.errors import ReleaseTooLargeError
from resources.eia.fetch import LIMITS, Limits
from resources.landing.arrival import LOOK_S, Arrival, Brought, is_for_others
from resources.landing.errors import LandingPlaceError, LandingReadError, LandingRefusedError

REJECTED = "rejected"


class WatchedFolder:
    """A folder that is looked at again and again.

    Args:
        path: It; what lies in folders below is left alone.
        cursor: What the look before said, if there was one.
        limits: Bounds; only the size matters here.
    """

    def __init__(self, path: Path, *, cursor: str | None = None, limits: Limits = LIMITS) -> None:
        self.path, self.limits = path, limits
        self._before, self._now = _loaded(cursor), dict[str, tuple[str, bool]]()

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.path)

    @property
    def cursor(self) -> str:
        """The files that are there, each with its state and whether it is settled."""
        return json.dumps(self._now, separators=(",", ":"))

    def arrivals(self) -> Iterator[Arrival]:
        """The files that have not changed since the last look and are not settled, the oldest first, for 20 s.

        Raises:
            LandingPlaceError: The folder cannot be listed.
        """
        end = time.monotonic() + LOOK_S
        for name, state in self._listed():
            if self._before.get(name) == (state, True):
                self._now[name] = (state, True)
                continue
            self._now[name] = (state, False)
            if self._before.get(name) == (state, False) and time.monotonic() < end:
                yield FolderArrival(self, name, state)

    def settle(self, name: str, state: str) -> None:
        """A file need not come again until it changes."""
        self._now[name] = (state, True)

    def forget(self, name: str) -> None:
        """A file is here no more."""
        self._now.pop(name, None)

    def _listed(self) -> list[tuple[str, str]]:
        found = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.name == REJECTED or is_for_others(entry.name) or entry.is_dir(follow_symlinks=False):
                        continue
                    with contextlib.suppress(FileNotFoundError):  # it has been taken away meanwhile
                        state = entry.stat(follow_symlinks=False)
                        found.append((state.st_mtime_ns, entry.name, _state(state)))
        except OSError as error:
            raise LandingPlaceError(str(self.path), str(error)) from error
        return [(name, state) for _, name, state in sorted(found)]


@dataclass(frozen=True)
class FolderArrival:
    """A file in a watched folder."""

    folder: WatchedFolder
    name: str
    state: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder.path / self.name

    @property
    def url(self) -> str:
        """Its address."""
        return self.path.as_uri()

    @property
    def aside(self) -> str:
        """The folder of what is refused."""
        return str(self.folder.path / REJECTED)

    def read(self) -> Brought | None:
        """The file, if it is as it was at the looks; no link is followed, and no pipe is waited for."""
        most = self.folder.limits.max_bytes
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(number, "rb") as file:  # noqa: PTH123 - a descriptor
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    raise LandingRefusedError(self.name, "it is no file")
                content = file.read(most + 1)
                found = os.fstat(number)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                raise LandingRefusedError(self.name, "it is a link, which is not followed, or no file") from error
            raise LandingReadError(self.url, str(error)) from error
        if len(content) > most:
            raise ReleaseTooLargeError(self.url, most)
        if _state(found) != self.state:
            return None
        return Brought(content, datetime.fromtimestamp(found.st_mtime, UTC))

    def settle(self) -> None:
        """Leave it where it is, until it changes."""
        self.folder.settle(self.name, self.state)

    def set_aside(self, reason: str, content: bytes | None) -> None:
        """Move it to `rejected/` with its reason beside it; where that cannot be, it stays and counts as seen."""
        del content  # the file itself moves
        target = self.folder.path / REJECTED / self.name
        try:
            target = _free(target, self.path)
            target.parent.mkdir(exist_ok=True)
            target.with_name(f"{target.name}.reason.txt").write_text(f"{reason}\n", errors="backslashreplace")
            self.path.rename(target)
        except OSError as error:
            self.settle()
            raise LandingReadError(self.url, f"it cannot be moved to {target} ({error})") from error
        self.folder.forget(self.name)


def _free(target: Path, path: Path) -> Path:
    """A name beside `target` that nothing has but the same bytes: what was set aside before is not overwritten."""
    name, number = target.name, 1
    while os.path.lexists(target) and not _equal(target, path):
        number += 1
        target = target.with_name(f"{number}-{name}")
    return target


def _equal(one: Path, other: Path) -> bool:
    plain = all(stat.S_ISREG(path.lstat().st_mode) for path in (one, other))
    return plain and filecmp.cmp(one, other, shallow=False)


def _state(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"


def _loaded(cursor: str | None) -> dict[str, tuple[str, bool]]:
    """The files of a cursor; of one that somebody has written by hand none, which only costs another look."""
    try:
        files = json.loads(cursor or "{}")
        return {str(name): (str(state), bool(settled)) for name, (state, settled) in files.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
