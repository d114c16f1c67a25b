"""The lake: Parquet under one URI, one path per table and week, plus the bytes that tables refer to.

    <lake>/lake.json                              real or simulated, for ever
    <lake>/<table>/week=2023-11-10/data.parquet   a table of a week
    <lake>/blobs/<sha256>                         releases as published
    <lake>/jobs/<job>/...                         what SageMaker jobs read and write

Every file is written under a temporary name and moved into place, so that a reader sees the old table or the new one.
DuckDB and Athena read the same layout.
"""

import hashlib
import json
import os
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
        """Whether the lake holds real or simulated figures; None while it is empty."""
        try:
            return cast(Kind, json.loads((self.root / "lake.json").read_text())["figures"])
        except FileNotFoundError:
            return None

    def claim(self, kind: Kind) -> None:
        """Make the lake one of real or of simulated figures, or confirm that it is.

        Raises:
            MixedLakeError: It is of the other kind.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".lake.json.{uuid.uuid4().hex}"
        temporary.write_text(json.dumps({"figures": kind, "layout": 1}) + "\n")
        try:
            # A hard link fails where the name exists: of two first writers one wins, and the other meets its choice.
            os.link(temporary, self.root / "lake.json")
        except FileExistsError:
            held = self.kind
            if held != kind:
                raise MixedLakeError(self.uri, held=str(held), offered=kind) from None
        finally:
            temporary.unlink()

    # -- tables --------------------------------------------------------------------------------------------------

    def path(self, table: str, week: date) -> Path:
        """Where a table of a week is kept."""
        return self.root / table / f"week={week.isoformat()}" / "data.parquet"

    def has(self, table: str, week: date) -> bool:
        """Whether a table of a week is there."""
        return self.path(table, week).is_file()

    def weeks(self, table: str) -> list[date]:
        """The weeks that a table has, in order."""
        found = (self.root / table).glob("week=*/data.parquet")
        return sorted(date.fromisoformat(path.parent.name.removeprefix("week=")) for path in found)

    def read(self, table: str, week: date) -> pd.DataFrame:
        """A table of a week.

        Raises:
            MissingTableError: It is not there.
        """
        try:
            return pd.read_parquet(self.path(table, week), partitioning=None)
        except FileNotFoundError:
            raise MissingTableError(table, week) from None

    def write(self, table: str, week: date, frame: pd.DataFrame) -> Path:
        """Put a table of a week in place of the one that is there, at once or not at all."""
        path = self.path(table, week)
        with self.replacing(path) as temporary:
            _canonical(frame).to_parquet(temporary, index=False)
        return path

    @contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A temporary file that takes the place of a path when the block ends well, and vanishes when it does not."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())  # durable before it is visible
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

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


def _canonical(frame: pd.DataFrame) -> pd.DataFrame:
    """Times in microseconds: what is read is what was written, whatever unit a library made them in."""
    times = frame.select_dtypes(["datetime", "datetimetz"]).columns
    return frame.assign(**{str(name): frame[name].dt.as_unit("us") for name in times})
