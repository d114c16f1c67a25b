"""Housekeeping as the schedule and the command run it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from forecast_assets.cli import main
from forecast_assets.definitions import build_defs, default_assets
from forecast_assets.housekeeping import Tally, keep_house
from forecast_assets.metadata import weekly_asset
from forecast_assets.settings import load_settings
from jobs.housekeeping import is_ours
from jobs.weekly import ASSETS
from resources.clock import Clock, step
from resources.lake import Lake
from resources.retention import Removal
from resources.retention.sizes import state_sizes
from resources.week_lock import WeekLock

FIRST = datetime(2023, 1, 4, 15, 30, tzinfo=UTC)
FAILURE = dg.DagsterRunStatus.FAILURE


@pytest.fixture
def now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The clock of a rehearsal, for a lake of its own."""
    step(tmp_path / "now", FIRST)
    for name, value in {"NOW": tmp_path / "now", "LAKE_URI": tmp_path / "lake", "EIA_SOURCE": "sample"}.items():
        monkeypatch.setenv(f"FORECAST_{name}", str(value))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "now"


def lose(instance: dg.DagsterInstance) -> str:
    run = dg.DagsterRun("deploy", status=FAILURE)
    instance.add_run(run)
    instance.add_run(dg.DagsterRun("deploy", status=dg.DagsterRunStatus.SUCCESS))
    return run.run_id


def test_the_schedule_runs_and_starts_a_job_that_removes_what_is_old(now, tmp_path):
    repository = build_defs(settings=load_settings()).get_repository_def()
    schedule = repository.get_schedule_def("housekeeping")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    leftover = tmp_path / "lake" / "_sagemaker" / "pipes" / "tuning-2022-12-30-0" / "messages.jsonl"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    asked = tmp_path / "lake" / "_asked" / "week=2022-12-30" / "values-1.json"
    asked.parent.mkdir(parents=True)
    asked.touch()
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        old = lose(instance)
        step(now, FIRST + timedelta(weeks=27))
        result = repository.get_job(schedule.job_name).execute_in_process(instance=instance)
        assert result.success
        assert not instance.has_run(old)
        assert [run.job_name for run in instance.get_runs()] == ["housekeeping", "deploy"]
        assert not leftover.parent.exists()
        assert asked.exists()
        step(now, FIRST + timedelta(weeks=105))
        repository.get_job(schedule.job_name).execute_in_process(instance=instance)
        assert not asked.exists()


def test_every_asset_is_ours():
    assert {key for asset in default_assets for key in asset.keys} == ASSETS


@pytest.mark.parametrize(
    ("job", "assets", "ours"),
    [
        ("weekly_refresh", None, True),
        ("__ASSET_JOB", {"forecast"}, True),
        ("__ASSET_JOB", {"forecast", "sales"}, False),
        ("__ASSET_JOB", None, False),
        ("sales", None, False),
    ],
)
def test_a_run_is_told_from_those_of_other_projects(job, assets, ours):
    selected = None if assets is None else frozenset(map(dg.AssetKey, assets))
    assert is_ours(dg.DagsterRun(job, asset_selection=selected)) is ours


def test_the_command_says_what_would_go_and_removes_it(now, tmp_path):
    leftover = tmp_path / "lake" / "jobs" / "tuning-2022-12-30-0" / "output.tar.gz"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"x" * 1_000_000)
    step(now, FIRST + timedelta(weeks=15))
    dry = CliRunner().invoke(main, ["housekeeping", "--dry-run"])
    assert (dry.exit_code, dry.stdout) == (0, "Would remove 1 files of jobs, 1.0 MB\n")
    assert leftover.exists()
    assert CliRunner().invoke(main, ["housekeeping"]).stdout == "Removed 1 files of jobs, 1.0 MB\n"
    assert not leftover.exists()
    assert CliRunner().invoke(main, ["housekeeping"]).stdout == "Nothing is older than the settings keep it.\n"


def test_tallies_are_by_kind_and_progress_is_told_now_and_then():
    said: list[str] = []
    removals = [Removal("runs", str(number), 10, lambda: None) for number in range(101)]
    tallies = keep_house([*removals, Removal("models", "version 1", 5, lambda: None)], said.append)
    assert tallies == [Tally("runs", 101, 1010), Tally("models", 1, 5)]
    assert said == ["runs from 0 on", "runs from 100 on", "models from version 1 on"]


def test_the_size_of_state_is_told_by_what_it_is_of(tmp_path):
    for name in (
        "forecast/week=2022-12-30/data",
        "jobs/a",
        "models/b",
        "_sagemaker/train/c",
        "_sagemaker/logs/d",
        "_locks/e",
    ):
        path = tmp_path / "lake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    home = tmp_path / "lake" / "_dagster"
    home.mkdir()
    (home / "history").write_bytes(b"x" * 7)
    sizes = state_sizes(Lake(uri=str(tmp_path / "lake")), home)
    assert sizes == {"tables": 10, "history": 7, "jobs": 20, "models": 10, "logs": 10, "other": 10}


@weekly_asset(description="Shows a picture.", group="model", kinds=set(), code_version="1")
def shown(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    del context
    return dg.MaterializeResult(
        metadata={"picture": dg.MetadataValue.md("a-picture")}, data_version=dg.DataVersion("7")
    )


def test_the_pictures_of_an_asset_are_kept_once(tmp_path):
    lake, clock = Lake(uri=str(tmp_path / "lake")), Clock()
    resources = {"week_lock": WeekLock(lake=lake, clock=clock)}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([shown], partition_key="2023-01-06", instance=instance, resources=resources)
        told = [entry for entry in instance.all_logs(result.run_id) if "a-picture" in entry.to_json()]
        assert [entry.dagster_event_type for entry in told] == [dg.DagsterEventType.ASSET_MATERIALIZATION]
        (materialization,) = result.asset_materializations_for_node("shown")
        assert materialization.metadata["picture"].value == "a-picture"
        assert materialization.tags is not None
        assert materialization.tags["dagster/data_version"] == "7"
