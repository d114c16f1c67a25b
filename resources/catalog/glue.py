"""Tables in the Glue catalog, as Athena reads them.

Weeks are projected, not registered: Athena computes the partitions from the table's own properties
(https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html), so it finds a week as soon as
its table is written, and no crawler or MSCK REPAIR has to run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.aws import asking, error_code
from resources.catalog.columns import FIRST_WEEK, PARTITION, Columns, Tables
from resources.catalog.errors import ForeignTableError

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

_TYPES = {"string": "string", "timestamp": "timestamp", "double": "double", "int": "bigint", "bool": "boolean"}
_OWNER = "forecast.lake"
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
_LONGEST_COMMENT = 255


@dataclass(frozen=True)
class Registered:
    """What became of the tables of a lake in a database.

    Attributes:
        new: Those that were not there.
        changed: Those that were there otherwise.
        removed: Those that the lake no longer has.
        same: All others.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    same: tuple[str, ...]


def table_inputs(uri: str, tables: Tables) -> dict[str, dict[str, Any]]:
    """The definition of every table, as Glue takes it.

    Args:
        uri: Of the lake, `s3://bucket/prefix`.
        tables: The columns of each table.
    """
    return {name: _table_input(uri.rstrip("/"), name, columns) for name, columns in tables.items()}


def register(
    client: "GlueClient", database: str, uri: str, tables: Tables, *, progress: Callable[[str], None]
) -> Registered:
    """Make a database say what tables a lake has; again and again if need be.

    Args:
        client: Of Glue.
        database: It is made where it is missing.
        uri: Of the lake, `s3://bucket/prefix`.
        tables: The columns of each table.
        progress: Is told what changes.

    Raises:
        ForeignTableError: A table of that name is not of this lake; nothing was changed.
        AwsAccessError: Glue refuses.
    """
    with asking(f"register tables in the Glue database {database}"):
        _make_database(client, database)
        found = {table["Name"]: table for table in _tables(client, database)}
        for name in tables:
            owner = found[name].get("Parameters", {}).get(_OWNER) if name in found else uri
            if owner != uri:
                raise ForeignTableError(database, name, owner)
        wanted = table_inputs(uri, tables)
        new = tuple(name for name in wanted if name not in found)
        changed = tuple(name for name in wanted if name in found and not _says(found[name], wanted[name]))
        removed = tuple(
            name
            for name, table in found.items()
            if name not in wanted and table.get("Parameters", {}).get(_OWNER) == uri
        )
        for name in new:
            progress(f"registering {database}.{name}")
            _create(client, database, wanted[name])
        for name in changed:
            progress(f"registering {database}.{name} anew")
            client.update_table(DatabaseName=database, TableInput=wanted[name], SkipArchive=True)  # type: ignore[arg-type]
        for name in removed:
            progress(f"removing {database}.{name}, which the lake no longer has")
            client.delete_table(DatabaseName=database, Name=name)
    return Registered(new, changed, removed, tuple(name for name in wanted if name not in {*new, *changed}))


def unlisted(client: "GlueClient", database: str, uri: str, tables: Tables) -> list[str]:
    """The tables of a lake that a database does not have, or has otherwise.

    Raises:
        AwsAccessError: Glue refuses.
    """
    with asking(f"look at the tables in the Glue database {database}"):
        try:
            found = {table["Name"]: table for table in _tables(client, database)}
        except client.exceptions.EntityNotFoundException:
            found = {}
    return [name for name, table in table_inputs(uri, tables).items() if not _says(found.get(name), table)]


def _table_input(uri: str, name: str, columns: Columns) -> dict[str, Any]:
    location = f"{uri}/{name}"
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            _OWNER: uri,
            "projection.enabled": "true",
            f"projection.{PARTITION}.type": "date",
            f"projection.{PARTITION}.format": "yyyy-MM-dd",
            f"projection.{PARTITION}.range": f"{FIRST_WEEK},NOW",
            f"projection.{PARTITION}.interval": "7",
            f"projection.{PARTITION}.interval.unit": "DAYS",
            "storage.location.template": f"{location}/{PARTITION}=${{{PARTITION}}}/",
        },
        "PartitionKeys": [{"Name": PARTITION, "Type": "date", "Comment": "Week, named by its Friday"}],
        "StorageDescriptor": {
            "Columns": [
                {"Name": column, "Type": _TYPES[kind], "Comment": text[:_LONGEST_COMMENT]}
                for column, (kind, text) in columns.items()
            ],
            "Location": f"{location}/",
            "InputFormat": f"{_PARQUET}.MapredParquetInputFormat",
            "OutputFormat": f"{_PARQUET}.MapredParquetOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": f"{_PARQUET}.serde.ParquetHiveSerDe",
                "Parameters": {"serialization.format": "1"},
            },
        },
    }


def _make_database(client: "GlueClient", database: str) -> None:
    try:
        client.get_database(Name=database)
    except client.exceptions.EntityNotFoundException:
        _unless_it_exists(lambda: client.create_database(DatabaseInput={"Name": database}))


def _create(client: "GlueClient", database: str, table: Mapping[str, Any]) -> None:
    """Create a table, unless another process was first: then it is the same one, or the next time tells."""
    _unless_it_exists(lambda: client.create_table(DatabaseName=database, TableInput=table))  # type: ignore[arg-type]


def _unless_it_exists(create: Callable[[], object]) -> None:
    from botocore.exceptions import ClientError

    try:
        create()
    except ClientError as error:
        if error_code(error) != "AlreadyExistsException":
            raise


def _tables(client: "GlueClient", database: str) -> Iterator[Mapping[str, Any]]:
    for page in client.get_paginator("get_tables").paginate(DatabaseName=database):
        yield from page["TableList"]


def _says(found: object, wanted: object) -> bool:
    """Whether what Glue has holds all that is wanted; it adds defaults of its own."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_says(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_says(*pair) for pair in zip(found, wanted, strict=True))
        )
    return found == wanted
