"""What failed becomes an alert, and what has recovered ends it.

The runs that ended are read from Dagster's history, from where the last tick stopped: a daemon that was down misses
none. What they come to is applied to the alerts as a whole at the end of a tick, so a tick that is repeated, because it
was killed or the lake was away, says nothing twice.
"""

import functools
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Literal

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from forecast_assets.consequence import consequence
from forecast_assets.passing import why_failed
from forecast_assets.reasons import evaluations, reasons
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from resources.alerts import Alert, Alerts
from resources.tags import BACKFILL_TAG, PARTITION_TAG, WILL_RETRY_TAG
from sensors.backfills import Backfills, events_of, read_backfills
from sensors.refreshing import ATTEMPT_TAG

_ENDED: tuple[Literal[dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE], ...] = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
)
_AT_ONCE = 100  # runs that a tick looks at
_OVERLAP = 1000  # events that are read again: in PostgreSQL the one with the lower number may become visible later
_FIRST_LOOK_S = 86_400.0  # how far back the very first tick looks
_SETTLING_S = 60.0  # within which Dagster notes whether it retries a run

_DOING = {
    "weekly_refresh": "refresh",
    "backfill": "backfill",
    "score": "scoring",
    "register": "registration",
    "deploy": "deployment",
}
_INCLUDED = {"weekly_refresh": ("register", "score", "redraw"), "deploy": ("sql_catalog",)}
"""What a job makes besides, which jobs of their own make where only that is missing."""


@dataclass(frozen=True)
class Held:
    """A failed run that is about to be tried again: it is said if that does not help.

    Attributes:
        run_id: Which.
        until: When it is said at the latest, in seconds since 1970.
    """

    run_id: str
    until: float


@dataclass
class Progress:
    """How far the history is read.

    Attributes:
        after: Number of the newest event that was read; 0 before the first tick.
        handled: Numbers of those shortly before it.
        held: What is not said yet, by the key of its alert.
        backfills: What is known of backfills.
    """

    after: int = 0
    handled: list[int] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    backfills: Backfills = field(default_factory=Backfills)

    @classmethod
    def read(cls, cursor: str | None) -> "Progress":
        """From a sensor's cursor."""
        said = json.loads(cursor) if cursor else {}
        held = {key: Held(**each) for key, each in said.get("held", {}).items()}
        return cls(said.get("after", 0), said.get("handled", []), held, Backfills(**said.get("backfills", {})))

    def written(self) -> str:
        """As a sensor's cursor."""
        return json.dumps(asdict(self))


class Reader:
    """Reads what happened, and says what is wrong now.

    Args:
        instance: Where runs are recorded.
        standing: How the lake stands.
        alerts: The outbox.
    """

    def __init__(self, instance: dg.DagsterInstance, standing: Standing, alerts: Alerts) -> None:
        self._instance, self._standing, self._alerts = instance, standing, alerts
        self._open: set[str] = set()
        self._wanted: dict[str, Alert | str] = {}  # by key: what is wrong, or what it recovered of

    def read(self, progress: Progress, *, now_s: float) -> tuple[Progress, list[str]]:
        """Read what happened since, and open and close alerts accordingly.

        Args:
            progress: How far the last tick came.
            now_s: Real time, in seconds since 1970.

        Returns:
            How far this one came, and what changed, in words.

        Raises:
            LakeError: The alerts cannot be read or written; the tick is to be repeated.
        """
        self._open = set(self._alerts.open_keys())
        self._wanted = {}
        held = dict(progress.held)
        ended = list(self._ended(progress, now_s))
        for record in ended:
            self._take(record, held, now_s)
        for key, each in list(held.items()):
            run = self._instance.get_run_by_id(each.run_id)
            if run is None:  # deleted, by a person
                del held[key]
            elif now_s >= each.until and not self._is_at_work(run):
                self._wanted[key] = self._of_run(run)
                del held[key]
        backfills, of_backfills = read_backfills(self._instance, progress.backfills, self._open, now_s=now_s)
        self._wanted |= of_backfills
        said = list(self._applied())
        numbers = [*progress.handled, *(record.storage_id for record in ended)]
        after = max([progress.after, *numbers])
        recent = sorted(number for number in set(numbers) if number > after - _OVERLAP)
        return Progress(after, recent, held, backfills), said

    # -- what ended ------------------------------------------------------------------------------------------------

    def _ended(self, progress: Progress, now_s: float) -> Iterator[dg.EventLogRecord]:
        """The ends of runs since the last tick, in their order; none before Dagster has settled whether to retry."""
        found: list[dg.EventLogRecord] = []
        complete_to: float = float("inf")
        for kind in _ENDED:
            filters = dg.RunStatusChangeRecordsFilter(
                kind,
                after_storage_id=max(progress.after - _OVERLAP, 0) or None,
                after_timestamp=None if progress.after else now_s - _FIRST_LOOK_S,
            )
            records = self._instance.fetch_run_status_changes(filters, limit=_AT_ONCE + _OVERLAP, ascending=True)
            found += records.records
            if records.has_more:
                complete_to = min(complete_to, records.records[-1].storage_id)
        handled = set(progress.handled)
        new = [record for record in found if record.storage_id not in handled and record.storage_id <= complete_to]
        for record in sorted(new, key=lambda record: record.storage_id)[:_AT_ONCE]:
            if self._is_unsettled(record, now_s):
                return
            yield record

    def _is_unsettled(self, record: dg.EventLogRecord, now_s: float) -> bool:
        """Whether a run has failed just now and Dagster has not noted yet whether it retries it."""
        failed = record.event_log_entry.dagster_event_type == dg.DagsterEventType.RUN_FAILURE
        if not failed or not self._instance.run_retries_enabled or now_s - record.timestamp > _SETTLING_S:
            return False
        run = self._instance.get_run_by_id(record.run_id)
        return run is not None and WILL_RETRY_TAG not in run.tags

    def _take(self, record: dg.EventLogRecord, held: dict[str, Held], now_s: float) -> None:
        run = self._instance.get_run_by_id(record.run_id)
        if run is None:  # deleted
            return
        week, of_backfill = week_of(run), BACKFILL_TAG in run.tags
        if record.event_log_entry.dagster_event_type == dg.DagsterEventType.RUN_SUCCESS:
            for key in self._recovered_keys(run.job_name, week, held):
                held.pop(key, None)
                self._wanted[key] = self._recovery(key, run.job_name, week)
        elif not of_backfill:  # a backfill is told as a whole
            key = key_of_run(run)
            if self._may_heal(run, again=key in held):
                held[key] = Held(run.run_id, now_s + 2.0 * self._standing.settings.watch.retry_s)
            else:
                held.pop(key, None)
                self._wanted[key] = self._of_run(run)
        if run.job_name != "backfill" and not of_backfill:
            self._take_checks(run, week)

    def _may_heal(self, run: dg.DagsterRun, *, again: bool) -> bool:
        """Whether something will try a failed run again by itself: Dagster, the sensor that asked for it, another run.

        A passing fault that one more try heals is nobody's business; what fails for the second time is said at once.
        """
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return True
        if again or not why_failed(self._instance, run.run_id).passing:
            return False
        return run.tags.get(ATTEMPT_TAG) == "1" or self._is_at_work(run)

    def _is_at_work(self, failed: dg.DagsterRun) -> bool:
        """Whether a run is at work that may make good for a failed one: of its week, or else of its job."""
        week = failed.tags.get(PARTITION_TAG)
        filters = dg.RunsFilter(
            job_name=None if week else failed.job_name,
            tags={PARTITION_TAG: week} if week else {},
            statuses=NOT_FINISHED_STATUSES,
        )
        return bool(self._instance.get_run_records(filters, limit=1))

    # -- runs ------------------------------------------------------------------------------------------------------

    def _of_run(self, run: dg.DagsterRun) -> Alert:
        events = events_of(self._instance, run.run_id)
        steps = [event.step_key for event in events if event.is_step_failure and event.step_key]
        found = [text for text in reasons(events) if not text.startswith("WARN ")]
        week, doing = week_of(run), _DOING.get(run.job_name, f"run of {run.job_name}")
        of_week = f" of {week}" if week else ""
        more = " It is tried again by itself." if self._comes_again(run) else ""
        if run.job_name == "backfill":
            more = " Other weeks may have failed too: the Runs page of the UI shows which."
        return Alert(
            key=key_of_run(run),
            title=f"The {doing}{of_week} failed",
            what=f"Run {run.run_id[:8]} of the job {run.job_name}{of_week} failed"
            + (f" at {', '.join(steps)}." if steps else "."),
            why="; ".join(found[:3]) or "no reason is known",
            consequence=self._consequence + more,
            week=week,
            link=f"/runs/{run.run_id}",
        )

    @functools.cached_property
    def _consequence(self) -> str:
        """What it means that something failed: asked once a tick."""
        return consequence(self._standing)

    def _comes_again(self, run: dg.DagsterRun) -> bool:
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return True
        attempt = run.tags.get(ATTEMPT_TAG)
        return attempt is not None and int(attempt) < why_failed(self._instance, run.run_id).tries

    def _recovered_keys(self, job: str, week: date | None, held: Iterable[str]) -> list[str]:
        """The failures that a success of a job makes good: its own up to this week, and of what it includes."""
        keys = {*self._open, *held, *(key for key, wanted in self._wanted.items() if isinstance(wanted, Alert))}
        included = sorted(keys & {f"run:{part}:{week or '-'}" for part in _INCLUDED.get(job, ())})
        found = [key for key in sorted(keys) if key.startswith(f"run:{job}:")]
        if job == "backfill":  # an older week than another may well come later
            return [key for key in found if self._week_of_alert(key) == week]
        earlier = [key for key in found if week is None or key.rpartition(":")[2] <= week.isoformat()]  # - is less
        return earlier + included

    def _week_of_alert(self, key: str) -> date | None:
        wanted = self._wanted.get(key)
        if isinstance(wanted, Alert):
            return wanted.week
        found = self._alerts.find(key)
        return found.alert.week if found else None

    def _recovery(self, key: str, job: str, week: date | None) -> str:
        doing, of = _DOING.get(job, f"run of {job}"), key.rpartition(":")[2]
        if week is None or of in {week.isoformat(), "-"}:
            return f"The {doing}{f' of {week}' if week else ''} has succeeded."
        missing = ""
        if job == "weekly_refresh" and not self._standing.lake.has("forecast", date.fromisoformat(of)):
            missing = f" {of} itself has no forecast: `forecast backfill --from {of} --to {of}` makes it."
        return f"The {doing} of a later week, {week}, has succeeded.{missing}"

    # -- checks ----------------------------------------------------------------------------------------------------

    def _take_checks(self, run: dg.DagsterRun, week: date | None) -> None:
        newest = max(self._standing.lake.weeks("forecast"), default=None)
        if week is not None and newest is not None and week < newest:
            return  # what an old week is like now, the UI shows; people are told of the newest
        for evaluation in evaluations(events_of(self._instance, run.run_id)):
            key = f"check:{evaluation.asset_key.to_user_string()}.{evaluation.check_name}"
            if evaluation.passed:
                alert = self._wanted.get(key)
                if isinstance(alert, Alert) and key not in self._open:
                    del self._wanted[key]
                elif key in self._open:
                    self._wanted[key] = f"The check {evaluation.check_name} has passed{f' for {week}' if week else ''}."
            elif not evaluation.blocking and evaluation.check_name not in self._standing.settings.alerts.muted:
                self._wanted[key] = self._of_check(key, evaluation, run, week)

    def _of_check(self, key: str, said: AssetCheckEvaluation, run: dg.DagsterRun, week: date | None) -> Alert:
        asset = said.asset_key.to_user_string()
        return Alert(
            key=key,
            title=f"The check {said.check_name} failed{f' for {week}' if week else ''}",
            what=f"The check {said.check_name} of {asset} failed in run {run.run_id[:8]}. It blocks nothing.",
            why=said.description or "It gave no reason.",
            consequence="The run went on. This is said once, until the check passes in a later run.",
            week=week,
            link=f"/assets/{'/'.join(said.asset_key.path)}?view=checks&checkDetail={said.check_name}",
        )

    # --------------------------------------------------------------------------------------------------------------

    def _applied(self) -> Iterator[str]:
        for key, wanted in self._wanted.items():
            if isinstance(wanted, Alert):
                if self._alerts.open(wanted):
                    yield f"opened {key}"
            elif self._alerts.close(key, recovery=wanted):
                yield f"closed {key}"


def failures(configured: Settings) -> dg.SensorDefinition:
    """The sensor, which looks as often as is configured."""

    @dg.sensor(
        name="failures",
        minimum_interval_seconds=configured.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at every run that has ended: one that failed, and is not about to be tried again, opens an "
        "alert, and so does a failed check that blocks nothing. Later successes end them.",
    )
    def tick(
        context: dg.SensorEvaluationContext, standing: dg.ResourceParam[Standing], alerts: Alerts
    ) -> dg.SensorResult:
        reader = Reader(context.instance, standing, alerts)
        progress, said = reader.read(Progress.read(context.cursor), now_s=time.time())
        reason = dg.SkipReason("; ".join(said) or "Nothing has changed")
        return dg.SensorResult(skip_reason=reason, cursor=progress.written())

    return tick


def week_of(run: dg.DagsterRun) -> date | None:
    """The week of a run, if it has one."""
    try:
        return date.fromisoformat(run.tags[PARTITION_TAG])
    except (KeyError, ValueError):
        return None


def key_of_run(run: dg.DagsterRun) -> str:
    """The key of the alert of a failed run. A backfill from a terminal has one for all its weeks."""
    week = week_of(run) if run.job_name != "backfill" else None
    return f"run:{run.job_name}:{week or '-'}"
