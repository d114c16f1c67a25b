"""Asking for the refresh of a week: whoever asks, and however many, the same figures start one run.

Sensors and schedules that would start `weekly_refresh` ask here. What decides, the last word first: the lake (is the
week made from these figures?), Dagster's runs (is one at work, or how did the last one end?), and a claim in the lake,
which of two askers in the same instant one only can make:

    <lake>/_asked/week=2023-11-10/<values>-<attempt>.json
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import dagster as dg

from forecast_assets.housekeeping import ASKED
from forecast_assets.partitions import WEEKS, week_of
from forecast_assets.passing import Failure, why_failed
from forecast_assets.standing import Standing
from resources.eia.values import held
from resources.tags import PARTITION_TAG, RETRIED_AS_TAG, WILL_RETRY_TAG

JOB = "weekly_refresh"
UNREADABLE = "unreadable-"
"""What values begin with that stand for a release that cannot be read."""

VALUES_TAG = "forecast/values"
ATTEMPT_TAG = "forecast/attempt"
"""On a run that a sensor asked for, and asks for again where it failed for a passing reason."""

CLAIM_S = 180.0
"""How long a claim counts without a run: from a sensor's answer to the run takes the daemon seconds."""
_LONGEST_WAIT = 6  # times retry_s
_TRIES_TO_READ = 6
"""A run that met something unreadable in the place of figures that a sensor had read is worth so many."""


@dataclass(frozen=True)
class Answer:
    """What became of asking for a refresh.

    Attributes:
        request: The run to start, or None.
        reason: Why none, or why this one, in words for the tick.
        state: `asked`: start the run. `waiting`: not now, ask again at the next tick. `refreshed`: the week is made
            from these figures. `ended`: nothing will come of these figures unless a person sees to it.
    """

    request: dg.RunRequest | None
    reason: str
    state: Literal["asked", "waiting", "refreshed", "ended"]

    @property
    def settled(self) -> bool:
        """Whether asking again for the same is pointless."""
        return self.state in {"refreshed", "ended"}


def ask_for(
    week: date,
    values: str,
    *,
    standing: Standing,
    instance: dg.DagsterInstance,
    by: str,
    tags: Mapping[str, str] | None = None,
    real_time: Callable[[], float] = time.time,
) -> Answer:
    """Ask for the refresh of a week.

    Args:
        week: Which.
        values: What it is to be made from: the digest of its figures (`resources.eia.values`), or whatever else names
            the reason. The same week and values start one run; more only where it failed for a passing reason.
        standing: How the lake stands.
        instance: Where runs are recorded.
        by: The sensor or schedule that asks.
        tags: Of the run, besides those that are set here.
        real_time: Seconds since 1970: claims and retries wait in real time, whatever the platform's clock says.

    Raises:
        LakeError: The lake cannot be read or written; nothing was asked.
    """
    if not _is_partition(week, standing.clock.now()):
        return Answer(None, f"{week} is no week that can be refreshed now", "ended")
    records = instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: week.isoformat()}))
    at_work = next((record.dagster_run for record in records if not record.dagster_run.is_finished), None)
    if at_work is not None:
        return Answer(
            None, f"run {at_work.run_id} ({at_work.job_name}) of week {week} is {at_work.status.value}", "waiting"
        )
    if held(standing.lake, week, standing.settings.series_ids) == values and standing.is_refreshed(week):
        return Answer(None, f"week {week} is refreshed from these figures", "refreshed")
    asked = [record for record in records if record.dagster_run.tags.get(VALUES_TAG)]
    attempt = 1 + max((_attempt(each) for each in asked if _values(each) == values), default=0)
    if asked and _values(asked[0]) == values:  # the newest comes first; figures may come back after others
        ended = _after(asked[0], values, standing, instance, real_time())
        if ended is not None:
            return ended
    return _claimed(week, values, attempt, standing, by=by, tags=tags or {}, now_s=real_time())


def pause_s(retry_s: float, attempt: int) -> float:
    """Seconds from the end of an attempt, counted from 1, to the next: twice as long each time, up to six times."""
    return float(retry_s * min(2 ** max(attempt - 1, 0), _LONGEST_WAIT))


def _after(
    record: dg.RunRecord, values: str, standing: Standing, instance: dg.DagsterInstance, now_s: float
) -> Answer | None:
    """Why no run may follow the last one for the same figures; None where one may."""
    run = record.dagster_run
    since_s = now_s - (record.end_time or record.update_timestamp.timestamp())
    if run.status == dg.DagsterRunStatus.FAILURE:
        if _dagster_retries(run) and since_s < CLAIM_S:
            return Answer(None, f"Dagster is about to retry run {run.run_id}", "waiting")
        failure = why_failed(instance, run.run_id)
        said, tries = f"failed: {_shown(failure)}", failure.tries
        if failure.unreadable and not values.startswith(UNREADABLE):
            tries = _TRIES_TO_READ
    else:
        said, tries = f"is {run.status.value}", 1.0  # made, or ended by a person
        found = held(standing.lake, week_of(run.tags[PARTITION_TAG]), standing.settings.series_ids)
        if run.status == dg.DagsterRunStatus.SUCCESS and found not in {None, values}:
            # A source of several servers gave it what another one of them still had.
            said, tries = f"{said}, from other figures", 2.0
    if _attempt(record) >= tries:
        return Answer(None, f"run {run.run_id} for these figures {said}", "ended")
    wait_s = pause_s(standing.settings.watch.retry_s, _attempt(record)) - since_s
    if wait_s > 0:
        return Answer(None, f"run {run.run_id} {said}. It is tried again in {wait_s:.0f} s", "waiting")
    return None


def _claimed(
    week: date, values: str, attempt: int, standing: Standing, *, by: str, tags: Mapping[str, str], now_s: float
) -> Answer:
    """The request of a run, for the one asker who claims it."""
    claim = {"by": by, "at": datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds")}
    while not standing.lake.storage.create(_place(week, values, attempt), json.dumps(claim).encode()):
        other = json.loads(standing.lake.read_bytes(_place(week, values, attempt)))
        if now_s - datetime.fromisoformat(other["at"]).timestamp() < CLAIM_S:
            return Answer(None, f"{other['by']} has just asked for week {week}", "waiting")
        attempt += 1  # whoever claimed it died before there was a run
    request = dg.RunRequest(
        run_key=f"{week}:{values}" + (f":{attempt}" if attempt > 1 else ""),
        job_name=JOB,
        partition_key=week.isoformat(),
        tags={**tags, VALUES_TAG: values, ATTEMPT_TAG: str(attempt)},
    )
    return Answer(request, f"week {week} is to be refreshed" + (f", attempt {attempt}" if attempt > 1 else ""), "asked")


def _is_partition(week: date, now: datetime) -> bool:
    """Whether there is a partition of the week at the platform's time."""
    with dg.partition_loading_context(effective_dt=now):
        return WEEKS.has_partition_key(week.isoformat())


def _dagster_retries(run: dg.DagsterRun) -> bool:
    """Whether Dagster will retry a run that crashed, and has not begun to."""
    return run.tags.get(WILL_RETRY_TAG) == "true" and RETRIED_AS_TAG not in run.tags


def _values(record: dg.RunRecord) -> str | None:
    return record.dagster_run.tags.get(VALUES_TAG)


def _attempt(record: dg.RunRecord) -> int:
    return int(record.dagster_run.tags.get(ATTEMPT_TAG, "1"))


def _shown(failure: Failure) -> str:
    said = (failure.said.splitlines() or [failure.error])[0]
    return f"{failure.step}: {said}" if failure.step else said


def _place(week: date, values: str, attempt: int) -> str:
    return f"{ASKED}/week={week}/{values}-{attempt}.json"
