"""The watchman: a week that is overdue and of which nobody has said why, and sensors that do not see any more."""

import json
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, InstigatorType, TickStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from forecast_assets.consequence import consequence
from forecast_assets.reasons import cause
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from resources.alerts import Alert, Alerts
from resources.eia.calendar import due, newest_due
from resources.tags import PARTITION_TAG

BLIND_AFTER = 3
"""Ticks of a sensor that fail in a row before somebody is told; of a schedule, which ticks rarely, one is enough."""

_PATIENCE = 3  # looks: a platform that was just started is about to begin
_UNWATCHED = frozenset({"deliveries", "staleness"})  # the one tells of its channels, the other cannot tell of itself


def staleness(configured: Settings) -> dg.SensorDefinition:
    """The sensor, which looks as often as is configured."""

    @dg.sensor(
        name="staleness",
        minimum_interval_seconds=configured.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Opens an alert where a week that was due {configured.watch.stale_after_h} hours ago has no whole "
        "forecast and no other alert says why, and where a sensor or schedule keeps failing.",
    )
    def tick(
        context: dg.SensorEvaluationContext, standing: dg.ResourceParam[Standing], alerts: Alerts
    ) -> dg.SensorResult:
        looks = json.loads(context.cursor) if context.cursor else {}
        looks, said = watch_week(standing, alerts, context.instance, looks)
        said += watch_sensors(alerts, context.instance)
        reason = dg.SkipReason("; ".join(said) or "Nothing is overdue, and every sensor sees")
        return dg.SensorResult(skip_reason=reason, cursor=json.dumps(looks))

    return tick


# -- weeks -------------------------------------------------------------------------------------------------------------


def watch_week(
    standing: Standing, alerts: Alerts, instance: dg.DagsterInstance, looks: dict[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Open an alert for the newest week that is overdue, and close those of weeks that are so no longer.

    Args:
        standing: How the lake stands.
        alerts: The outbox.
        instance: Where runs are recorded.
        looks: At how many looks in a row a week was overdue with nothing at work on it.

    Returns:
        The looks now; what changed, in words.
    """
    said = []
    whole = newest_whole(standing)
    for key in alerts.open_keys("stale:"):
        week = date.fromisoformat(key.removeprefix("stale:"))
        recovery = ""
        if not missing(standing, week):
            recovery = f"The forecast of {week} is there."
        elif whole is not None and whole > week:
            recovery = f"The forecast of a later week, {whole}, is there; that of {week} is not."
        if recovery and alerts.close(key, recovery=recovery):
            said.append(f"closed {key}")
    week = newest_due(standing.clock.now() - timedelta(hours=standing.settings.watch.stale_after_h))
    lacking = missing(standing, week) if whole is None or whole < week else ()
    if not lacking or _is_at_work(instance, week, hours=standing.settings.watch.stale_after_h):
        return {}, said
    if other := told_of(alerts, week):
        return {}, [*said, f"{week} is overdue, which {other} says"]
    count = looks.get(str(week), 0) + 1
    if count < _PATIENCE:
        said.append(f"{week} is overdue")
    elif alerts.open(_overdue(standing, instance, week, lacking)):
        said.append(f"opened stale:{week}")
    else:
        said.append(f"{week} is overdue, which stale:{week} says")
    return {str(week): min(count, _PATIENCE)}, said


def missing(standing: Standing, week: date) -> tuple[str, ...]:
    """The series that have no forecast of a week."""
    if not standing.lake.has("forecast", week):
        return standing.settings.series_ids
    there = set(standing.lake.read("forecast", week)["unique_id"])
    return tuple(name for name in standing.settings.series_ids if name not in there)


def newest_whole(standing: Standing) -> date | None:
    """The newest week with a forecast of every series, of the newest few that have any."""
    for week in reversed(standing.lake.weeks("forecast")[-8:]):
        if not missing(standing, week):
            return week
    return None


def told_of(alerts: Alerts, week: date) -> str | None:
    """The alert that has already said why a week has no forecast, if there is one."""
    said = {f"late:{week}", f"run:weekly_refresh:{week}"}
    return next((key for key in alerts.open_keys() if key in said), None)


def _is_at_work(instance: dg.DagsterInstance, week: date, *, hours: int) -> bool:
    """Whether a run makes the week; one that has hung or queued for as long as the week may be late does not count."""
    filters = dg.RunsFilter(
        tags={PARTITION_TAG: week.isoformat()},
        statuses=NOT_FINISHED_STATUSES,
        created_after=datetime.now(UTC) - timedelta(hours=hours),
    )
    return bool(instance.get_run_records(filters, limit=1))


def _overdue(standing: Standing, instance: dg.DagsterInstance, week: date, lacking: tuple[str, ...]) -> Alert:
    hours = standing.settings.watch.stale_after_h
    runs = instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: week.isoformat()}), limit=1)
    last = runs[0].dagster_run if runs else None
    everything = lacking == standing.settings.series_ids
    return Alert(
        key=f"stale:{week}",
        title=f"There is no {'' if everything else 'whole '}forecast of {week}",
        what=f"{week} was due on {due(week):%A, %Y-%m-%d at %H:%M} Eastern Time, more than {hours} hours ago, and "
        + ("has no forecast." if everything else f"has no forecast of {', '.join(lacking)}."),
        why=f"The last run of the week, {last.run_id[:8]} ({last.job_name}), "
        + (f"ended as {last.status.value}." if last.is_finished else f"is {last.status.value} since long.")
        if last
        else "No run of the week was started.",
        consequence=consequence(standing),
        week=week,
        link=f"/runs/{last.run_id}" if last else "/automation",
    )


# -- sensors and schedules ---------------------------------------------------------------------------------------------


def watch_sensors(alerts: Alerts, instance: dg.DagsterInstance) -> list[str]:
    """Open an alert for each sensor or schedule that keeps failing, and close those of such as see again."""
    said = []
    opened = set(alerts.open_keys("sensor:"))
    for state in instance.all_instigator_state():
        key = f"sensor:{state.instigator_name}"
        if state.instigator_name in _UNWATCHED:
            continue
        enough = BLIND_AFTER if state.instigator_type == InstigatorType.SENSOR else 1
        ended = [tick for tick in _ticks(instance, state) if tick.status != TickStatus.STARTED][:enough]
        failing = [tick for tick in ended if tick.status == TickStatus.FAILURE]
        if state.is_running and len(failing) == enough:
            if key not in opened and alerts.open(_blind(key, state, failing[0])):
                said.append(f"opened {key}")
        elif key in opened and not (ended and ended[0] in failing and state.is_running):
            recovery = "It looks again." if state.is_running else "Somebody has stopped it."
            if alerts.close(key, recovery=f"{state.instigator_name}: {recovery}"):
                said.append(f"closed {key}")
    return said


def _ticks(instance: dg.DagsterInstance, state: InstigatorState) -> list[InstigatorTick]:
    """Its ticks, the newest first."""
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=BLIND_AFTER + 1))


def _blind(key: str, state: InstigatorState, last: InstigatorTick) -> Alert:
    kind = "sensor" if state.instigator_type == InstigatorType.SENSOR else "schedule"
    times = f"its last {BLIND_AFTER} looks" if kind == "sensor" else "its last tick"
    return Alert(
        key=key,
        title=f"The {kind} {state.instigator_name} fails",
        what=f"The {kind} {state.instigator_name} failed at {times}.",
        why=cause(last.error),
        consequence="What it watches goes unseen until it looks again; then it takes up what it missed.",
        link="/automation",
    )
