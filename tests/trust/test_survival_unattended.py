"""The platform on its own: sensors start what is to be done, and after whatever happened they start it again."""

import json
import os
import shutil
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from dagster import DagsterRunStatus

from resources.sagemaker.endpoint.errors import EndpointError
from tests.daemon import Machine
from tests.refreshes import SERIES, numbers, until
from tests.trust.test_full_disk import fill, on_a_small_disk
from tests.world import WEEK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPT = {"run_monitoring": {"poll_interval_seconds": 2}}
"""The instance as it is configured, only asked more often."""

EAGER = {"FORECAST_WATCH__INTERVAL_S": "5", "FORECAST_WATCH__RETRY_S": "5"}


@pytest.fixture(scope="module")
def source(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What EIA publishes."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copy(shared_data / "weekly" / f"{SERIES}.csv", folder)
    return folder


@pytest.fixture(scope="module")
def machine(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    made = Machine(folder, source, home=folder / "home", instance=PROMPT, environment=EAGER)
    yield made
    made.close()
    assert made.processes() == {}


def served(machine: Machine) -> Any:
    """What the endpoint answers, or None."""
    try:
        return machine.asks()
    except (EndpointError, ClientError, OSError, urllib.error.URLError):
        return None


def serves_its_forecast(machine: Machine) -> bool:
    answer = served(machine)
    if answer is None or not machine.lake.has("forecast", WEEK):
        return False
    return [row["predictions"] for row in answer] == list(machine.lake.read("forecast", WEEK)["mean"][: len(answer)])


def succeeded(machine: Machine, job: str = "weekly_refresh") -> int:
    return sum(run.status is DagsterRunStatus.SUCCESS for run in machine.runs(job))


def test_a_machine_that_dies_in_the_middle_of_a_week_makes_the_week_and_serves_it_by_itself(
    machine: Machine, undisturbed: dict[str, str]
) -> None:
    machine.boots()
    machine.running_job("tuning_trials")
    machine.dies()
    assert machine.processes() == {}

    machine.boots()
    until(lambda: succeeded(machine), "refresh of the week")
    assert [run.status.value for run in machine.runs("weekly_refresh")] == ["SUCCESS", "FAILURE"]
    made = numbers(machine.lake)
    assert {**made, "release": undisturbed["release"]} == undisturbed, "the release alone says where it was published"
    assert machine.unfinished() == []
    until(lambda: serves_its_forecast(machine) and machine.runs("deploy")[0].is_finished, "deployment")

    machine.dies()
    assert served(machine) is None
    machine.boots()
    until(lambda: serves_its_forecast(machine), "service after the second death")
    assert len(machine.runs("weekly_refresh")) == 2, "what was refreshed is not refreshed again"


def test_a_lake_that_is_away_is_waited_for(machine: Machine, source: Path) -> None:
    """As with a volume that is not mounted: its folder is empty, and figures that have changed call for a refresh."""
    if not succeeded(machine):
        pytest.skip("the week was not made before")
    before, made = numbers(machine.lake), succeeded(machine)
    away = machine.lake.root.with_name("away")
    machine.lake.root.rename(away)
    machine.lake.root.mkdir()
    figures = source / f"{SERIES}.csv"
    published = figures.read_text()
    [newest] = [line for line in published.splitlines() if line.startswith(WEEK.isoformat())]
    figures.write_text(published.replace(newest, f"{newest[:11]}{float(newest[11:]) + 7:g}"))

    until(lambda: any(run.status is DagsterRunStatus.FAILURE for run in machine.runs()[:1]), "refused run")
    assert list(machine.lake.root.glob("*/week=*/*.parquet")) == [], "no second lake is begun"
    machine.lake.root.rename(machine.lake.root.with_name("second"))
    away.rename(machine.lake.root)
    until(lambda: succeeded(machine) > made, "refresh after the lake is back")
    assert numbers(machine.lake)["forecast"] != before["forecast"]
    until(lambda: serves_its_forecast(machine), "deployment of the new model")


# -- a full disk ----------------------------------------------------------------------------------------------------


def unattended(folder: Path, source: str, found: str) -> None:
    """On a small disk: it fills up in the middle of a week, and is given room again."""
    machine = Machine(folder, source, instance=PROMPT, environment=EAGER, logs=Path(found).parent)
    try:
        machine.boots()
        machine.running_job("tuning_trials")
        fill(folder)
        full = ("No space left on device", "database or disk is full", "disk I/O error")
        until(lambda: any(words in machine.daemon.said() for words in full), "refused write of the daemon")
        until(lambda: not machine.workers(), "end of the worker")
        (folder / "ballast").unlink()
        until(lambda: succeeded(machine), "refresh of the week")
        until(lambda: serves_its_forecast(machine), "deployment")
        assert machine.unended_runs() == []
        Path(found).write_text(json.dumps(numbers(machine.lake)))
    finally:
        machine.close()
    assert machine.processes() == {}


def test_a_disk_that_fills_up_in_the_middle_of_a_week_delays_it(
    shared_data: Path, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    found = tmp_path / "found.json"
    arguments = (str(shared_data / "weekly"), str(found))
    on_a_small_disk("unattended", tmp_path / "disk", size="300m", arguments=arguments, script=__file__)
    assert json.loads(found.read_text()) == undisturbed


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    sys.stdout.flush()
    os._exit(0)  # Arrow's threads may abort an interpreter that ends while they still write to a full disk
