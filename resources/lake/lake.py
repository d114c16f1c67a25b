"""The lake: Parquet under one URI, one path per table and week, plus the bytes that tables refer to.

    <lake>/lake.json                              real or simulated, for ever
    <lake>/<table>/week=2023-11-10/data.parquet   a table of a week
    <lake>/blobs/<sha256>                         releases as published
    <lake>/landings/<series>/2023-11-10.json      which of them others have brought
    <lake>/jobs/<job>/...                         what SageMaker jobs read and write

A reader sees the old table or the new one, never a part. DuckDB and Athena read the same layout.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import unquote, urlsplit

import dagster as dg
import pandas as pd

from resources import parquet
from resources.lake.errors import (
    DamagedTableError,
    LakeError,
    MissingTableError,
    MixedLakeError,
    UnsupportedLakeError,
)
from resources.lake.folder import Folder
from resources.lake.presence import recognise
from resources.lake.storage import Storage

if TYPE_CHECKING:
    from resources.lake.s3 import Bucket

Kind = Literal["real", "simulated"]
T = TypeVar("T")
R = TypeVar("R")

_MARK = "lake.json"
_AT_ONCE = 10  # as many connections as boto3 keeps
_OF_A_WEEK = re.compile(r"(week=[^/]*)/data\.parquet")


class Lake(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tables by week under one URI.

    Attributes:
        uri: A folder (relative to the working directory, or absolute), `file:///path` or `s3://bucket/prefix`.
        region: Of the bucket, where it is one.
    """

    uri: str
    region: str = "us-east-1"

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Before a run works in a folder, see that it is the lake it was.

        Raises:
            LakeMissingError: It holds none, though runs before have worked in it.
        """
        if context.run is not None and context.instance is not None and self.folder is not None:
            recognise(context.instance, context.run, self.root, mark=_MARK)

    @property
    def storage(self) -> Storage:
        """Where its bytes are.

        Raises:
            UnsupportedLakeError: The URI is of no kind that can be read and written.
        """
        return _storage(self.uri, self.region)

    @property
    def folder(self) -> Folder | None:
        """Where its bytes are if that is on this machine."""
        storage = self.storage
        return storage if isinstance(storage, Folder) else None

    @property
    def root(self) -> Path:
        """The folder of a lake on this machine.

        Raises:
            UnsupportedLakeError: It is elsewhere.
        """
        if self.folder is None:
            raise UnsupportedLakeError(self.uri)
        return self.folder.root

    @property
    def bucket(self) -> "Bucket":
        """Where its bytes are if that is a bucket.

        Raises:
            UnsupportedLakeError: It is not.
        """
        storage = self.storage
        if isinstance(storage, Folder):
            raise UnsupportedLakeError(self.uri)
        return cast("Bucket", storage)

    @property
    def beside(self) -> Path:
        """The folder of this machine for what is about a lake and none of its tables, such as Dagster's history.

        It is the lake's own folder, or one below `.forecast/s3` that has the bucket's name and prefix.
        """
        if self.folder is not None:
            return self.folder.root
        parts = (part for part in (self.bucket.name, *self.bucket.prefix.split("/")) if part not in {"", ".", ".."})
        return Path(".forecast", "s3", *parts).resolve()

    def where(self, key: str) -> str:
        """What people call the place of a key: a path or a URI."""
        return self.storage.where(key)

    # -- what kind of figures it holds ---------------------------------------------------------------------------

    @property
    def kind(self) -> Kind | None:
        """Whether the lake holds real or simulated figures; None while it is empty.

        Raises:
            DamagedTableError: `lake.json` says neither.
        """
        try:
            held = json.loads(self.storage.read(_MARK))
        except FileNotFoundError:
            return None
        except ValueError as error:
            held = error
        if not isinstance(held, dict) or held.get("figures") not in ("real", "simulated"):
            content = '{"figures": "real", "layout": 1}'
            remedy = f"write {content} into it, or simulated for real where its figures are"
            raise DamagedTableError(self.where(_MARK), "it says neither real nor simulated", remedy=remedy)
        return cast(Kind, held["figures"])

    def claim(self, kind: Kind) -> None:
        """Make the lake one of real or of simulated figures, or confirm that it is.

        Raises:
            MixedLakeError: It is of the other kind.
            LakeWriteError: It cannot be written to.
        """
        # Of two first writers one wins, the other meets its choice.
        if not self.storage.create(_MARK, json.dumps({"figures": kind, "layout": 1}).encode() + b"\n"):
            held = self.kind
            if held != kind:
                raise MixedLakeError(self.uri, held=str(held), offered=kind)

    # -- tables --------------------------------------------------------------------------------------------------

    def key(self, table: str, week: date) -> str:
        """Where a table of a week is kept, relative to the lake."""
        return f"{table}/week={week.isoformat()}/data.parquet"

    def has(self, table: str, week: date) -> bool:
        """Whether a table of a week is there."""
        return self.written_at(table, week) is not None

    def weeks(self, table: str) -> list[date]:
        """The weeks that a table has, in order.

        Raises:
            DamagedTableError: A folder is named like one of a week, and is of none.
        """
        keys = (key.removeprefix(f"{table}/") for key in self.storage.keys(table))
        return sorted(self._week_of(table, found[1]) for key in keys if (found := _OF_A_WEEK.fullmatch(key)))

    def written_at(self, table: str, week: date) -> int | None:
        """When a table of a week was put in place, in nanoseconds since 1970; None where it is not there."""
        return self.storage.written_at(self.key(table, week))

    def written(self, tables: Iterable[str], week: date) -> dict[str, int | None]:
        """When tables of a week were put in place, as `written_at` says it, by name."""
        names = list(tables)
        return dict(zip(names, self._each(lambda name: self.written_at(name, week), names), strict=True))

    def read_weeks(self, table: str, weeks: Iterable[date]) -> list[pd.DataFrame]:
        """A table of several weeks, in their order; raises as `read` does."""
        return self._each(lambda week: self.read(table, week), list(weeks))

    def read(self, table: str, week: date) -> pd.DataFrame:
        """A table of a week.

        Raises:
            MissingTableError: It is not there.
            DamagedTableError: It is there and cannot be read.
        """
        key = self.key(table, week)
        try:
            return parquet.loaded(self.storage.read(key))
        except FileNotFoundError:
            raise MissingTableError(table, week) from None
        except (OSError, ValueError, NotImplementedError) as error:  # what pyarrow's errors derive from
            remedy = f"delete it and run `forecast refresh --week {week} --force`"
            raise DamagedTableError(self.where(key), _first_line(error), remedy=remedy) from None

    def write(self, table: str, week: date, frame: pd.DataFrame) -> str:
        """Put a table of a week in place of the one that is there, at once or not at all.

        Returns:
            Its URI.

        Raises:
            LakeWriteError: The system refused; the table is as it was.
        """
        key = self.key(table, week)
        self.storage.write(key, parquet.dumped(_canonical(frame)))
        return self.storage.uri(key)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def put_blob(self, content: bytes) -> str:
        """Keep bytes under their checksum, once; gives the SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        if self.storage.written_at(f"blobs/{digest}") is None:
            self.write_bytes(f"blobs/{digest}", content)
        return digest

    def blob(self, digest: str) -> bytes:
        """The bytes of a checksum.

        Raises:
            LakeError: They are gone, or are no longer what was stored.
        """
        try:
            content = self.read_bytes(f"blobs/{digest}")
        except FileNotFoundError:
            raise LakeError(f"the lake at {self.uri} has lost blob {digest}: refresh the week with --force") from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise LakeError(f"blob {digest} in the lake at {self.uri} was changed: delete it and refresh with --force")
        return content

    def read_bytes(self, key: str) -> bytes:
        """The bytes under a path relative to the lake.

        Raises:
            FileNotFoundError: There are none.
        """
        return self.storage.read(key)

    def write_bytes(self, key: str, content: bytes) -> str:
        """Write bytes under a path relative to the lake, at once or not at all; gives what people call the place."""
        self.storage.write(key, content)
        return self.where(key)

    def _each(self, ask: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """The answers to several questions, in their order; asked at once where each has to travel."""
        if self.folder is not None:
            return [ask(item) for item in items]
        first = [ask(item) for item in items[:1]]  # boto3 makes a client in one thread, and lends it to many
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return first + list(pool.map(ask, items[1:]))

    def _week_of(self, table: str, name: str) -> date:
        try:
            return date.fromisoformat(name.removeprefix("week="))
        except ValueError:
            where = self.where(f"{table}/{name}")
            raise DamagedTableError(where, "its name holds no date", remedy="move it out of the lake") from None


def _storage(uri: str, region: str) -> Storage:
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return _bucket(parts.netloc, unquote(parts.path).strip("/"), region)
    if parts.scheme:
        raise UnsupportedLakeError(uri)
    return Folder(Path(uri).resolve())


@functools.cache
def _bucket(name: str, prefix: str, region: str) -> Storage:
    from resources.lake.s3 import Bucket  # boto3 is imported where a lake needs it

    return Bucket(name, prefix=prefix, region=region)


def content_digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a table's columns, types and values in their order, whatever the bytes of its file.

    A column `seconds` does not count: it measures the run that made the table, and differs where nothing else does.
    """
    frame = _canonical(frame.drop(columns="seconds", errors="ignore"))
    digest = hashlib.sha256(json.dumps([(str(c), str(t)) for c, t in frame.dtypes.items()]).encode())
    hashes: Any = pd.util.hash_pandas_object(frame, index=False)
    digest.update(hashes.to_numpy().tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Times in microseconds: what is read is what was written, whatever unit a library made them in."""
    times = frame.select_dtypes(["datetime", "datetimetz"]).columns
    return frame.assign(**{str(name): frame[name].dt.as_unit("us") for name in times})
