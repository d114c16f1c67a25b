"""Views over a lake in a folder, for DuckDB: named, typed and partitioned as Athena has the tables."""

import re

from resources.catalog.columns import PARTITION, Columns, Tables
from resources.lake import Lake

_TYPES = {"string": "varchar", "timestamp": "timestamp", "double": "double", "int": "bigint", "bool": "boolean"}


def views(lake: Lake, tables: Tables) -> str:
    """The statements that make a view of every table; a table that no week has yet is an empty one.

    Args:
        lake: In a folder.
        tables: The columns of each table.

    Raises:
        UnsupportedLakeError: The lake is elsewhere.
    """
    return "\n".join(_view(lake, name, columns) for name, columns in tables.items())


def _view(lake: Lake, name: str, columns: Columns) -> str:
    chosen = ", ".join(_as_said(column, kind) for column, (kind, _) in columns.items())
    # Columns that no file has, such as those of a new level, are there all the same.
    typed = ", ".join(f"cast(null as {_TYPES[kind]}) as {_quoted(column)}" for column, (kind, _) in columns.items())
    source = f"select {typed}, cast(null as date) as {PARTITION} where false"
    files = _glob(lake, name)
    if lake.weeks(name):
        source += (  # names are quoted
            f"\n  union all by name select * from read_parquet({files}, union_by_name = true, "  # noqa: S608
            f"hive_partitioning = true, hive_types = {{'{PARTITION}': date}})"
        )
    return f"create or replace view {_quoted(name)} as select {chosen}, {PARTITION} from (\n  {source}\n);"  # noqa: S608


def _as_said(column: str, kind: str) -> str:
    name = _quoted(column)
    if kind == "timestamp":  # one with a zone is UTC's, whatever the zone of the session
        return f"make_timestamp(epoch_us({name})) as {name}"
    return f"cast({name} as {_TYPES[kind]}) as {name}"


def _glob(lake: Lake, name: str) -> str:
    folder = re.sub(r"[\[*?]", r"[\g<0>]", str(lake.root / name))
    return "'" + f"{folder}/{PARTITION}=*/data.parquet".replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
