"""What has to be saved, and that a platform goes on from it in another place."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deployment.units import DEPLOYMENT
from tests.postgres import Postgres
from tests.refreshes import SMALL
from tests.world import ROOT

WEEK, NEXT = "2023-11-03", "2023-11-10"
Forecast = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def forecast(shared_data: Path) -> Iterator[Forecast]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
    places: set[str] = set()

    def run(lake: Path, *arguments: str, succeeds: bool = True, **more: str) -> "subprocess.CompletedProcess[str]":
        places.add(str(lake))
        done = subprocess.run(
            [str(Path(sys.executable).with_name("forecast")), *arguments],
            cwd=ROOT,
            env={
                **kept,
                **SMALL,
                "FORECAST_LAKE_URI": str(lake),
                "FORECAST_EIA_SOURCE": str(shared_data / "weekly"),
                **more,
            },
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert not succeeds or done.returncode == 0, done.stderr
        return done

    yield run
    for place in places:
        if Path(place).exists():
            run(Path(place), "endpoint", "stop", succeeds=False)


def test_a_copy_of_the_lake_is_the_platform_in_another_place(forecast: Forecast, tmp_path: Path) -> None:
    """The machine is lost: forecasts, models, scores and Dagster's history are in the copy, and serve from there."""
    lost, here = tmp_path / "lost" / "lake", tmp_path / "here" / "lake"
    forecast(lost, "refresh", "--week", WEEK)
    shown, models = forecast(lost, "show", "--json").stdout, forecast(lost, "model", "list").stdout
    answered = forecast(lost, "endpoint", "invoke").stdout
    shutil.copytree(lost, here, symlinks=True)  # while its endpoint serves, as a nightly copy is made
    forecast(lost, "endpoint", "stop")
    shutil.rmtree(lost.parent)
    assert forecast(here, "show", "--json").stdout == shown
    assert forecast(here, "model", "list").stdout == models
    again = forecast(here, "refresh", "--week", WEEK)
    assert f"Week {WEEK} is up to date" in again.stderr
    assert forecast(here, "endpoint", "invoke").stdout == answered
    forecast(here, "refresh", "--week", NEXT)
    assert json.loads(forecast(here, "show", "--json").stdout)["week"] == NEXT
    assert forecast(here, "accuracy").stdout


def test_a_dump_of_the_database_goes_on_in_another_server(
    forecast: Forecast, postgres: Postgres, tmp_path: Path
) -> None:
    home, lake = tmp_path / "home", tmp_path / "lake"
    home.mkdir()
    shutil.copy(DEPLOYMENT / "dagster.postgres.yaml", home / "dagster.yaml")
    forecast(lake, "refresh", "--week", WEEK, DAGSTER_HOME=str(home), **postgres.environment)
    runs = "select run_id, status from runs order by id"
    before = postgres.ask(runs)
    assert len(before) >= 2
    postgres.dump(tmp_path / "dagster.sql")
    other = Postgres()
    try:
        other.restore(tmp_path / "dagster.sql")
        assert other.ask(runs) == before
        done = forecast(lake, "refresh", "--week", NEXT, DAGSTER_HOME=str(home), **other.environment)
        assert "InService" in done.stdout
        assert len(other.ask(runs)) > len(before)
        assert postgres.ask(runs) == before
    finally:
        other.close()
