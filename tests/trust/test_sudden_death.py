"""`kill -9` at every stage of a refresh: the next one completes with the same numbers, and nothing is left behind."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.lake.folder import Folder
from tests.refreshes import ENDPOINT, JOBS, SERIES, Site, numbers, until
from tests.world import WEEK, World

STAGES = (
    *("release", "observations", "outlier_flags", "structural_break", "counterfactual", "tuning_trials"),
    *("candidate_model", "registered_model", "forecast", "forecast_endpoint"),
)


@pytest.fixture
def site(shared_data: Path, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, shared_data / "weekly")
    yield made
    made.close()


def assert_as_if_nothing_had_happened(site: Site, undisturbed: dict[str, str]) -> None:
    assert numbers(site.lake) == undisturbed
    assert site.unended_runs() == []
    in_the_week = [path for path in site.unfinished() if path.parent.name == f"week={WEEK}"]
    assert in_the_week == []
    Folder(site.lake.root).sweep(abandoned_s=0)
    assert site.unfinished() == []
    answer = site.asks()
    forecast = site.lake.read("forecast", WEEK)
    assert [row["predictions"] for row in answer] == list(forecast["mean"][: len(answer)])
    running = site.processes()
    expected = {site.supervisor("endpoint", ENDPOINT), site.child("endpoint", ENDPOINT), site.gateway()}
    assert set(running) == expected, running
    site.close()
    assert site.processes() == {}


def kill_a_job(site: Site, stage: str) -> None:
    """A container killed alone is no failure of SageMaker's: the refresh says so and ends."""
    refresh = site.refresh()
    name = site.running_job(stage)
    pid = site.child(JOBS[stage], name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert refresh.ends() == 1, refresh.said()
    said = " ".join(refresh.said().split())
    assert f"{stage}: SageMaker job {name} ended as Failed" in said
    assert "exit code: 137 (its process was killed from outside" in said


def kill_a_supervisor(site: Site, stage: str) -> None:
    """A job that lost its supervisor failed for SageMaker's reasons, so the same refresh runs it again."""
    refresh = site.refresh()
    name = site.running_job(stage)
    os.kill(site.supervisor(JOBS[stage], name), signal.SIGKILL)
    assert refresh.ends() == 0, refresh.said()
    said = " ".join(refresh.said().split())
    assert f"SageMaker job {name} ended as Failed: InternalServerError" in said
    assert "; attempt 1 follows" in said


def kill_a_refresh(site: Site, stage: str) -> None:
    refresh = site.refresh()
    refresh.begins(stage)
    if stage in JOBS:
        site.running_job(stage)
    refresh.dies()


def kill_the_endpoint(site: Site) -> None:
    """Its supervisor starts the serving process again."""
    child = site.child("endpoint", ENDPOINT)
    assert child is not None
    os.kill(child, signal.SIGKILL)
    until(lambda: site.child("endpoint", ENDPOINT) not in {None, child}, "new serving process")


def kill_the_supervisor_of_the_endpoint(site: Site) -> None:
    """The serving process dies with it; the next refresh deploys anew."""
    os.kill(site.supervisor("endpoint", ENDPOINT), signal.SIGKILL)
    until(lambda: set(site.processes()) <= {site.gateway()}, "end of the serving process")


def kill_the_gateway(site: Site) -> None:
    """Nobody answers for the API; the next refresh brings it back where it was."""
    pid = site.gateway()
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in site.processes(), "end of the gateway")


# -- who holds a week -----------------------------------------------------------------------------------------------


def test_whatever_makes_an_asset_of_a_week_holds_that_week(shared_data: Path, tmp_path: Path) -> None:
    """Materialized alone, by a job, from the UI: the run holds the lock, and is one process as that needs."""
    defs = World(tmp_path / "lake", shared_data / "weekly").platform.defs
    weekly = [asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition) and asset.partitions_def]
    assert weekly
    assert [asset.key for asset in weekly if "week_lock" not in asset.required_resource_keys] == []
    jobs = [defs.resolve_implicit_global_asset_job_def(), *(defs.resolve_job_def(job.name) for job in defs.jobs or [])]
    assert {job.executor_def.name for job in jobs} == {"in_process"}


# -- in every run ---------------------------------------------------------------------------------------------------


def test_a_lake_survives_one_death_after_another(site: Site, undisturbed: dict[str, str]) -> None:
    first = site.refresh()
    first.begins("release")
    second = site.refresh()
    assert second.ends() == 1
    said = " ".join(second.said().split())
    assert re.search(
        rf"WeekBusyError: week {WEEK} is being made by run [0-9a-f-]+ \(process {first.process.pid},", said
    )
    assert "this run changed nothing" in said
    name = site.running_job("tuning_trials")
    first.dies()
    assert len(site.unended_runs()) == 1, "Dagster does not know yet"

    kill_a_supervisor(site, "candidate_model")
    assert site.unended_runs() == []
    assert len(list(site.home("train", name).parent.glob("tuning-trials-*"))) == 1, "the search was not run again"
    assert numbers(site.lake) == undisturbed
    kill_the_endpoint(site)
    assert site.asks()
    kill_the_gateway(site)
    kill_the_supervisor_of_the_endpoint(site)
    site.completes()
    assert_as_if_nothing_had_happened(site, undisturbed)


# -- the whole grid -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_refresh_killed_at_a_stage_is_completed_by_the_next(
    site: Site, undisturbed: dict[str, str], stage: str
) -> None:
    kill_a_refresh(site, stage)
    site.completes()
    assert_as_if_nothing_had_happened(site, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stage", JOBS)
def test_a_job_killed_alone_fails_the_refresh_and_the_next_completes(
    site: Site, undisturbed: dict[str, str], stage: str
) -> None:
    kill_a_job(site, stage)
    site.completes()
    assert_as_if_nothing_had_happened(site, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stage", JOBS)
def test_a_supervisor_killed_is_made_up_for_by_the_same_refresh(
    site: Site, undisturbed: dict[str, str], stage: str
) -> None:
    kill_a_supervisor(site, stage)
    assert_as_if_nothing_had_happened(site, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["serving process", "supervisor"])
def test_an_endpoint_killed_while_it_is_deployed_answers_after_the_next_refresh(
    site: Site, undisturbed: dict[str, str], victim: str
) -> None:
    refresh = site.refresh()
    home = site.home("endpoint", ENDPOINT)
    until(lambda: (home / "status.json").exists() and site.child("endpoint", ENDPOINT), "serving process")
    pid = site.supervisor("endpoint", ENDPOINT)
    if victim == "serving process":
        child = site.child("endpoint", ENDPOINT)
        assert child is not None
        pid = child
    os.kill(pid, signal.SIGKILL)
    refresh.ends()
    site.completes()
    assert_as_if_nothing_had_happened(site, undisturbed)


@pytest.mark.slow
def test_a_refresh_of_revised_figures_killed_half_way_is_not_taken_for_fresh(shared_data: Path, tmp_path: Path) -> None:
    """The old forecast beside the new release must not read as up to date."""
    figures = tmp_path / "figures"
    figures.mkdir()
    published = (shared_data / "weekly" / f"{SERIES}.csv").read_text()
    (figures / f"{SERIES}.csv").write_text(published)
    site = Site(tmp_path, figures)
    try:
        site.completes()
        before = numbers(site.lake)
        [newest] = [line for line in published.splitlines() if line.startswith("2023-11-10")]
        (figures / f"{SERIES}.csv").write_text(published.replace(newest, f"{newest[:11]}{float(newest[11:]) + 7:g}"))
        refresh = site.refresh()
        refresh.begins("outlier_flags")
        refresh.dies()
        again = site.completes()
        assert "is up to date" not in again.said()
        assert numbers(site.lake)["forecast"] != before["forecast"]
        assert "is up to date" in site.completes().said()
    finally:
        site.close()
    assert site.processes() == {}
