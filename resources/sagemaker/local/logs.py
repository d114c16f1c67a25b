"""CloudWatch Logs as files: ``<root>/logs/<group>/<stream>.jsonl``, one event a line.

Standard library only: supervisors import this without the site packages.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

GROUPS = "/aws/sagemaker/"
LONGEST_EVENT_BYTES = 256 * 1024
_SUFFIX = ".jsonl"


class LogWriter:
    """Appends events to one stream, which exists from then on.

    Args:
        root: Folder of the whole twin.
        group: Of the stream.
        stream: Its name.
        room_bytes: After so many bytes another stream follows, of the same name and a number, as the instances of a
            serverless endpoint follow each other; all but the last two are removed. None: it never ends.
    """

    def __init__(self, root: Path, group: str, stream: str, *, room_bytes: int | None = None) -> None:
        self._path, self._room_bytes = stream_path(root, group, stream), room_bytes
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._torn, self._followers = False, 0

    def write(self, message: str) -> None:
        """Append one event, stamped now. CloudWatch takes no empty ones: nothing happens.

        What a full disk does not take is lost: a container must not wait for ever to be read, nor end for its log.
        """
        if message:
            now = int(time.time() * 1000)
            event = {"timestamp": now, "message": message, "ingestionTime": now}
            line = json.dumps(event).encode() + b"\n"
            with contextlib.suppress(OSError):
                self._torn = self._file.write(b"\n" * self._torn + line) < len(line)
                if self._room_bytes is not None and self._file.tell() >= self._room_bytes:
                    self._follow()

    def _follow(self) -> None:
        """Go on in the next stream, and remove the one before this."""
        following = self._numbered(self._followers + 1).open("ab", buffering=0)
        self._file.close()
        self._file, self._torn = following, False
        self._followers += 1
        if self._followers > 1:
            self._numbered(self._followers - 2).unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}-{number}{_SUFFIX}") if number else self._path

    def copy(self, output: IO[bytes]) -> Iterator[str]:
        """Append a process's output line by line until it ends, giving each line on."""
        while line := output.readline(LONGEST_EVENT_BYTES):
            message = line.decode(errors="replace").rstrip("\r\n")
            self.write(message)
            yield message


@dataclass(frozen=True)
class Stream:
    """A stream: its name, its file and when it began (seconds)."""

    name: str
    path: Path
    created: float


def stream_path(root: Path, group: str, stream: str) -> Path:
    """The file of a stream; ``group`` without the leading ``/aws/sagemaker/``."""
    return root / "logs" / group / f"{stream}{_SUFFIX}"


def groups(root: Path) -> list[str]:
    """The groups that have a stream, without the leading ``/aws/sagemaker/``."""
    top = root / "logs"
    return sorted({str(Path(folder).relative_to(top)) for folder in _group_folders(top)})


def _group_folders(top: Path) -> Iterator[Path]:
    for name in ("TrainingJobs", "ProcessingJobs", "TransformJobs"):
        if (top / name).is_dir():
            yield top / name
    if (top / "Endpoints").is_dir():
        yield from (top / "Endpoints").iterdir()


def streams(root: Path, group: str, prefix: str = "") -> list[Stream]:
    """The streams of a group whose name starts with ``prefix``, in the order of their names.

    Raises:
        FileNotFoundError: There is no such group.
    """
    home = root / "logs" / group
    if not home.is_dir():
        raise FileNotFoundError(group)
    found = []
    first, separator, _ = prefix.rpartition("/")
    for parent, _, files in os.walk(home / first if separator else home):
        for file in files:
            path = Path(parent, file)
            name = path.relative_to(home).as_posix().removesuffix(_SUFFIX)
            if name.startswith(prefix):
                found.append(Stream(name, path, _created(path)))
    return sorted(found, key=lambda stream: stream.name)


def _created(path: Path) -> float:
    first = next(events(path), None)
    return path.stat().st_mtime if first is None else first[1]["timestamp"] / 1000


def events(path: Path, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole events of a stream from a byte on, each with the byte at which the next one starts."""
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):  # still being written
                return
            start += len(line)
            with contextlib.suppress(ValueError):  # torn by a full disk
                yield start, json.loads(line)
