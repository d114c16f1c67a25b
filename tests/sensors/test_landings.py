"""What has landed starts what a release would, and the run takes its figures from there."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from resources.clock import Clock
from resources.eia.client import EiaClient
from resources.eia.release import keep_release
from resources.landing import LANDED_TAG, Landed, Landings
from sensors import default_sensors
from sensors.landings import demands_of
from tests.world import NOW, SERIES, WEEK, World

BEFORE = WEEK - timedelta(weeks=1)


class Watched:
    """A platform that watches a folder, and its sensor: looked at with the cursor of the look before."""

    def __init__(self, folder: Path, data: Path, instance: dg.DagsterInstance) -> None:
        self.landing, self._data, self._instance, self.cursor = folder / "landing", data, instance, None
        self.landing.mkdir()
        self.world, self.clock = World(folder / "lake", folder / "no-source"), Clock(fixed=NOW.isoformat())

    def brings(self, *series: str, last: date = WEEK, factor: float = 1) -> None:
        """The files of some series, up to a week."""
        for name in series:
            rows = (self._data / f"{name}.csv").read_text().splitlines()
            rows = [row for row in rows if row[:10] <= last.isoformat() or row.startswith("date")]
            if factor != 1:
                day, value = rows[-1].split(",")
                rows[-1] = f"{day},{round(float(value) * factor)}"
            (self.landing / f"{name}.csv").write_text("\n".join(rows) + "\n")

    def tick(self) -> SensorExecutionData:
        defs = self.world.platform.defs
        resources = {**(defs.resources or {}), "clock": self.clock}
        repository = defs.get_repository_def()
        with dg.build_sensor_context(
            instance=self._instance, cursor=self.cursor, repository_def=repository, resources=resources
        ) as context:
            data = repository.get_sensor_def("landings").evaluate_tick(context)
        self.cursor = data.cursor
        return data

    def looks(self) -> SensorExecutionData:
        """Two looks: files are taken at the second one."""
        self.tick()
        return self.tick()

    def run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> None:
        """Have Dagster know of a run."""
        job = self.world.platform.defs.resolve_job_def(request.job_name)
        tags = {**request.tags, "dagster/partition": request.partition_key}
        self._instance.create_run_for_job(job, tags=tags, status=status)


@pytest.fixture
def watched(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setenv("FORECAST_WATCH__LANDING", str(tmp_path / "landing"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(tmp_path, shared_data / "weekly", instance)


def test_there_is_a_sensor_where_something_can_land_and_it_runs(watched: Watched) -> None:
    settings = watched.world.settings
    [sensor] = [each for each in default_sensors(settings) if each.name == "landings"]
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    nowhere = settings.model_copy(update={"watch": settings.watch.model_copy(update={"landing": ""})})
    assert "landings" not in {each.name for each in default_sensors(nowhere)}


def test_a_week_is_asked_for_once_every_series_has_landed(watched: Watched) -> None:
    watched.brings(SERIES[0])
    result = watched.looks()
    assert not result.run_requests
    assert SERIES[1] in str(result.skip_message)
    watched.brings(SERIES[1])
    [request] = watched.looks().run_requests
    assert (request.job_name, request.partition_key) == ("weekly_refresh", WEEK.isoformat())
    assert request.run_key.startswith(f"{WEEK}:")
    assert LANDED_TAG in request.tags
    assert not watched.tick().run_requests, "it has been asked for"


def test_the_week_that_all_series_reach_counts(watched: Watched) -> None:
    watched.brings(SERIES[0])
    watched.brings(SERIES[1], last=BEFORE)
    [request] = watched.looks().run_requests
    assert request.partition_key == BEFORE.isoformat()


def test_a_file_that_comes_early_waits_until_its_week_is_due(watched: Watched) -> None:
    due = datetime(2023, 11, 15, 15, 30, tzinfo=UTC)
    watched.clock = Clock(fixed=(due - timedelta(hours=1)).isoformat())
    watched.brings(*SERIES)
    assert not watched.looks().run_requests
    watched.clock = Clock(fixed=due.isoformat())
    [request] = watched.tick().run_requests
    assert request.partition_key == WEEK.isoformat()


def test_what_is_dealt_with_is_not_asked_for_again_until_figures_change(watched: Watched) -> None:
    watched.brings(*SERIES)
    [request] = watched.looks().run_requests
    watched.run(request, dg.DagsterRunStatus.SUCCESS)
    assert not watched.tick().run_requests
    assert "dealt with" in str(watched.tick().skip_message)
    watched.brings(*SERIES)  # written anew, with the same figures
    assert not watched.looks().run_requests
    watched.brings(SERIES[0], factor=1.01)
    [revised] = watched.looks().run_requests
    assert revised.run_key != request.run_key


def test_older_weeks_without_a_forecast_are_replayed_one_by_one(watched: Watched) -> None:
    lake, older = watched.world.lake, [BEFORE - timedelta(weeks=2), BEFORE - timedelta(weeks=1)]
    for week in (BEFORE, WEEK):
        lake.write("forecast", week, pd.DataFrame({"unique_id": ["x"]}))
    for week in (*older, BEFORE):  # as from files that came one after the other
        watched.brings(*SERIES, last=week)
        watched.looks()
    asked = []
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS):
        watched.cursor = None
        [request] = watched.looks().run_requests
        asked.append((request.job_name, request.partition_key))
        assert LANDED_TAG in request.tags
        watched.run(request, dg.DagsterRunStatus.STARTED)
        assert not watched.tick().run_requests, "one at a time"
        for run in watched._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            watched._instance.delete_run(run.run_id)
        watched.run(request, status)
    assert asked == [("backfill", week.isoformat()) for week in older]
    assert not watched.tick().run_requests
    assert "dealt with" in str(watched.tick().skip_message)


def test_a_week_of_which_there_is_no_partition_is_kept_and_starts_nothing(watched: Watched) -> None:
    watched.world.lake.write("forecast", WEEK, pd.DataFrame({"unique_id": ["x"]}))
    watched.brings(*SERIES, last=date(2009, 12, 25))
    assert not watched.looks().run_requests
    assert "dealt with" in str(watched.tick().skip_message)


def test_poison_stops_no_week(watched: Watched) -> None:
    watched.brings(*SERIES)
    (watched.landing / "WKJUPUS2.csv").write_text("nobody's")
    assert len(watched.looks().run_requests) == 1
    assert watched.world.platform.defs.resources["alerts"].open_keys("landing:") == ["landing:WKJUPUS2.csv"]


def test_an_older_file_of_the_same_name_is_no_older_release(watched: Watched) -> None:
    for last in (WEEK, BEFORE):
        watched.brings(*SERIES, last=last)
        watched.looks()
    lake, now = watched.world.lake, watched.world.platform.clock.now()
    for week in (WEEK, BEFORE):
        source = EiaClient(Landed(Landings(lake), week, now=lambda: now))
        records = keep_release(source, lake, demands_of(watched.world.settings, week, now=now))
        lake.write("release", week, records)
        assert records["newest"].tolist() == [pd.Timestamp(week)] * 2
        assert not records["reconstructed"].any()


def test_files_that_a_later_release_has_overtaken_start_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.brings(*SERIES)
    assert watched.looks().run_requests
    lake = watched.world.lake
    source = EiaClient(Landed(Landings(lake), WEEK, now=lambda: NOW))
    records = keep_release(source, lake, demands_of(watched.world.settings, WEEK, now=NOW))
    later = records.assign(fetched_at=records["fetched_at"] + timedelta(hours=1))
    monkeypatch.setattr("forecast_assets.standing.Standing.is_refreshed", lambda *_: True)
    for table, overtaken in ((later, True), (later.head(1), False)):
        watched.cursor = None  # somebody has reset it
        lake.write("release", WEEK, table)
        assert ("came later" in str(watched.tick().skip_message)) is overtaken


@pytest.mark.slow
def test_a_week_is_refreshed_from_landed_files_alone(watched: Watched) -> None:
    watched.brings(*SERIES)
    [request] = watched.looks().run_requests
    shutil.rmtree(watched.landing)  # what is kept is in the lake
    job = watched.world.platform.defs.resolve_job_def(request.job_name)
    result = job.execute_in_process(
        partition_key=request.partition_key, tags=request.tags, instance=watched._instance, raise_on_error=False
    )
    assert result.success
    releases = watched.world.lake.read("release", WEEK)
    assert set(releases["source"]) == {"file"}
    assert all(url.startswith(watched.landing.as_uri()) for url in releases["url"])
    assert watched.world.registered() == [WEEK]
    watched.landing.mkdir()
    assert not watched.tick().run_requests
    assert "dealt with" in str(watched.tick().skip_message)


def test_a_refresh_that_is_not_asked_for_by_files_asks_the_source(watched: Watched) -> None:
    watched.brings(*SERIES)
    watched.looks()
    outcome = watched.world.run("weekly_refresh")
    assert not outcome.succeeded
    assert "SourceSpecError" in outcome.reasons[0]
