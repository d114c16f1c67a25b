"""Retention by the settings: what the platform made on the way goes when it is old enough; tables never do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg

from forecast_assets.serving import model_endpoint
from forecast_assets.settings import Settings
from resources.alerts import Alerts
from resources.aws import asking
from resources.clock import Clock
from resources.lake import Lake
from resources.retention import Ages, Removal
from resources.retention.jobs import old_jobs, old_streams
from resources.retention.models import old_models
from resources.retention.notes import old_alerts, old_notes
from resources.retention.runs import old_runs, stray_history
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry
from resources.tags import PARTITION_TAG

_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
_TOLD_EVERY = 100
ASKED = "_asked"
"""The lake's folder in which sensors write down which refreshes they asked for."""


@dataclass(frozen=True)
class Tally:
    """How much of a kind went.

    Attributes:
        kind: In the plural, such as `runs`.
        count: How many.
        size_bytes: What they took on this machine, as far as is known.
    """

    kind: str
    count: int
    size_bytes: int

    def __str__(self) -> str:
        """The tally in words."""
        return f"{self.count} {self.kind}, {self.size_bytes / 1e6:.1f} MB"


def outlived(
    settings: Settings,
    clock: Clock,
    lake: Lake,
    sagemaker: SageMaker,
    alerts: Alerts,
    instance: dg.DagsterInstance,
    *,
    is_ours: Callable[[dg.DagsterRun], bool],
) -> Iterator[Removal]:
    """Everything that the settings keep no longer, looked up while it is walked through.

    Args:
        settings: How long it is kept.
        clock: How late it is.
        lake: Where tables and notes are.
        sagemaker: Where jobs and models are.
        alerts: What was said.
        instance: Where runs are.
        is_ours: Whether a run is one of this project.
    """
    kept, ages = settings.retention, Ages(clock)
    yield from old_runs(
        instance, ages, is_ours=is_ours, runs_weeks=kept.runs_weeks, failed_runs_weeks=kept.failed_runs_weeks
    )
    yield from stray_history(instance, ages, weeks=kept.logs_weeks)
    yield from old_jobs(sagemaker, ages, weeks=kept.jobs_weeks, busy=_busy_weeks(instance))
    yield from old_streams(sagemaker, ages, weeks=kept.logs_weeks)
    yield from old_notes(lake, ages, folder=ASKED, weeks=kept.runs_weeks)
    yield from old_alerts(alerts, before=clock.now() - timedelta(weeks=kept.logs_weeks))
    with asking(f"remove old models of {settings.model_group}"):
        yield from old_models(
            ModelRegistry(sagemaker.client(), group=settings.model_group),
            sagemaker,
            lake,
            keep=kept.models,
            protected=model_endpoint(settings, sagemaker).packages(),
        )


def keep_house(removals: Iterable[Removal], progress: Callable[[str], None], *, dry_run: bool = False) -> list[Tally]:
    """Remove what has outlived its use, one by one.

    Args:
        removals: What goes.
        progress: Told what is removed now and then, in words.
        dry_run: Only count.

    Returns:
        What went, by kind, in the order in which it went.
    """
    tallies: dict[str, Tally] = {}
    for removal in removals:
        before = tallies.get(removal.kind, Tally(removal.kind, 0, 0))
        if before.count % _TOLD_EVERY == 0:
            progress(f"{removal.kind} from {removal.name} on")
        if not dry_run:
            removal.remove()
        tallies[removal.kind] = Tally(removal.kind, before.count + 1, before.size_bytes + removal.size_bytes)
    return list(tallies.values())


def _busy_weeks(instance: dg.DagsterInstance) -> set[str]:
    """The weeks that runs are at work on, or wait to be."""
    runs = instance.get_runs(
        filters=dg.RunsFilter(statuses=[status for status in dg.DagsterRunStatus if status not in _ENDED])
    )
    return {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags}
