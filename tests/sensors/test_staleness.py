"""The watchman: what is overdue and nobody has said, and sensors that do not see any more."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import freeze_time
from dagster_shared.error import SerializableErrorInfo

from resources.alerts import Alert, Alerts
from resources.clock import Clock
from resources.eia.calendar import due
from sensors.staleness import staleness, watch_sensors, watch_week
from tests.sensors.conftest import Runs, said, write_forecast
from tests.world import WEEK, World

KEY = f"stale:{WEEK}"
AFTER = timedelta(hours=36)
NEXT = WEEK + timedelta(weeks=1)


class Watchman:
    """Looks as the sensor does, at a time that a test sets."""

    def __init__(self, file: Path, instance: dg.DagsterInstance) -> None:
        self._file, self._instance = file, instance
        self.world = World(file.parent / "lake", file.parent, resources={"clock": Clock(fixed=str(file))})
        self.to(due(WEEK) + AFTER + timedelta(minutes=1))
        self._looks: dict[str, int] = {}

    def to(self, time: datetime) -> None:
        self._file.write_text(time.isoformat())

    @property
    def alerts(self) -> Alerts:
        platform = self.world.platform
        return Alerts(lake=platform.lake, clock=platform.clock)

    def look(self, times: int = 1) -> list[str]:
        changed = []
        for _ in range(times):
            self._looks, changed = watch_week(self.world.platform, self.alerts, self._instance, self._looks)
        return changed


@pytest.fixture
def watchman(tmp_path: Path, instance: dg.DagsterInstance) -> Watchman:
    return Watchman(tmp_path / "now", instance)


def test_a_week_is_overdue_a_day_and_a_half_after_it_was_due(watchman: Watchman) -> None:
    write_forecast(watchman.world, WEEK - timedelta(weeks=1))
    watchman.to(due(WEEK) + AFTER - timedelta(minutes=1))
    assert watchman.look(5) == []
    watchman.to(due(WEEK) + AFTER + timedelta(minutes=1))
    assert watchman.look(2) == ["2023-11-10 is overdue"], "what was just started is about to begin"
    assert watchman.look() == [f"opened {KEY}"]
    assert watchman.look(3) == [f"2023-11-10 is overdue, which {KEY} says"]
    alert = said(watchman.alerts, KEY).alert
    assert (alert.title, alert.week) == ("There is no forecast of 2023-11-10", WEEK)
    due_on = "was due on Wednesday, 2023-11-15 at 10:30 Eastern Time, more than 36 hours ago"
    assert alert.what == f"2023-11-10 {due_on}, and has no forecast."
    assert alert.why == "No run of the week was started."
    assert alert.consequence.startswith("The newest forecast is that of 2023-11-03.")


def test_it_ends_with_the_forecast_of_the_week_or_of_a_later_one(watchman: Watchman) -> None:
    watchman.look(3)
    write_forecast(watchman.world, WEEK)
    assert watchman.look() == [f"closed {KEY}"]
    assert watchman.alerts.unsettled()[0][0].recovery == "The forecast of 2023-11-10 is there."

    watchman.to(due(NEXT) + AFTER + timedelta(minutes=1))
    assert watchman.look(3) == [f"opened stale:{NEXT}"]
    later = NEXT + timedelta(weeks=1)
    write_forecast(watchman.world, later)
    assert watchman.look() == [f"closed stale:{NEXT}"]
    recovery = watchman.alerts.unsettled()[0][1].recovery
    assert recovery == "The forecast of a later week, 2023-11-24, is there; that of 2023-11-17 is not."


def test_a_forecast_that_lacks_a_series_is_not_whole(watchman: Watchman) -> None:
    write_forecast(watchman.world, WEEK, ("WGFUPUS2",))
    assert watchman.look(3) == [f"opened {KEY}"]
    alert = said(watchman.alerts, KEY).alert
    assert alert.title == "There is no whole forecast of 2023-11-10"
    assert alert.what.endswith("has no forecast of WREUPUS2.")


@pytest.mark.parametrize("other", [f"late:{WEEK}", f"run:weekly_refresh:{WEEK}"])
def test_what_another_alert_says_is_not_said_twice(watchman: Watchman, other: str) -> None:
    watchman.alerts.open(Alert(other, "t", "w", "y", "c", WEEK))
    assert watchman.look(5) == [f"2023-11-10 is overdue, which {other} says"]
    watchman.alerts.close(other, recovery="over, and yet there is no forecast")
    assert watchman.look(3) == [f"opened {KEY}"]


def test_a_week_that_is_being_made_is_waited_for(watchman: Watchman, runs: Runs) -> None:
    at_work = runs.started("weekly_refresh", WEEK)
    assert watchman.look(5) == []
    run = runs.instance.get_run_by_id(at_work)
    assert run is not None
    runs.instance.report_run_failed(run)
    assert watchman.look(3) == [f"opened {KEY}"]
    alert = said(watchman.alerts, KEY).alert
    assert alert.why == f"The last run of the week, {at_work[:8]} (weekly_refresh), ended as FAILURE."
    assert alert.link == f"/runs/{at_work}"


def test_a_run_that_has_hung_for_days_is_not_waited_for(watchman: Watchman, runs: Runs) -> None:
    with freeze_time(datetime.now(UTC) - timedelta(hours=37)):
        at_work = runs.started("weekly_refresh", WEEK)
    assert watchman.look(3) == [f"opened {KEY}"]
    why = said(watchman.alerts, KEY).alert.why
    assert why == f"The last run of the week, {at_work[:8]} (weekly_refresh), is STARTED since long."


@pytest.mark.parametrize(
    ("week", "overdue"),
    [
        pytest.param(date(2023, 11, 10), datetime(2023, 11, 17, 3, 30, tzinfo=UTC), id="winter"),
        pytest.param(date(2023, 3, 10), datetime(2023, 3, 17, 2, 30, tzinfo=UTC), id="after the clocks changed"),
        pytest.param(date(2023, 12, 29), datetime(2024, 1, 6, 3, 30, tzinfo=UTC), id="holiday week"),
    ],
)
def test_the_hour_follows_the_release_through_holidays_and_daylight_saving(
    watchman: Watchman, week: date, overdue: datetime
) -> None:
    write_forecast(watchman.world, week - timedelta(weeks=1))
    watchman.to(overdue - timedelta(minutes=1))
    assert watchman.look(3) == []
    watchman.to(overdue)
    assert watchman.look(3) == [f"opened stale:{week}"]


# -- sensors -----------------------------------------------------------------------------------------------------------


class Ticks:
    """What a daemon keeps of a sensor or schedule."""

    def __init__(self, instance: dg.DagsterInstance, name: str, kind: InstigatorType = InstigatorType.SENSOR) -> None:
        from dagster._core.remote_origin import (
            ManagedGrpcPythonEnvCodeLocationOrigin,
            RemoteInstigatorOrigin,
            RemoteRepositoryOrigin,
        )
        from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

        location = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="x"), "x")
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
        self._instance, self._time = instance, 1e9
        data = SensorInstigatorData() if kind == InstigatorType.SENSOR else ScheduleInstigatorData("0 18 * * 3,4")
        self._state = InstigatorState(origin, kind, InstigatorStatus.RUNNING, data)
        instance.add_instigator_state(self._state)

    def tick(self, status: TickStatus, said: str = "") -> None:
        self._time += 60
        error = SerializableErrorInfo(f"builtins.OSError: {said}\n", [], "OSError") if said else None
        self._instance.create_tick(
            TickData(
                instigator_origin_id=self._state.instigator_origin_id,
                instigator_name=self._state.instigator_name,
                instigator_type=self._state.instigator_type,
                status=status,
                timestamp=self._time,
                selector_id=self._state.selector_id,
                error=error,
            )
        )

    def stop(self) -> None:
        self._instance.update_instigator_state(self._state.with_status(InstigatorStatus.STOPPED))


@pytest.fixture
def daemons() -> Iterator[dg.DagsterInstance]:
    """An instance that keeps ticks."""
    with dg.instance_for_test() as instance:
        yield instance


def test_a_sensor_that_keeps_failing_is_said_once_and_ends_when_it_looks_again(
    daemons: dg.DagsterInstance, alerts: Alerts
) -> None:
    releases, quiet = Ticks(daemons, "releases"), Ticks(daemons, "deliveries")
    for number in range(5):
        for each in (releases, quiet):
            each.tick(TickStatus.FAILURE, f"disk I/O error {number}")
            each.tick(TickStatus.SKIPPED) if number == 1 else None
        changed = watch_sensors(alerts, daemons)
        assert changed == (["opened sensor:releases"] if number == 4 else [])
    releases.tick(TickStatus.STARTED)
    assert watch_sensors(alerts, daemons) == []
    alert = said(alerts, "sensor:releases").alert
    assert alert.title == "The sensor releases fails"
    assert alert.why == "OSError: disk I/O error 4"
    releases.tick(TickStatus.SKIPPED)
    assert watch_sensors(alerts, daemons) == ["closed sensor:releases"]


def test_a_schedule_that_failed_once_is_said_and_one_that_somebody_stops_is_over(
    daemons: dg.DagsterInstance, alerts: Alerts
) -> None:
    schedule = Ticks(daemons, "safety_net", InstigatorType.SCHEDULE)
    schedule.tick(TickStatus.FAILURE, "x")
    assert watch_sensors(alerts, daemons) == ["opened sensor:safety_net"]
    schedule.stop()
    assert watch_sensors(alerts, daemons) == ["closed sensor:safety_net"]


def test_the_sensor_says_what_it_did(watchman: Watchman, daemons: dg.DagsterInstance) -> None:
    sensor = staleness(watchman.world.settings)
    cursor = None
    for expected in ("2023-11-10 is overdue", "2023-11-10 is overdue", f"opened {KEY}", f"which {KEY} says"):
        resources = watchman.world.platform.defs.resources
        with dg.build_sensor_context(instance=daemons, cursor=cursor, resources=resources) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        assert expected in str(result.skip_reason)
        cursor = result.cursor
