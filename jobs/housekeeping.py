"""Housekeeping: what the platform made on the way and keeps no longer is removed."""

import dagster as dg

from forecast_assets.housekeeping import keep_house, outlived
from forecast_assets.settings import Settings
from jobs.weekly import ASSETS, default_jobs
from resources.alerts import Alerts
from resources.clock import Clock
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker


@dg.op(description="Remove runs, jobs, models and logs that the settings of retention keep no longer.")
def remove_what_is_old(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[Settings],
    clock: Clock,
    lake: Lake,
    sagemaker: SageMaker,
    alerts: Alerts,
) -> None:
    """Remove it, and say how much of what that was."""
    found = outlived(settings, clock, lake, sagemaker, alerts, context.instance, is_ours=is_ours)
    tallies = keep_house(found, lambda what: context.log.info(f"Removing {what}"))
    if lake.folder is not None:
        lake.folder.sweep()
    context.log.info(f"Removed {'; '.join(map(str, tallies)) or 'nothing'}")
    context.add_output_metadata({tally.kind: str(tally) for tally in tallies})


@dg.job(
    description="Remove what the platform made on the way and keeps no longer, by the settings of retention. Tables "
    "are never removed, nor anything of a run or job at work.",
    executor_def=dg.in_process_executor,
)
def housekeeping() -> None:
    """Alone: it touches no asset."""
    remove_what_is_old()


def is_ours(run: dg.DagsterRun) -> bool:
    """Whether a run is of this project's jobs, or made of its assets alone: an instance may be shared with others."""
    if run.job_name in {housekeeping.name, *(job.name for job in default_jobs)}:
        return True
    return bool(run.asset_selection) and ASSETS.issuperset(run.asset_selection or ())
