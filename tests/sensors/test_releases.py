"""The release sensor: new figures start one run each, everything else none, and nothing is lost on the way."""

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from forecast_assets.definitions import build_defs
from forecast_assets.refresh import Platform
from forecast_assets.settings import load_settings
from resources.alerts import Alert, Alerts
from resources.clock import Clock
from resources.eia.errors import EiaUnreachableError, ObservationsInvalidError, WorkbookError
from resources.eia.resource import Eia
from resources.lake import LakeWriteError
from sensors.refreshing import Answer, ask_for
from sensors.releases import Cursor, watch
from tests.asking import AFTER, WEEK, Publisher, Watched, watched
from tests.eia_server import Reply, serving

BEFORE, NEXT = date(2023, 10, 27), date(2023, 11, 10)
PAGE = b"<html><head><title>Sorry</title></head></html>"


class Ticks:
    """The sensor, tick after tick: each takes up the cursor of the one before."""

    def __init__(self, world: Watched, publisher: Publisher) -> None:
        self.world, self.publisher = world, publisher
        self.cursor: str | None = None

    def __call__(self) -> Answer:
        cursor = Cursor.read(self.cursor, self.world.standing)
        answer, cursor = watch(cursor, self.world.standing, self.world.alerts, self.world.instance)
        self.cursor = cursor.model_dump_json()
        return answer

    def starts(self, week: date = WEEK) -> dg.RunRequest:
        answer = self()
        assert answer.request is not None, answer.reason
        assert answer.request.partition_key == week.isoformat()
        return answer.request

    def refreshes(self, week: date = WEEK) -> None:
        """A tick that starts a run, and the run."""
        self.world.runs(self.starts(week), lambda: self.world.makes(week))
        assert self().state == "refreshed"

    def requests_of(self) -> int:
        """Requests that a tick costs."""
        before = self.publisher.sent
        self()
        return self.publisher.sent - before


@pytest.fixture
def tick(tmp_path: Path) -> Iterator[Ticks]:
    with watched(tmp_path) as (world, publisher):
        publisher.release()
        yield Ticks(world, publisher)


def refused(error: Exception) -> object:
    def work() -> None:
        raise dg.Failure("refused", allow_retries=False) from error

    return work


def test_the_same_bytes_twice_start_one_run(tick: Ticks) -> None:
    tick.starts()
    tick.cursor = None  # and what stands in the lake is enough, should the cursor be lost
    assert tick().state == "waiting"


def test_a_look_at_nothing_new_is_one_conditional_request_and_asks_neither_lake_nor_runs(
    tick: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick.refreshes()
    monkeypatch.setattr(sys.modules[watch.__module__], "ask_for", None)
    assert tick.requests_of() == 1
    assert "if-none-match" in tick.publisher.server.seen[-1].headers
    assert len(tick.cursor or "") < 500


def test_a_workbook_written_anew_with_the_same_figures_starts_nothing(tick: Ticks) -> None:
    tick.refreshes()
    tick.publisher.release(note="\n")
    assert tick().state == "refreshed"


def test_a_revision_of_the_newest_week_starts_a_second_run(tick: Ticks) -> None:
    tick.refreshes()
    tick.publisher.release(changes={BEFORE: 9000.0})
    tick.refreshes()
    tick.publisher.release()  # and back again
    tick.refreshes()


def test_a_new_week_starts_its_own_run(tick: Ticks) -> None:
    tick.refreshes()
    tick.world.at("2023-11-15T10:45:00-05:00")
    assert tick().state == "refreshed"
    tick.publisher.release(NEXT)
    tick.refreshes(NEXT)


def test_a_week_before_its_time_waits_for_it(tick: Ticks) -> None:
    tick.refreshes()
    tick.world.at("2023-11-15T10:29:00-05:00")
    tick.publisher.release(NEXT)
    for _ in range(2):
        assert tick().state == "refreshed"
    tick.world.at("2023-11-15T10:31:00-05:00")
    tick.starts(NEXT)


def test_figures_of_a_far_future_go_to_the_run_of_the_week_that_is_due(tick: Ticks) -> None:
    tick.publisher.release(date(2099, 1, 2))
    request = tick.starts()
    tick.world.runs(request, refused(ObservationsInvalidError("WGFUPUS2", [])))
    assert tick().state == "ended"
    tick.publisher.release(changes={BEFORE: 9000.0})  # mended, and looked at though it was not seen to change before
    tick.starts()


def test_a_source_that_is_away_for_an_hour_loses_nothing(tick: Ticks) -> None:
    tick.publisher.fault = Reply(503)
    for _ in range(3):
        with pytest.raises(EiaUnreachableError):
            tick()
    tick.publisher.fault = None
    tick.starts()


@pytest.mark.parametrize("body", [PAGE, b"", b"date,value\n2023-11-03,n"], ids=["page", "empty", "cut"])
def test_what_is_no_release_goes_to_a_run_that_fails_by_name_once(tick: Ticks, body: bytes) -> None:
    tick.publisher.put("WGFUPUS2", body)
    request = tick.starts()
    assert request.tags["forecast/values"].startswith("unreadable-")
    tick.world.runs(request, refused(WorkbookError("WGFUPUS2", "all", "damaged")))
    assert tick().state == "ended"
    tick.publisher.release()
    tick.refreshes()


def test_a_page_in_the_place_of_a_release_that_is_made_already_troubles_nobody(tick: Ticks) -> None:
    tick.refreshes()
    tick.publisher.put("WGFUPUS2", PAGE)
    answer = tick()
    assert answer.state == "waiting"
    assert "is refreshed; what the source has now is no release" in answer.reason
    tick.publisher.release()
    before = tick.publisher.sent
    assert tick().state == "refreshed"
    assert tick.publisher.sent == before + 1  # what was seen before the page is seen still


def test_bad_figures_start_one_run_and_the_good_ones_end_the_alert(tick: Ticks) -> None:
    tick.refreshes()
    tick.publisher.release(changes={WEEK: 9_000_000.0})
    tick.world.runs(tick.starts(), refused(ObservationsInvalidError("WGFUPUS2", [])))
    tick.world.alerts.open(Alert("check:release.release_valid", "", "", "", ""))
    assert tick().state == "ended"
    assert tick().state == "refreshed"  # settled: not asked for again
    tick.publisher.release()
    assert tick().state == "refreshed"
    assert tick.world.alerts.open_keys() == []


def test_a_week_that_was_late_closes_its_alert(tick: Ticks) -> None:
    tick.world.alerts.open(Alert(f"late:{WEEK}", "", "", "", ""))
    tick.world.alerts.open(Alert(f"late:{NEXT}", "", "", "", ""))
    tick()
    assert tick.world.alerts.open_keys() == [f"late:{NEXT}"]


def test_a_failure_that_passes_is_tried_again_though_the_source_has_nothing_new(tick: Ticks) -> None:
    full = LakeWriteError("/lake", OSError(28, "No space left on device"))
    tick.world.runs(tick.starts(), refused(full))
    answer = tick()
    assert answer.state == "waiting"
    assert "tried again in" in answer.reason
    assert tick.requests_of() == 1


def test_a_week_is_released_when_every_series_has_it(tmp_path: Path) -> None:
    both = ("WGFUPUS2", "WREUPUS2")
    with watched(tmp_path, series=both) as (world, publisher):
        tick = Ticks(world, publisher)
        publisher.release(BEFORE, *both)
        tick.refreshes(BEFORE)
        publisher.release(WEEK, "WGFUPUS2")
        assert tick().state == "refreshed"
        publisher.release(WEEK, "WREUPUS2")
        tick.refreshes(WEEK)


def test_two_sensors_in_one_tick_start_one_run(tick: Ticks) -> None:
    request = tick.starts()
    values = request.tags["forecast/values"]
    answer = ask_for(WEEK, values, standing=tick.world.standing, instance=tick.world.instance, by="landings")
    assert answer.state == "waiting"
    assert tick().state == "waiting"


@pytest.mark.parametrize(
    "cursor", ["", "no json", "[]", '{"version": 0}', '{"version": 1, "about": "x", "week": "never"}', "\x00"], ids=repr
)
def test_a_damaged_or_old_cursor_is_no_failure(tick: Ticks, cursor: str) -> None:
    tick.cursor = cursor
    tick.starts()
    assert json.loads(tick.cursor)["version"] == 1


def test_the_cursor_of_another_lake_or_source_counts_for_nothing(tick: Ticks) -> None:
    tick.refreshes()
    assert Cursor.read(tick.cursor, tick.world.standing).series
    tick.world.eia = Eia(source="https://user:secret@elsewhere/eia", lake=tick.world.lake)
    other = Cursor.read(tick.cursor, tick.world.standing)
    assert other.series == {}
    assert "secret" not in other.model_dump_json()


def test_a_server_without_validators_is_read_whole_and_judged_by_its_figures(tick: Ticks) -> None:
    tick.publisher.validators = False
    tick.refreshes()
    assert tick().state == "refreshed"
    tick.publisher.release(changes={BEFORE: 9000.0})
    tick.starts()


# -- as Dagster runs it ----------------------------------------------------------------------------------------------


def evaluated(world: Watched, cursor: str | None) -> Any:
    resources = {name: getattr(world, name) for name in ("settings", "lake", "eia", "clock", "sagemaker", "alerts")}
    defs = build_defs(settings=world.settings, resource_overrides=resources)
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("releases")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    with dg.build_sensor_context(
        instance=world.instance, cursor=cursor, repository_def=repository, resources=defs.resources
    ) as context:
        return sensor.evaluate_tick(context)


def test_the_sensor_runs_by_default_and_asks_for_a_partition(tick: Ticks) -> None:
    data = evaluated(tick.world, None)
    (request,) = data.run_requests
    assert request.tags["dagster/partition"] == WEEK.isoformat()
    assert request.job_name == "weekly_refresh"
    assert "has just asked" in evaluated(tick.world, data.cursor).skip_message


def test_a_tick_in_which_nobody_answers_says_so_and_keeps_its_cursor(tick: Ticks) -> None:
    tick.publisher.fault = Reply(503)
    data = evaluated(tick.world, "kept")
    assert data.skip_message.startswith("EiaBusyError")
    assert data.cursor in {None, "kept"}


def test_a_simulated_lake_is_released_by_the_calendar(tmp_path: Path) -> None:
    world = Watched(tmp_path, "sample")
    try:
        tick = Ticks(world, None)  # type: ignore[arg-type]
        tick.refreshes()
        world.at("2023-11-15T10:29:00-05:00")
        assert tick().state == "refreshed"
        world.at("2023-11-15T10:30:00-05:00")
        tick.refreshes(NEXT)
    finally:
        world.instance.dispose()


@pytest.mark.slow
def test_a_release_is_refreshed_to_its_end_once_and_what_was_refreshed_by_hand_not_at_all(tmp_path: Path) -> None:
    """With the platform's own jobs, gate and registry: the lake itself says that a week is refreshed."""
    with serving() as server:
        publisher = Publisher(server)
        publisher.release(WEEK, "WREUPUS2", since=date(2000, 1, 7))
        platform = small_platform(tmp_path / "lake", publisher.url)
        alerts = Alerts(lake=platform.lake, clock=platform.clock)
        with dg.DagsterInstance.ephemeral() as instance:
            cursor = Cursor.read(None, platform)
            answer, cursor = watch(cursor, platform, alerts, instance)
            assert answer.request is not None
            result = platform.defs.resolve_job_def("weekly_refresh").execute_in_process(
                partition_key=answer.request.partition_key, tags=dict(answer.request.tags), instance=instance
            )
            assert result.success
            answer, cursor = watch(cursor, platform, alerts, instance)
            assert (answer.state, cursor.settled) == ("refreshed", True)
        with dg.DagsterInstance.ephemeral() as another:  # without a record of that run, as after one by hand
            answer, _ = watch(Cursor.read(None, platform), platform, alerts, another)
            assert answer.state == "refreshed"
            publisher.release(WEEK, "WREUPUS2", since=date(2000, 1, 7), changes={BEFORE: 300.0})
            answer, _ = watch(cursor, platform, alerts, another)
            assert answer.state == "asked"


def small_platform(lake: Path, source: str) -> Platform:
    settings = load_settings(
        lake_uri=str(lake), eia_source=source, series=["WREUPUS2"], search="quick", step=24, max_harmonics=2, workers=1
    )
    return Platform(build_defs(settings=settings, resource_overrides={"clock": Clock(fixed=AFTER.isoformat())}))
