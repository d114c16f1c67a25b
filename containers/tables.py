"""Tables in and out of a container: Parquet files of a channel, in archives of other jobs too, and their checksums."""

import gzip
import hashlib
import io
import tarfile
import zlib
from pathlib import Path

import pandas as pd
import pyarrow as pa

from containers.contract import ContractError


class TableError(ContractError):
    """A channel holds no usable table."""


def read_table(folder: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """All Parquet files directly in a folder as one frame, in the order of their names, with the columns asked for.

    Raises:
        TableError: There is no file, a file cannot be read, or a column is missing.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise TableError(f"no Parquet file in {folder}")
    return pd.concat([_read(str(file), file, columns) for file in files], ignore_index=True)


def _read(where: str, file: Path | pa.BufferReader, columns: tuple[str, ...] | None) -> pd.DataFrame:
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise TableError(f"{where} is not a Parquet file: {error}") from error
    if columns is None:
        return table
    missing = [column for column in columns if column not in table]
    if missing:
        raise TableError(f"{where} lacks the columns {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    return table[list(columns)]


def read_archive(path: Path, *, limit_bytes: int = 256_000_000) -> dict[str, bytes]:
    """The files in the `.tar.gz` that another job left, by name; nothing is written to disk.

    Raises:
        TableError: It is missing or damaged, or unpacks to more than the limit.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise TableError(f"{path} unpacks to more than {limit_bytes} bytes")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            opened = {one.name.removeprefix("./"): archive.extractfile(one) for one in archive if one.isreg()}
            return {name: file.read() for name, file in opened.items() if file is not None}
    except (OSError, tarfile.TarError, EOFError, ValueError, zlib.error, RecursionError) as error:
        raise TableError(f"{path} is not an archive of a job: {error}") from error


def archived_table(files: dict[str, bytes], name: str, columns: tuple[str, ...] | None = None) -> pd.DataFrame:
    """A Parquet file of an archive, with the columns asked for, or all of them.

    Raises:
        TableError: There is no such file, it cannot be read, or a column is missing.
    """
    if name not in files:
        raise TableError(f"the archive lacks {name}; it has {', '.join(sorted(files)) or 'nothing'}")
    return _read(name, pa.BufferReader(files[name]), columns)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a Parquet file whole or not at all: a stop in the middle leaves the former state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    table.to_parquet(unfinished, index=False)
    unfinished.replace(path)


def content_digest(*tables: pd.DataFrame) -> str:
    """SHA-256 of what the tables say, whatever the file format makes of it.

    Column names, then values: floats by their shortest exact text, dates in ISO form, rows in the order given.
    """
    digest = hashlib.sha256()
    for table in tables:
        digest.update(table.to_csv(index=False, date_format="%Y-%m-%d", lineterminator="\n").encode())
        digest.update(b"\0")
    return digest.hexdigest()
