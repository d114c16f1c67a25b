"""The same SELECT gives the same answer through Athena and through DuckDB, on the same bytes.

Athena is MiniStack's, which runs the SQL over the objects of the tables in its Glue catalog. What it cannot show: it
reads whatever lies under a table's location and does not project weeks, so that the projection finds them is shown in
`tests/resources/test_catalog.py`; and its SQL is DuckDB's under Athena's types, so the statements here keep to what the
documentation of Trino, which is Athena's, has too.
"""

import time
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from forecast_assets.tables import lake_tables
from resources.aws import client
from resources.catalog import register, views
from resources.lake import Lake
from tests.aws.ministack import REGION, MiniStack, ministack
from tests.s3 import reached
from tests.tables import WEEKS, fill

pytestmark = pytest.mark.slow

LEVELS = (80, 95)
DATABASE = "petroleum_demand"
BUCKET = "forecasts-of-tests"

STATEMENTS = {
    "a week": "select * from forecast where week = date '2023-11-10' order by unique_id, ds",
    "a week's interval": """
        select unique_id, ds, mean, "lo-80", "hi-80" from forecast
        where week = date '2023-11-03' and unique_id = 'WGFUPUS2' and horizon between 2 and 3 order by ds""",
    "the newest week": """
        select count(*) as n, max(ds) as last from forecast where week = (select max(week) from forecast)""",
    "every score": "select * from forecast_accuracy order by week, unique_id, horizon",
    "accuracy by horizon": """
        select horizon, count(*) as n, avg(absolute_error) as mae, sum("inside-80") / count("inside-80") as coverage
        from forecast_accuracy group by horizon having count(*) > 1 order by horizon""",
    "against the naive": """
        select unique_id, avg(abs(error)) / avg(abs(naive_error)) as relative from forecast_accuracy
        where week between date '2023-10-27' and date '2023-11-03' group by unique_id order by unique_id""",
    "observations": """
        select * from observations where ds < timestamp '2023-11-17 00:00:00' order by week, unique_id, ds""",
    "revised since": """
        select now.unique_id, now.ds, before.y as before, now.y as after
        from observations now join observations before
          on now.unique_id = before.unique_id and now.ds = before.ds and before.week = date '2023-11-03'
        where now.week = date '2023-11-10' order by 1, 2""",
    "a forecast and what came": """
        select f.unique_id, f.cutoff, f.ds, f.mean, o.y, f.mean - o.y as error
        from forecast f join observations o on o.unique_id = f.unique_id and o.ds = f.ds
        where o.week = date '2023-11-10' and f.week < o.week order by 1, 2, 3""",
    "the last three": """
        select * from (
          select unique_id, week, y, row_number() over (partition by unique_id order by week desc, ds desc) as place
          from observations) ranked
        where place <= 3 order by unique_id, place""",
    "nothing": "select mean from forecast where week = date '2024-01-05'",
    "what is missing": 'select count(*) as n, count("lo-95") as known from forecast',
    "names that are words": 'select name, start, "end", weeks from structural_break order by week, name, weeks',
    # MiniStack answers no time that has a zone in the file, as fetched_at has; it counts and compares them.
    "releases": """
        select week, count(fetched_at) as n, sum(bytes) as bytes, bool_or(reconstructed) as any_of
        from release group by week order by week""",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with ministack(tmp_path_factory.mktemp("ministack")) as running, reached(running.variables):
        yield running


@pytest.fixture(scope="module")
def athena(stack: MiniStack) -> Any:
    """Athena over a lake in a bucket, whose tables are registered."""
    client("s3", REGION).create_bucket(Bucket=BUCKET)
    lake = Lake(uri=f"s3://{BUCKET}/lake")
    fill(lake, levels=LEVELS)
    register(client("glue", REGION), DATABASE, lake.uri, lake_tables(LEVELS), progress=print)
    return client("athena", REGION)


@pytest.fixture(scope="module")
def database(athena: Any, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """DuckDB over the same bytes in a folder."""
    folder = Lake(uri=str(tmp_path_factory.mktemp("lake")))
    bucket = Lake(uri=f"s3://{BUCKET}/lake")
    for table in lake_tables(LEVELS):
        for week in WEEKS:
            key = bucket.key(table, week)
            folder.write_bytes(key, bucket.read_bytes(key))
    connection = duckdb.connect()
    connection.execute(views(folder, lake_tables(LEVELS)))
    return connection


def asked(athena: Any, statement: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """Columns and rows, as values."""
    query = athena.start_query_execution(
        QueryString=statement,
        QueryExecutionContext={"Database": DATABASE},
        ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/athena/"},
    )["QueryExecutionId"]
    deadline = time.monotonic() + 60
    while True:
        status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        if status["State"] not in {"QUEUED", "RUNNING"}:
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert status["State"] == "SUCCEEDED", status["StateChangeReason"]
    pages = list(athena.get_paginator("get_query_results").paginate(QueryExecutionId=query))
    info = pages[0]["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    [header, *rows] = [row["Data"] for page in pages for row in page["ResultSet"]["Rows"]]
    names = [column["Name"] for column in info]
    assert [cell["VarCharValue"] for cell in header] == names
    types = [column["Type"] for column in info]
    return names, [tuple(map(value, types, row)) for row in rows]


def value(kind: str, cell: dict[str, str]) -> object:
    text = cell.get("VarCharValue")
    if text is None:
        return None
    parse = {
        "bigint": int,
        "integer": int,
        "double": float,
        "boolean": lambda said: said == "true",
        "date": date.fromisoformat,
        "timestamp": datetime.fromisoformat,
        "varchar": str,
    }
    return parse[kind](text)


@pytest.mark.parametrize("name", STATEMENTS)
def test_both_give_the_same_answer(athena: Any, database: duckdb.DuckDBPyConnection, name: str) -> None:
    expected = database.sql(STATEMENTS[name])
    answer = expected.fetchall()
    names, rows = asked(athena, STATEMENTS[name])
    assert sorted(names) == sorted(expected.columns)
    order = [names.index(column) for column in expected.columns]
    # What is summed in another order differs in the last digit.
    near = [
        tuple(pytest.approx(cell, rel=1e-13) if isinstance(cell, float) else cell for cell in row) for row in answer
    ]
    assert [tuple(row[place] for place in order) for row in rows] == near
    assert rows or name == "nothing"
