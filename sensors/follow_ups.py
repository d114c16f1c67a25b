"""What follows runs: a refused candidate registered as rejected, forecasts scored, pages drawn again, tables listed.

`forecast refresh` and `forecast backfill` do this themselves, in order, in their own process. Runs that Dagster's
daemon started know nothing of each other, and end in any order; so this looks at the lake once they have all ended,
and starts what is missing. That makes a backfill of a hundred weeks one look, and leaves nothing to lose: whatever a
look misses the next one finds. The run key names what is missing by its content, and the attempt: what could not be
made three times, or was made and is found missing still, is left until it changes.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES

from forecast_assets import accuracy, changes, dashboard
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from jobs.weekly import redraw, register, score, sql_catalog, weekly_refresh
from resources import aws
from resources.lake import LakeAccessError, LakeWriteError
from resources.tags import PARTITION_TAG, PRIORITY_TAG, RUN_KEY_TAG

TRIES = 3
"""Attempts at the same thing."""

_REQUESTED = [BulkActionStatus.REQUESTED]
_FORGOTTEN_S = 8 * 3600.0
"""A run that nothing was heard of for so long is not waited for: its process died where nobody looks after it."""

_BEHIND = {PRIORITY_TAG: "-1"}  # a release does not queue behind old weeks


@dataclass(frozen=True)
class Memory:
    """What was looked at: the cursor. Times are seconds since 1970.

    Attributes:
        seen: When the newest run had ended, at the last tick.
        looked: When it had ended, at the last look at the lake.
        since: Failures from then on are not followed up yet.
        again_at: When something is to be tried again; None where nothing is.
    """

    seen: float = 0
    looked: float = 0
    since: float = 0
    again_at: float | None = None

    @classmethod
    def read(cls, cursor: str | None) -> "Memory":
        """What a cursor says."""
        return cls(**json.loads(cursor)) if cursor else cls()

    def written(self) -> str:
        """As a cursor."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Missing:
    """Something that is to be made.

    Attributes:
        job: What makes it.
        week: The partition; None where the job has none.
        content: A digest that is the same for as long as the same is missing.
    """

    job: str
    week: str | None
    content: str

    def run_key(self, attempt: int) -> str:
        """The run key of an attempt."""
        return f"{self.job}:{self.week or '-'}:{self.content}:{attempt}"


def follow_ups(settings: Settings) -> dg.SensorDefinition:
    """The sensor that starts what must follow runs."""

    @dg.sensor(
        name="follow_ups",
        jobs=[register, score, redraw, sql_catalog],
        minimum_interval_seconds=settings.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Once runs have ended: registers a refused candidate as rejected, scores forecasts whose weeks "
        "were made in another order, draws their pages again, and lists new tables in the catalog.",
    )
    def sensor(context: dg.SensorEvaluationContext, standing: dg.ResourceParam[Standing]) -> dg.SensorResult:
        from botocore.exceptions import ClientError

        memory = Memory.read(context.cursor)
        try:
            with aws.asking("look at what runs have left"):
                return _looked(context.instance, standing, memory)
        except (aws.AwsError, LakeAccessError, LakeWriteError, ClientError) as error:
            return dg.SensorResult(skip_reason=f"Not known at the moment: {error}", cursor=context.cursor)

    return sensor


def _looked(instance: dg.DagsterInstance, standing: Standing, memory: Memory) -> dg.SensorResult:
    """One look at what has ended."""
    now_s = time.time()
    ended = _newest_end(instance)
    is_due = memory.again_at is not None and memory.again_at <= now_s
    if ended == memory.looked and not is_due:
        return dg.SensorResult(skip_reason="Nothing has ended since the last look.", cursor=memory.written())
    seen = replace(memory, seen=ended)
    if _at_work(instance, now_s):
        return dg.SensorResult(skip_reason="Waiting for the end of what runs.", cursor=seen.written())
    if ended != memory.seen:  # a command that walks from week to week has no run between two of them
        return dg.SensorResult(skip_reason="Runs have just ended: the next look tells.", cursor=seen.written())
    requests, again = [], []
    for missing in _all_missing(instance, standing, since=memory.since):
        attempt, not_before = _next_attempt(instance, missing, retry_s=standing.settings.watch.retry_s)
        if not_before is not None and not_before > now_s:
            again.append(not_before)
        elif attempt is not None:
            requests.append(
                dg.RunRequest(
                    run_key=missing.run_key(attempt), job_name=missing.job, partition_key=missing.week, tags=_BEHIND
                )
            )
    memory = Memory(ended, ended, since=memory.since if again else ended, again_at=min(again, default=None))
    later = f"{len(again)} that failed are tried again later." if again else "Nothing is missing."
    return dg.SensorResult(run_requests=requests, skip_reason=None if requests else later, cursor=memory.written())


def _all_missing(instance: dg.DagsterInstance, standing: Standing, *, since: float) -> Iterator[Missing]:
    """Everything that is missing."""
    lake = standing.lake
    # A backfill registers nothing: only what a refresh was to register is.
    for week in sorted(_weeks_of_failures(instance, since)):
        refused = standing.unregistered_refusal(week_of(week))
        if refused is not None:
            yield Missing(register.name, week, refused[:16])
    unscored, uncompared = accuracy.stale_weeks(lake), changes.stale_weeks(lake)
    stale = sorted({*unscored, *uncompared})
    for day in stale:
        content = f"{unscored.get(day, '')[:16]}-{uncompared.get(day, '')[:16]}"
        yield Missing(score.name, day.isoformat(), content)
    for day, drawn in dashboard.outdated_pages(lake).items():
        if day not in stale:  # else it is drawn once it is scored
            yield Missing(redraw.name, day.isoformat(), drawn)
    unlisted = None if stale else standing.unlisted_tables()  # scores may be a table's first
    if unlisted is not None:
        yield Missing(sql_catalog.name, None, unlisted[:16])


def _next_attempt(instance: dg.DagsterInstance, missing: Missing, *, retry_s: float) -> tuple[int | None, float | None]:
    """Which attempt is next, None where none is; and the time, in seconds since 1970, before which it is not."""
    not_before = None
    for attempt in range(1, TRIES + 1):
        record = next(
            iter(instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: missing.run_key(attempt)}), limit=1)), None
        )
        if record is None:
            return attempt, not_before
        if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
            break  # another one would make the same
        not_before = record.update_timestamp.timestamp() + retry_s * 2 ** (attempt - 1)
    return None, None


def _weeks_of_failures(instance: dg.DagsterInstance, since: float) -> set[str]:
    """The weeks whose refresh or registration failed since a time."""
    failed, then = [dg.DagsterRunStatus.FAILURE], datetime.fromtimestamp(since, UTC)
    return {
        run.tags[PARTITION_TAG]
        for job in (weekly_refresh.name, register.name)
        for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=failed, updated_after=then))
        if PARTITION_TAG in run.tags
    }


def _newest_end(instance: dg.DagsterInstance) -> float:
    """When the newest run ended; 0 where none has."""
    finished = dg.RunsFilter(statuses=FINISHED_STATUSES)
    records = instance.get_run_records(finished, limit=1, order_by="update_timestamp")
    return max((record.update_timestamp.timestamp() for record in records), default=0.0)


def _at_work(instance: dg.DagsterInstance, now_s: float) -> bool:
    """Whether runs are on their way, or a backfill that will start more."""
    heard_of = datetime.fromtimestamp(now_s - _FORGOTTEN_S, UTC)
    running = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, updated_after=heard_of), limit=1)
    return bool(running) or bool(instance.get_backfills(BulkActionsFilter(statuses=_REQUESTED), limit=1))
