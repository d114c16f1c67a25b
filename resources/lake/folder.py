"""A lake in a folder of this machine.

Every file is written under a temporary name and moved into place. What a killed process leaves under a temporary name
is swept away later.
"""

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from urllib.parse import unquote

from resources.lake.errors import LakeWriteError

# What every writer below a lake, the control plane included, calls what it has not finished.
_UNFINISHED = re.compile(r"\..*[0-9a-f]{32}")
_ABANDONED_S = 86_400.0


class Folder:
    """Bytes by key, as files.

    Args:
        root: The folder; it is made with the first file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def where(self, key: str) -> str:
        """The path of a key."""
        return str(self.root / key)

    def uri(self, key: str) -> str:
        """The place of a key as a URI, readable: `week=`, not `week%3D`."""
        return unquote((self.root / key).as_uri())

    def read(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            OSError: There are none, or they cannot be read.
        """
        return (self.root / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Put bytes in place of what is there, at once or not at all.

        Raises:
            LakeWriteError: The system refused; the file is as it was.
        """
        with replacing(self.root / key) as temporary:
            temporary.write_bytes(content)

    def create(self, key: str, content: bytes) -> bool:
        """Put bytes where nothing is; False where something is.

        Raises:
            LakeWriteError: The system refused.
        """
        path = self.root / key
        with _temporary(path) as temporary:
            temporary.write_bytes(content)
            try:
                os.link(temporary, path)  # fails where the name exists: of two creators one wins
            except FileExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """Remove a file, and the folders that are empty without it; nothing happens where there is none.

        Raises:
            LakeWriteError: The system refused.
        """
        path = self.root / key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise LakeWriteError(path, error) from error
        for folder in path.parents:
            if folder == self.root:
                return
            try:
                folder.rmdir()
            except OSError:  # it holds something, or another one made it go
                return

    def written_at(self, key: str) -> int | None:
        """When a file was put in place, in nanoseconds since 1970; None where there is none."""
        try:
            return (self.root / key).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None

    def keys(self, folder: str) -> Iterator[str]:
        """Every key below a folder, in no particular order."""
        for path in (self.root / folder).rglob("*"):
            if path.is_file():
                yield path.relative_to(self.root).as_posix()

    def sweep(self, week: date | None = None, *, abandoned_s: float = _ABANDONED_S) -> int:
        """Remove what killed processes left unfinished; gives how many files and folders that were.

        Args:
            week: Of this week everything goes at once, so whoever says it must hold the week (`WeekLock`).
            abandoned_s: Elsewhere only what has not changed for so many seconds: somebody may be at work on the rest.
        """
        oldest, removed = time.time() - abandoned_s, 0
        for parent, folders, files in os.walk(self.root):
            for name in filter(_UNFINISHED.fullmatch, [*folders, *files]):
                path = Path(parent, name)
                with contextlib.suppress(OSError):  # it was finished meanwhile, or is not ours to remove
                    # The time of change, not of content: a folder that is being removed was renamed a moment ago.
                    if path.parent.name == f"week={week}" or path.lstat().st_ctime < oldest:
                        _remove(path)
                        removed += 1
            folders[:] = [name for name in folders if not _UNFINISHED.fullmatch(name)]
        return removed


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of a path when the block ends well, and vanishes when it does not.

    Raises:
        LakeWriteError: The system refused; the path is as it was.
    """
    with _temporary(path) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # durable before it is visible
        temporary.replace(path)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """The name of a file beside a path, gone after the block; what the system refuses gets the path's name."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except OSError as error:
        raise LakeWriteError(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the first error matters; what stays is swept
            temporary.unlink()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
