"""The backfills that the UI starts: a hundred weeks that failed are one alert."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

from forecast_assets.reasons import TOLD_BY, reasons
from resources.alerts import Alert
from resources.tags import BACKFILL_TAG, PARTITION_TAG

_PREFIX = "backfill:"
_DAY_S = 86_400.0
_SHOWN = 12  # weeks that a message names
_GOING_ON = {BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING}


@dataclass
class Backfills:
    """What is known of backfills.

    Attributes:
        since: When the oldest one began that may still be told, in seconds since 1970; 0 before the first look.
        told: Those that have ended and were looked at since then.
    """

    since: float = 0
    told: list[str] = field(default_factory=list)


def read_backfills(
    instance: dg.DagsterInstance, known: Backfills, opened: Collection[str], *, now_s: float
) -> tuple[Backfills, dict[str, Alert | str]]:
    """The backfills that have ended with failures, and those that have been made good.

    Args:
        instance: Where they are recorded.
        known: Of the last look.
        opened: The keys of the alerts that are open.
        now_s: Real time, in seconds since 1970.

    Returns:
        What is known now; by the key of its alert what is wrong, or what it recovered of.
    """
    since = known.since or now_s - _DAY_S
    created_after = datetime.fromtimestamp(since - 1, UTC)
    found = {each.backfill_id: each for each in instance.get_backfills(BulkActionsFilter(created_after=created_after))}
    ended = [each for each in found.values() if each.status not in _GOING_ON]
    wanted: dict[str, Alert | str] = {}
    for each in ended:
        if each.backfill_id not in known.told and each.status != BulkActionStatus.CANCELED:  # by a person
            alert = _alert(instance, each)
            if alert is not None:
                wanted[alert.key] = alert
    for key in opened:
        identity = key.removeprefix(_PREFIX)
        if key.startswith(_PREFIX) and key not in wanted and _is_over(instance, identity):
            wanted[key] = f"Every week of backfill {identity} that had failed has been made."
    oldest = min((each.backfill_timestamp for each in found.values() if each.status in _GOING_ON), default=now_s)
    told = [each.backfill_id for each in ended]
    return Backfills(min(oldest, now_s - _DAY_S), told), wanted


def events_of(instance: dg.DagsterInstance, run_id: str) -> list[dg.DagsterEvent]:
    """The events of a run that tell why it failed, and what its checks said."""
    entries = instance.all_logs(run_id, of_type=set(TOLD_BY))
    return [entry.dagster_event for entry in entries if entry.dagster_event is not None]


def _alert(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> Alert | None:
    identity = backfill.backfill_id
    failed = _failed(instance, identity)
    if not failed and backfill.status != BulkActionStatus.FAILED:
        return None
    weeks = sorted(failed)
    shown = ", ".join(weeks[:_SHOWN]) + (f" and {len(weeks) - _SHOWN} more" if len(weeks) > _SHOWN else "")
    why = (
        [text for text in reasons(events_of(instance, failed[weeks[0]])) if not text.startswith("WARN ")]
        if weeks
        else []
    )
    if backfill.status == BulkActionStatus.FAILED and backfill.error is not None:
        why.insert(0, backfill.error.message.strip())
    return Alert(
        key=f"{_PREFIX}{identity}",
        title=f"Backfill {identity}: {len(weeks)} {'week' if len(weeks) == 1 else 'weeks'} failed"
        if weeks
        else f"Backfill {identity} could not be carried out",
        what=f"Failed: {shown}." if weeks else "Dagster gave it up before its runs had ended.",
        why=(f"{weeks[0]}: " if weeks else "") + ("; ".join(why[:3]) or "no reason is known"),
        consequence="These weeks have no forecast, or the one they had before. Nothing else depends on them; the "
        "endpoint serves on.",
        link=f"/runs/b/{identity}",
    )


def _failed(instance: dg.DagsterInstance, identity: str) -> dict[str, str]:
    """The weeks of a backfill whose last run failed and that were not made since, with that run."""
    last: dict[str, dg.RunRecord] = {}
    for record in instance.get_run_records(dg.RunsFilter(tags={BACKFILL_TAG: identity})):  # the newest first
        week = record.dagster_run.tags.get(PARTITION_TAG)
        if week is not None:
            last.setdefault(week, record)
    failed = {week: record for week, record in last.items() if record.dagster_run.status == dg.DagsterRunStatus.FAILURE}
    return {
        week: record.dagster_run.run_id for week, record in failed.items() if not _is_made_good(instance, week, record)
    }


def _is_made_good(instance: dg.DagsterInstance, week: str, failed: dg.RunRecord) -> bool:
    filters = dg.RunsFilter(tags={PARTITION_TAG: week}, statuses=[dg.DagsterRunStatus.SUCCESS])
    later = instance.get_run_records(filters, limit=20)
    same = {failed.dagster_run.job_name, "weekly_refresh", "backfill"}
    return any(each.storage_id > failed.storage_id and each.dagster_run.job_name in same for each in later)


def _is_over(instance: dg.DagsterInstance, identity: str) -> bool:
    """Whether nothing of a backfill that had failed is left; of one that Dagster gave up a person has to say so."""
    backfill = instance.get_backfill(identity)
    given_up = backfill is not None and backfill.status == BulkActionStatus.FAILED
    return not given_up and not _failed(instance, identity)
