"""Tables in and out of a container: Parquet files of a channel, and their checksums."""

import hashlib
from pathlib import Path

import pandas as pd

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
    return pd.concat([_read(file, columns) for file in files], ignore_index=True)


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise TableError(f"{path} is not a Parquet file: {error}") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise TableError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    return table[list(columns)]


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
