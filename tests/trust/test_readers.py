"""Readers while a week is written: they see the old or the new, never both, never half."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from forecast_assets.reader import load_forecast
from forecasting import artifact as artifacts
from forecasting.configuration import SEASONAL_NAIVE, Configuration
from resources.lake import Lake
from resources.sagemaker.endpoint import ModelEndpoint
from resources.sagemaker.endpoint.configs import serverless
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import Candidate, ModelRegistry
from tests.served import fitted, sealed

WEEK, NEIGHBOUR = date(2023, 11, 10), date(2023, 11, 3)
SECONDS = 1.5


def version(number: int) -> pd.DataFrame:
    """A forecast that says in every row which version it is of; the versions differ in length."""
    rows = 26 * (1 + 40 * number)
    horizon = range(1, rows + 1)
    return pd.DataFrame(
        {
            "unique_id": "WGFUPUS2",
            "ds": pd.Timestamp(WEEK) + pd.to_timedelta([7 * ahead for ahead in horizon], unit="D"),
            "horizon": horizon,
            "mean": float(number),
            "rows": rows,
        }
    )


@contextmanager
def alternating(turn: Callable[[int], object]) -> Iterator[Callable[[], int]]:
    """Take turns with versions 0 and 1 in a thread of its own; gives how many turns were taken."""
    stop, turns, failures = threading.Event(), [0], []

    def work() -> None:
        try:
            while not stop.is_set():
                turn(turns[0] % 2)
                turns[0] += 1
        except BaseException as error:
            failures.append(error)  # a thread's own would be lost
            raise

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: turns[0]
    finally:
        stop.set()
        thread.join()
    assert failures == []


def read_until_bored(read: Callable[[], set[Any]]) -> tuple[set[Any], int]:
    seen: set[Any] = set()
    reads, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = read()
        assert len(found) == 1, f"one read saw {found}"
        seen |= found
        reads += 1
    return seen, reads


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(uri=str(tmp_path / "lake"))
    made.write("forecast", NEIGHBOUR, version(0))
    made.write("forecast", WEEK, version(0))
    return made


def pandas_reads(lake: Lake) -> set[Any]:
    table = load_forecast(WEEK, lake=lake)
    assert len(table) == table["rows"].iloc[0]
    return set(table["mean"])


def duckdb_reads(lake: Lake) -> set[Any]:
    # As README has it: all weeks by one glob, and a filter.
    query = f"""
        select mean, count(*), any_value(rows)
        from read_parquet('{lake.root}/forecast/*/data.parquet', hive_partitioning = true)
        where week = date '{WEEK}' group by mean
    """
    try:
        found = duckdb.connect().sql(query).fetchall()
    except duckdb.Error as error:
        # DuckDB opens a file for its footer and again for its rows. Where it was replaced in between, DuckDB sees that
        # they do not belong together, and refuses; the documentation says so.
        if not re.search("Prefetch registered for bytes outside file|Invalid data", str(error)):
            raise
        return duckdb_reads(lake)
    assert all(count == rows for _, count, rows in found), found
    return {mean for mean, _, _ in found}


@pytest.mark.parametrize("reads", [pandas_reads, duckdb_reads])
def test_a_reader_of_a_week_that_is_rewritten_sees_one_version(lake: Lake, reads: Callable[[Lake], set[Any]]) -> None:
    with alternating(lambda number: lake.write("forecast", WEEK, version(number))) as turns:
        seen, count = read_until_bored(lambda: reads(lake))
    assert seen == {0.0, 1.0}, f"{count} reads over {turns()} writes saw only {seen}"


def test_the_newest_week_appears_whole(lake: Lake) -> None:
    """A week that comes and goes is there with all its rows, or is not there."""

    def turn(number: int) -> None:
        lake.write("forecast", WEEK, version(1))
        (lake.root / lake.key("forecast", WEEK)).unlink()

    with alternating(turn):
        end = time.monotonic() + SECONDS
        weeks = set()
        while time.monotonic() < end:
            weeks.add(tuple(lake.weeks("forecast")))
    assert weeks == {(NEIGHBOUR,), (NEIGHBOUR, WEEK)}


@pytest.fixture
def sagemaker(tmp_path: Path) -> Iterator[SageMaker]:
    made = SageMaker(role_arn="arn:aws:iam::000000000000:role/forecast", lake=Lake(uri=str(tmp_path / "served")))
    yield made
    if endpoint_of(made).status() is not None:
        endpoint_of(made).delete()


def endpoint_of(sagemaker: SageMaker) -> ModelEndpoint:
    return ModelEndpoint(
        sagemaker.client(),
        sagemaker.runtime(),
        name="demand",
        role_arn=sagemaker.role_arn,
        capacity=serverless(memory_mb=1024, max_concurrency=5),
        keep=3,
        poll_s=0.1,
    )


def test_the_endpoint_answers_with_one_model_while_models_follow_each_other(sagemaker: SageMaker) -> None:
    models = []
    for number, configuration in enumerate((SEASONAL_NAIVE, Configuration(harmonics=2, holidays=False))):
        entry = fitted("WGFUPUS2", configuration, conformal=False)
        artifact = sealed({"schema_version": 1, "provenance": {}, "series": {"WGFUPUS2": entry}})
        key = f"models/{number}/model.tar.gz"
        sagemaker.lake.write_bytes(key, artifacts.pack(artifact))
        registry = ModelRegistry(sagemaker.client(), group="demand")
        models.append(
            registry.register(
                Candidate(
                    week=WEEK,
                    digest=str(number),
                    model_data=sagemaker.uri(key),
                    metrics="s3://lake/metrics.json",
                    facts={"passed": "WGFUPUS2"},
                ),
                image=sagemaker.image("serving"),
                approval="Approved",
                reason="it is a test",
            )
        )
    endpoint = endpoint_of(sagemaker)
    endpoint.deploy(models[0], smoke_test=lambda _: None, max_wait_s=30, progress=lambda _: None)
    asked = {"periods": 26, "levels": [80], "interval": "normal", "series": ["WGFUPUS2"]}
    answers = []
    for model in models:
        endpoint.deploy(model, smoke_test=lambda _: None, max_wait_s=30, progress=lambda _: None)
        answers.append(endpoint.invoke(asked))
    assert answers[0] != answers[1]

    def read() -> set[Any]:
        return {answers.index(endpoint.invoke(asked))}  # an answer of neither model is a ValueError

    with alternating(
        lambda number: endpoint.deploy(
            models[number], smoke_test=lambda _: None, max_wait_s=30, progress=lambda _: None
        )
    ) as turns:
        seen, count = read_until_bored(read)
        while seen != {0, 1} and turns() < 4:  # a slow machine
            seen |= read()
    assert seen == {0, 1}, f"{count} requests over {turns()} deployments saw only {seen}"
