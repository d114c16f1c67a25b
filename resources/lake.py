"""The lake: Parquet under one URI, one path per table and week, plus the bytes that tables refer to.

    <lake>/lake.json                              real or simulated, for ever
    <lake>/<table>/week=2023-11-10/data.parquet   a table of a week
    <lake>/blobs/<sha256>                         releases as published
    <lake>/jobs/<job>/...                         what SageMaker jobs read and write

Every file is written under a temporary name and moved into place, so that a reader sees the old table or the new one.
What a killed process leaves under a temporary name is swept away later. DuckDB and Athena read the same layout.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import unquote, urlsplit

import dagster as dg
import pandas as pd

Kind = Literal["real", "simulated"]

# What every writer below a lake, the control plane included, calls what it has not finished.
_UNFINISHED = re.compile(r"\..*[0-9a-f]{32}")
_ABANDONED_S = 86_400.0

_REMEDIES = {
    errno.ENOSPC: "free space on its volume",
    errno.EDQUOT: "free space within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.EROFS: "give this user the right to write there",
}


class LakeError(Exception):
    """The lake cannot do what was asked."""


class UnsupportedLakeError(LakeError):
    """The URI names a kind of lake that this version cannot read or write."""

    def __init__(self, uri: str):
        super().__init__(f"lake_uri {uri!r} is not supported: give a folder or file:///path")


class MissingTableError(LakeError):
    """A table has no such week."""

    def __init__(self, table: str, week: date, *, remedy: str | None = None):
        self.table, self.week = table, week
        remedy = remedy or f"materialize the asset that makes it, or run `forecast refresh --week {week}`"
        super().__init__(f"the lake has no {table} of week {week}: {remedy}")


class MixedLakeError(LakeError):
    """Simulated figures were about to enter a lake of real ones, or the reverse."""

    def __init__(self, uri: str, *, held: str, offered: str):
        self.held, self.offered = held, offered
        super().__init__(
            f"the lake at {uri} holds {held} figures and these are {offered}: a lake is one or the other for ever; "
            "set FORECAST_LAKE_URI to a new folder for them"
        )


class LakeWriteError(LakeError):
    """A file of the lake could not be written.

    Attributes:
        path: The file. What was there before is there still.
        reason: What the system said.
    """

    def __init__(self, path: Path, error: OSError):
        self.path, self.reason = path, os.strerror(error.errno) if error.errno else str(error)
        remedy = _REMEDIES.get(error.errno or 0, "mend that")
        super().__init__(
            f"cannot write {path}: {self.reason}. Nothing is half-written; {remedy}, then run `forecast refresh` again"
        )


class DamagedTableError(LakeError):
    """A file of the lake is there and is not what was written.

    Attributes:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str, *, remedy: str):
        self.path, self.reason = path, reason
        super().__init__(f"{path} is damaged ({reason}): {remedy}")


class Lake(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tables by week under one URI.

    Attributes:
        uri: A folder (relative to the working directory, or absolute) or `file:///path`.
    """

    uri: str

    @property
    def root(self) -> Path:
        """The lake's folder.

        Raises:
            UnsupportedLakeError: The URI is not of this machine's file system.
        """
        parts = urlsplit(self.uri)
        if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
            return Path(unquote(parts.path))
        if parts.scheme:
            raise UnsupportedLakeError(self.uri)
        return Path(self.uri).resolve()

    # -- what kind of figures it holds ---------------------------------------------------------------------------

    @property
    def kind(self) -> Kind | None:
        """Whether the lake holds real or simulated figures; None while it is empty.

        Raises:
            DamagedTableError: `lake.json` says neither.
        """
        path = self.root / "lake.json"
        try:
            held = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            held = error
        if not isinstance(held, dict) or held.get("figures") not in ("real", "simulated"):
            content = '{"figures": "real", "layout": 1}'
            remedy = f"write {content} into it, or simulated for real where its figures are"
            raise DamagedTableError(path, "it says neither real nor simulated", remedy=remedy)
        return cast(Kind, held["figures"])

    def claim(self, kind: Kind) -> None:
        """Make the lake one of real or of simulated figures, or confirm that it is.

        Raises:
            MixedLakeError: It is of the other kind.
            LakeWriteError: The folder cannot be written to.
        """
        path = self.root / "lake.json"
        with _temporary(path) as temporary:
            temporary.write_text(json.dumps({"figures": kind, "layout": 1}) + "\n")
            try:
                # A hard link fails where the name exists: of two first writers one wins, the other meets its choice.
                os.link(temporary, path)
            except FileExistsError:
                held = self.kind
                if held != kind:
                    raise MixedLakeError(self.uri, held=str(held), offered=kind) from None

    # -- tables --------------------------------------------------------------------------------------------------

    def path(self, table: str, week: date) -> Path:
        """Where a table of a week is kept."""
        return self.root / table / f"week={week.isoformat()}" / "data.parquet"

    def has(self, table: str, week: date) -> bool:
        """Whether a table of a week is there."""
        return self.path(table, week).is_file()

    def weeks(self, table: str) -> list[date]:
        """The weeks that a table has, in order.

        Raises:
            DamagedTableError: A folder is named like one of a week, and is of none.
        """
        return sorted(_week_of(path.parent) for path in (self.root / table).glob("week=*/data.parquet"))

    def written_at(self, table: str, week: date) -> int | None:
        """When a table of a week was put in place, in nanoseconds since 1970; None where it is not there."""
        try:
            return self.path(table, week).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def read(self, table: str, week: date) -> pd.DataFrame:
        """A table of a week.

        Raises:
            MissingTableError: It is not there.
            DamagedTableError: It is there and cannot be read.
        """
        path = self.path(table, week)
        try:
            return pd.read_parquet(path, partitioning=None)
        except FileNotFoundError:
            raise MissingTableError(table, week) from None
        except (OSError, ValueError, NotImplementedError) as error:  # what pyarrow's errors derive from
            remedy = f"delete it and run `forecast refresh --week {week} --force`"
            raise DamagedTableError(path, _first_line(error), remedy=remedy) from None

    def write(self, table: str, week: date, frame: pd.DataFrame) -> Path:
        """Put a table of a week in place of the one that is there, at once or not at all; raises `LakeWriteError`."""
        path = self.path(table, week)
        with self.replacing(path) as temporary:
            _canonical(frame).to_parquet(temporary, index=False)
        return path

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A temporary file that takes the place of a path when the block ends well, and vanishes when it does not.

        Raises:
            LakeWriteError: The system refused; the path is as it was.
        """
        with _temporary(path) as temporary:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # durable before it is visible
            temporary.replace(path)

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

    # -- bytes ---------------------------------------------------------------------------------------------------

    def put_blob(self, content: bytes) -> str:
        """Keep bytes under their checksum, once; gives the SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        if not self._blob(digest).is_file():
            self.write_bytes(f"blobs/{digest}", content)
        return digest

    def blob(self, digest: str) -> bytes:
        """The bytes of a checksum.

        Raises:
            LakeError: They are gone, or are no longer what was stored.
        """
        try:
            content = self._blob(digest).read_bytes()
        except FileNotFoundError:
            raise LakeError(f"the lake at {self.uri} has lost blob {digest}: refresh the week with --force") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise LakeError(f"blob {digest} in the lake at {self.uri} was changed: delete it and refresh with --force")
        return content

    def write_bytes(self, key: str, content: bytes) -> Path:
        """Write bytes under a path relative to the lake, at once or not at all."""
        path = self.root / key
        with self.replacing(path) as temporary:
            temporary.write_bytes(content)
        return path

    def _blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest


def content_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's columns, types and values in their order, whatever the bytes of its file.

    A column `seconds` does not count: it measures the run that made the table, and differs where nothing else does.
    """
    frame = _canonical(frame.drop(columns="seconds", errors="ignore"))
    digest = hashlib.sha256(json.dumps([(str(c), str(t)) for c, t in frame.dtypes.items()]).encode())
    hashes: Any = pd.util.hash_pandas_object(frame, index=False)
    digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()


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


def _week_of(folder: Path) -> date:
    try:
        return date.fromisoformat(folder.name.removeprefix("week="))
    except ValueError:
        raise DamagedTableError(folder, "its name holds no date", remedy="move it out of the lake") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Times in microseconds: what is read is what was written, whatever unit a library made them in."""
    times = frame.select_dtypes(["datetime", "datetimetz"]).columns
    return frame.assign(**{str(name): frame[name].dt.as_unit("us") for name in times})
