"""Catalog: the tables by name, for whoever asks in SQL."""

import hashlib
from datetime import date
from typing import Any

import dagster as dg

from forecast_assets.metadata import OWNERS, listed
from forecast_assets.settings import Settings
from forecast_assets.tables import lake_tables
from resources import aws
from resources.catalog import register, unlisted, views
from resources.lake import Lake

VIEWS = "catalog.sql"
"""The views of a lake on this machine, in the lake."""

_EXAMPLE = """select unique_id, ds, mean, "{low}", "{high}"
from forecast
where week = date '{week}'
order by unique_id, ds"""


@dg.asset(
    deps=["observations", "forecast", "forecast_accuracy", "forecast_changes"],
    description="The lake's tables by name, the same for DuckDB on one machine and for Athena on AWS.",
    group_name="serving",
    kinds={"sql"},
    owners=OWNERS,
    code_version="1",
)
def catalog(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Say which tables there are: to Glue, or in a file of views."""
    tables = lake_tables(settings.levels)
    if settings.compute == "aws":
        client = aws.client("glue", settings.region)
        done = register(client, settings.database, lake.uri, tables, progress=context.log.info)
        console = f"https://{settings.region}.console.aws.amazon.com/athena/home?region={settings.region}#/query-editor"
        where: dict[str, Any] = {
            "database": settings.database,
            "athena": dg.MetadataValue.url(console),
            "new": listed(done.new),
            "changed": listed(done.changed),
            "removed": listed(done.removed),
        }
    else:
        path = lake.write_bytes(VIEWS, _views(lake, settings))
        where = {"views": dg.MetadataValue.path(path)}
    example = dg.MetadataValue.md(f"```sql\n{_example(lake, settings)}\n```")
    return dg.MaterializeResult(metadata={"tables": listed(tables), "example": example, **where})


def catalog_lacks(lake: Lake, settings: Settings) -> str | None:
    """A digest of what the catalog should say, where it says something else; None where it says that, or no table is.

    A new week needs no word in the catalog. The first week of a table does, and so does a change of its columns.
    """
    if not lake.weeks("observations"):
        return None
    if settings.compute == "aws":
        wrong = unlisted(aws.client("glue", settings.region), settings.database, lake.uri, lake_tables(settings.levels))
        return hashlib.sha256(" ".join(wrong).encode()).hexdigest() if wrong else None
    wanted = _views(lake, settings)
    try:
        said = lake.read_bytes(VIEWS)
    except FileNotFoundError:
        said = b""
    return hashlib.sha256(wanted).hexdigest() if said != wanted else None


def _views(lake: Lake, settings: Settings) -> bytes:
    return f"-- duckdb -init {lake.where(VIEWS)}\n{views(lake, lake_tables(settings.levels))}\n".encode()


def _example(lake: Lake, settings: Settings) -> str:
    week: date = max(lake.weeks("forecast"), default=date(2023, 11, 10))
    level = f"{settings.levels[0]:g}"
    return _EXAMPLE.format(week=week, low=f"lo-{level}", high=f"hi-{level}")
