"""The catalog: Glue knows the tables and projects the weeks; DuckDB's views say the same."""

import uuid
from datetime import date, timedelta
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import pandas as pd
import pytest

from forecast_assets.partitions import WEEKS as PARTITIONS
from forecast_assets.tables import lake_tables
from resources.aws import AwsAccessError, client
from resources.catalog import ForeignTableError, Registered, register, table_inputs, views
from resources.catalog.columns import FIRST_WEEK, PARTITION
from resources.lake import Lake, UnsupportedLakeError
from resources.lake.s3 import Bucket
from tests.refusing import refusing
from tests.s3 import REGION, S3, reached
from tests.tables import WEEKS, fill

TABLES = lake_tables((80, 95))
URI = "s3://some-bucket/lake"


def test_weeks_are_counted_from_the_first_partition() -> None:
    assert str(FIRST_WEEK) == PARTITIONS.get_first_partition_key()


def test_no_column_has_the_name_of_the_partition() -> None:
    assert [name for name, columns in TABLES.items() if PARTITION in columns] == []


# -- views ----------------------------------------------------------------------------------------------------------


def opened(lake: Lake, levels: tuple[float, ...] = (80, 95)) -> duckdb.DuckDBPyConnection:
    database = duckdb.connect()
    database.execute(views(lake, lake_tables(levels)))
    return database


@pytest.mark.parametrize("name", ["lake", "it's a lake [1] of * and ?"])
def test_a_view_holds_every_week_of_its_table(tmp_path: Path, name: str) -> None:
    lake = Lake(uri=str(tmp_path / name))
    fill(lake)
    database = opened(lake)
    for table, columns in TABLES.items():
        held = pd.concat([lake.read(table, week).assign(week=week) for week in WEEKS])
        found = database.sql(f"select * from {table}")
        assert found.columns == [*columns, "week"]
        assert len(found.fetchall()) == len(held)
    one = "select count(*), max(week) from forecast where week = date '2023-11-03' and ds > timestamp '2023-11-03'"
    assert database.sql(one).fetchall() == [(6, WEEKS[1])]


def test_times_are_utc_whatever_the_zone_of_the_session(tmp_path: Path) -> None:
    lake = Lake(uri=str(tmp_path))
    fill(lake, weeks=WEEKS[:1])
    database = opened(lake)
    database.execute("set timezone = 'Asia/Tokyo'")
    [[first, kind]] = database.sql("select min(fetched_at), typeof(min(fetched_at)) from release").fetchall()
    assert (str(first), kind) == ("2023-10-27 23:30:00", "TIMESTAMP")


def test_a_table_without_weeks_is_an_empty_view_of_its_columns(tmp_path: Path) -> None:
    lake = Lake(uri=str(tmp_path))
    found = opened(lake).sql("select * from forecast")
    assert found.columns == [*TABLES["forecast"], "week"]
    assert found.fetchall() == []


def test_levels_that_came_and_went_are_columns_as_the_settings_say(tmp_path: Path) -> None:
    lake = Lake(uri=str(tmp_path))
    fill(lake, levels=(80, 95), weeks=WEEKS[:1])
    fill(lake, levels=(80, 90), weeks=WEEKS[1:2])
    query = 'select week, count("lo-80"), count("lo-90"), count("hi-50") from forecast group by all order by week'
    with opened(lake, (50, 80, 90)) as database:
        assert database.sql(query).fetchall() == [(WEEKS[0], 7, 0, 0), (WEEKS[1], 7, 7, 0)]
        with pytest.raises(duckdb.BinderException, match="lo-95"):
            database.sql('select "lo-95" from forecast')


def test_views_are_of_a_lake_on_this_machine() -> None:
    with pytest.raises(UnsupportedLakeError):
        views(Lake(uri=URI), TABLES)


# -- Glue -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(s3: S3) -> str:
    return f"demand_{uuid.uuid4().hex}"


def glue() -> Any:
    return client("glue", REGION)


def registered(database: str, tables: Any = TABLES, *, uri: str = URI) -> tuple[Registered, list[str]]:
    said: list[str] = []
    return register(glue(), database, uri, tables, progress=said.append), said


def test_tables_are_registered_once(database: str) -> None:
    first, said = registered(database)
    assert first == Registered(new=tuple(TABLES), changed=(), removed=(), same=())
    assert len(said) == len(TABLES)
    again, said = registered(database)
    assert (again.same, said) == (tuple(TABLES), [])
    table = glue().get_table(DatabaseName=database, Name="forecast")["Table"]
    assert table["PartitionKeys"] == [{"Name": "week", "Type": "date", "Comment": "Week, named by its Friday"}]
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == list(TABLES["forecast"])
    types = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    wanted = {"unique_id": "string", "ds": "timestamp", "horizon": "bigint", "lo-80": "double"}
    assert {name: types[name] for name in wanted} == wanted
    assert len(glue().get_table_versions(DatabaseName=database, TableName="forecast")["TableVersions"]) == 1


def test_a_table_that_changed_is_registered_anew_and_one_that_is_gone_is_removed(database: str) -> None:
    registered(database)
    fewer = {name: columns for name, columns in lake_tables((80,)).items() if name != "diagnostics"}
    done, _ = registered(database, fewer)
    assert done.changed == ("model_scores", "held_out", "forecast", "forecast_accuracy")
    assert done.removed == ("diagnostics",)
    assert done.new == ()
    assert registered(database, fewer)[0].same == tuple(fewer)
    names = {table["Name"] for table in glue().get_tables(DatabaseName=database)["TableList"]}
    assert names == set(fewer)


def test_tables_of_others_are_left_alone(database: str) -> None:
    glue().create_database(DatabaseInput={"Name": database})
    theirs = {"Name": "sales", "StorageDescriptor": {"Columns": [], "Location": "s3://theirs/"}}
    glue().create_table(DatabaseName=database, TableInput=theirs)
    assert "sales" not in registered(database)[0].removed
    assert glue().get_table(DatabaseName=database, Name="sales")


@pytest.mark.parametrize("owner", ["s3://some-bucket/another", None])
def test_a_name_that_is_taken_is_a_named_error_and_nothing_is_registered(database: str, owner: str | None) -> None:
    glue().create_database(DatabaseInput={"Name": database})
    taken = {"Name": "observations"} if owner is None else table_inputs(owner, TABLES)["observations"]
    glue().create_table(DatabaseName=database, TableInput=taken)
    with pytest.raises(ForeignTableError, match=f"table observations of the Glue database {database}") as caught:
        registered(database)
    assert (caught.value.owner, caught.value.table) == (owner, "observations")
    assert "Set FORECAST_DATABASE" in str(caught.value)
    assert len(glue().get_tables(DatabaseName=database)["TableList"]) == 1


def test_a_refusal_of_glue_is_a_named_error(s3: S3) -> None:
    said = "cannot register tables in the Glue database demand .* these credentials may not do that"
    with (
        refusing("AccessDeniedException", 400) as url,
        reached(s3.environment | {"AWS_ENDPOINT_URL": url}),
        pytest.raises(AwsAccessError, match=said),
    ):
        registered("demand")


def projected(table: dict[str, Any], *, today: date) -> set[str]:
    """The folders in which Athena looks, by the rules of its documentation for a date that is projected."""
    said = {name.removeprefix("projection.week."): value for name, value in table["Parameters"].items()}
    assert (said["projection.enabled"], said["type"], said["interval.unit"]) == ("true", "date", "DAYS")
    assert said["format"] == "yyyy-MM-dd"
    first, last = said["range"].split(",")
    assert last == "NOW"
    step, week, found = timedelta(days=int(said["interval"])), date.fromisoformat(first), set()
    while week <= today:
        found.add(Template(said["storage.location.template"]).substitute(week=week.isoformat()))
        week += step
    return found


def test_athena_looks_where_the_weeks_are_and_nowhere_near_else(bucket: Bucket, s3: S3) -> None:
    lake = Lake(uri=bucket.uri("").rstrip("/"))
    fill(lake, weeks=(FIRST_WEEK, WEEKS[-1]))
    objects = s3.client().get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    keys = [found["Key"] for page in objects for found in page["Contents"]]
    inputs = table_inputs(lake.uri, TABLES)
    for name, table in inputs.items():
        folders = projected(table, today=date(2023, 11, 15))
        assert len(folders) == 724
        held = {f"s3://{bucket.name}/{key}".removesuffix("data.parquet") for key in keys if f"/{name}/week=" in key}
        assert len(held) == 2
        assert held <= folders
        assert all(folder.startswith(table["StorageDescriptor"]["Location"]) for folder in folders)
