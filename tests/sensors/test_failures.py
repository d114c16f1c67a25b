"""What failed is said once, in words a person on call can use; what heals by itself is not said at all."""

from datetime import date, timedelta

import dagster as dg
import pytest

from resources.alerts import Alerts
from resources.eia.errors import EiaUnreachableError
from resources.lake import Lake, LakeError
from sensors.failures import Progress, Reader
from tests.sensors.conftest import Runs, in_real_time, said, write_forecast
from tests.world import WEEK, World

KEY = f"run:weekly_refresh:{WEEK}"
NEXT = WEEK + timedelta(weeks=1)
UNREACHABLE = EiaUnreachableError("https://www.eia.gov/x.xls", "connection refused", attempts=4)
BY_SENSOR = {"forecast/attempt": "1"}


class Watch:
    """The sensor, tick after tick; its memory is what a daemon would have kept of it."""

    def __init__(self, instance: dg.DagsterInstance, world: World, alerts: Alerts) -> None:
        self._instance, self._world, self._alerts = instance, world, alerts
        self.cursor: str | None = None

    def tick(self, *, later_s: float = 0) -> list[str]:
        reader = Reader(self._instance, self._world.platform, self._alerts)
        progress, changed = reader.read(Progress.read(self.cursor), now_s=in_real_time() + later_s)
        self.cursor = progress.written()
        return changed


@pytest.fixture
def watch(instance: dg.DagsterInstance, world: World, alerts: Alerts) -> Watch:
    return Watch(instance, world, alerts)


def test_a_run_that_failed_is_said_with_what_why_and_what_it_means(
    runs: Runs, watch: Watch, alerts: Alerts, world: World
) -> None:
    write_forecast(world, WEEK - timedelta(weeks=1))
    runs.mood.error = ValueError("the workbook has no sheet 'Data 1'")
    run_id = runs.run("weekly_refresh")
    assert watch.tick() == [f"opened {KEY}"]
    alert = said(alerts, KEY).alert
    assert (alert.title, alert.week, alert.link) == ("The refresh of 2023-11-10 failed", WEEK, f"/runs/{run_id}")
    assert alert.what == f"Run {run_id[:8]} of the job weekly_refresh of 2023-11-10 failed at observations."
    assert alert.why == "observations: ValueError: the workbook has no sheet 'Data 1'"
    assert alert.consequence == "The newest forecast is that of 2023-11-03. There is no endpoint, so no model serves."
    assert watch.tick() == []


def test_a_blocking_check_is_told_by_the_run_and_by_nothing_else(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    runs.mood.blocked = True
    runs.run("weekly_refresh")
    assert watch.tick() == [f"opened {KEY}"]
    assert said(alerts, KEY).alert.why == "ERROR gate: No series passed. Look at held_out."


def test_a_success_of_the_week_ends_it_and_another_failure_is_said_again(
    runs: Runs, watch: Watch, alerts: Alerts
) -> None:
    for _ in range(2):
        runs.mood.error = ValueError("x")
        runs.run("weekly_refresh")
        assert watch.tick() == [f"opened {KEY}"]
        runs.mood.error = None
        runs.run("weekly_refresh")
        assert watch.tick() == [f"closed {KEY}"]
    first, second = alerts.unsettled()[0]
    assert (first.recovery, second.number) == ("The refresh of 2023-11-10 has succeeded.", 2)


def test_a_success_of_a_later_week_ends_it_and_says_what_is_missing(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    runs.mood.error = ValueError("x")
    runs.run("weekly_refresh")
    watch.tick()
    runs.mood.error = None
    runs.run("weekly_refresh", WEEK - timedelta(weeks=1))
    runs.run("score", NEXT)
    assert watch.tick() == [], "neither an earlier week nor another job makes it good"
    runs.run("weekly_refresh", NEXT)
    assert watch.tick() == [f"closed {KEY}"]
    (closed,) = alerts.unsettled()[0]
    assert closed.recovery == (
        "The refresh of a later week, 2023-11-17, has succeeded. 2023-11-10 itself has no forecast: "
        "`forecast backfill --from 2023-11-10 --to 2023-11-10` makes it."
    )


def test_a_refresh_ends_what_failed_alone_of_what_it_includes(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    """A registration met the refresh of its week, say, and changed nothing: no other one will ever succeed."""
    runs.mood.error = ValueError("x")
    runs.run("score")
    runs.run("score", WEEK - timedelta(weeks=1))
    watch.tick()
    runs.mood.error = None
    runs.run("weekly_refresh")
    assert watch.tick() == [f"closed run:score:{WEEK}"], "the scores of another week are not made by it"
    assert [each.recovery for each in alerts.unsettled()[0]] == ["", "The refresh of 2023-11-10 has succeeded."]


def test_a_deployment_has_no_week(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    runs.mood.error = dg.Failure("the endpoint went back to the model before")
    runs.run("deploy", None)
    assert watch.tick() == ["opened run:deploy:-"]
    alert = said(alerts, "run:deploy:-").alert
    assert (alert.title, alert.week) == ("The deployment failed", None)
    assert alert.why == "forecast_endpoint: the endpoint went back to the model before"
    runs.mood.error = None
    runs.run("deploy", None)
    assert watch.tick() == ["closed run:deploy:-"]


# -- what heals by itself ----------------------------------------------------------------------------------------------


def test_a_passing_fault_is_said_when_the_next_try_fails_too(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    runs.mood.error = UNREACHABLE
    runs.run("weekly_refresh", tags=BY_SENSOR)
    assert watch.tick() == []
    runs.run("weekly_refresh", tags={"forecast/attempt": "2"})
    assert watch.tick() == [f"opened {KEY}"]
    alert = said(alerts, KEY).alert
    assert "connection refused" in alert.why
    assert alert.consequence.endswith("It is tried again by itself.")


def test_a_passing_fault_that_the_next_try_heals_is_not_said(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    runs.mood.error = UNREACHABLE
    runs.run("weekly_refresh", tags=BY_SENSOR)
    watch.tick()
    runs.mood.error = None
    runs.run("weekly_refresh", tags={"forecast/attempt": "2"})
    assert watch.tick() == []
    assert watch.tick(later_s=1e6) == []
    assert alerts.unsettled() == ([], [])


@pytest.mark.parametrize("tags", [BY_SENSOR, {"dagster/will_retry": "true"}], ids=["sensor", "dagster"])
def test_a_next_try_that_never_comes_is_not_waited_for(
    runs: Runs, watch: Watch, world: World, tags: dict[str, str]
) -> None:
    runs.mood.error = UNREACHABLE
    runs.run("weekly_refresh", tags=tags)
    assert watch.tick() == []
    at_work = runs.started("weekly_refresh", WEEK)
    late = 3.0 * world.settings.watch.retry_s
    assert watch.tick(later_s=late) == [], "it has come"
    run = runs.instance.get_run_by_id(at_work)
    assert run is not None
    runs.instance.report_run_canceled(run)
    assert watch.tick(later_s=late) == [f"opened {KEY}"]


def test_of_the_attempts_that_dagster_makes_the_last_one_is_said(runs: Runs, watch: Watch) -> None:
    runs.mood.error = ValueError("x")
    for _ in range(2):
        runs.run("weekly_refresh", tags={"dagster/will_retry": "true"})
        assert watch.tick() == []
    runs.run("weekly_refresh", tags={"dagster/will_retry": "false"})
    assert watch.tick() == [f"opened {KEY}"]


def test_a_fault_that_a_person_met_is_said_at_once(runs: Runs, watch: Watch) -> None:
    runs.mood.error = UNREACHABLE
    runs.run("weekly_refresh")
    assert watch.tick() == [f"opened {KEY}"]


# -- checks ------------------------------------------------------------------------------------------------------------


def test_a_check_that_warns_for_weeks_is_said_once_and_ends_when_it_passes(
    runs: Runs, watch: Watch, alerts: Alerts, world: World
) -> None:
    key = "check:observations.few_revisions"
    runs.mood.revised = True
    runs.run("weekly_refresh")
    assert watch.tick() == [f"opened {key}"], "and residuals_normal is muted"
    alert = said(alerts, key).alert
    assert (alert.title, alert.why) == ("The check few_revisions failed for 2023-11-10", "9 weeks were revised.")
    write_forecast(world, WEEK)
    runs.run("weekly_refresh", NEXT)
    assert watch.tick() == []
    runs.mood.revised = False
    runs.run("weekly_refresh", WEEK - timedelta(weeks=4))
    assert watch.tick() == [], "what an old week is like says nothing of the newest"
    runs.run("weekly_refresh", NEXT)
    assert watch.tick() == [f"closed {key}"]
    assert alerts.unsettled()[0][0].recovery == "The check few_revisions has passed for 2023-11-17."


# -- backfills ---------------------------------------------------------------------------------------------------------


def test_a_backfill_from_a_terminal_is_one_alert(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    weeks = [date(2023, 9, 1) + timedelta(weeks=n) for n in range(4)]
    for number, week in enumerate(weeks):
        runs.mood.error = None if number % 2 else ValueError("x")
        runs.run("backfill", week)
        watch.tick()
    assert alerts.open_keys() == ["run:backfill:-"]
    assert len(alerts.unsettled()[0]) == 1
    assert "Other weeks may have failed too" in said(alerts, "run:backfill:-").alert.consequence
    runs.mood.error = None
    runs.run("backfill", weeks[0])
    assert watch.tick() == ["closed run:backfill:-"]


def test_a_backfill_from_the_ui_is_one_alert_at_its_end_and_over_when_its_weeks_are_made(
    runs: Runs, watch: Watch, alerts: Alerts
) -> None:
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    backfill = PartitionBackfill(
        backfill_id="abcdefgh",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=in_real_time(),
    )
    runs.instance.add_backfill(backfill)
    weeks = [date(2022, 1, 7) + timedelta(weeks=n) for n in range(3)]
    for number, week in enumerate(weeks):
        runs.mood.error = ValueError("no figures") if number < 2 else None
        runs.run("backfill", week, tags={"dagster/backfill": "abcdefgh"})
        assert watch.tick() == []
    runs.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_FAILED))
    assert watch.tick() == ["opened backfill:abcdefgh"]
    alert = said(alerts, "backfill:abcdefgh").alert
    assert alert.title == "Backfill abcdefgh: 2 weeks failed"
    assert alert.what == "Failed: 2022-01-07, 2022-01-14."
    assert alert.why == "2022-01-07: observations: ValueError: no figures"
    assert watch.tick() == []
    runs.mood.error = None
    runs.run("backfill", weeks[0])
    assert watch.tick() == []
    runs.run("weekly_refresh", weeks[1])
    assert watch.tick() == ["closed backfill:abcdefgh"]


# -- the sensor's own bad days -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_ended_while_nobody_looked_is_taken_up(world: World, alerts: Alerts, runs: Runs) -> None:
    with dg.instance_for_test() as instance:  # in files, where each run has a database of its own
        watch, on_disk = Watch(instance, world, alerts), Runs(instance, runs.mood, runs.defs)
        on_disk.run("weekly_refresh", WEEK - timedelta(weeks=1))
        assert watch.tick() == []
        runs.mood.error = ValueError("x")
        on_disk.run("weekly_refresh")
        on_disk.run("weekly_refresh", NEXT)
        assert watch.tick() == [f"opened {KEY}", f"opened run:weekly_refresh:{NEXT}"]
        runs.mood.error = None
        on_disk.run("weekly_refresh", NEXT)
        assert watch.tick() == [f"closed {KEY}", f"closed run:weekly_refresh:{NEXT}"]
        assert watch.tick() == []


def test_a_tick_that_is_repeated_says_nothing_twice(runs: Runs, watch: Watch, alerts: Alerts) -> None:
    watch.tick()
    kept = watch.cursor
    runs.mood.error = ValueError("x")
    runs.run("weekly_refresh")
    assert watch.tick() == [f"opened {KEY}"]
    watch.cursor = kept  # the daemon was killed before it kept the new one
    assert watch.tick() == []
    runs.mood.error = None
    runs.run("weekly_refresh")
    assert watch.tick() == [f"closed {KEY}"]
    watch.cursor = kept
    assert watch.tick() == []
    assert len(alerts.unsettled()[0]) == 1


def test_a_lake_that_is_away_delays_what_is_said(
    runs: Runs, watch: Watch, alerts: Alerts, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.mood.error = ValueError("x")
    runs.run("weekly_refresh")
    with monkeypatch.context() as patch:

        def away(*_: object) -> None:
            raise LakeError("the lake is away")

        patch.setattr(Lake, "storage", property(away))
        with pytest.raises(LakeError, match="away"):
            watch.tick()
    assert watch.tick() == [f"opened {KEY}"]


def test_the_very_first_tick_leaves_old_history_alone(runs: Runs, watch: Watch) -> None:
    runs.mood.error = ValueError("x")
    runs.run("weekly_refresh")
    assert watch.tick(later_s=2 * 86_400) == []
