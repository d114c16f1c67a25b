"""Tuning: the leaderboard of configurations, scored by rolling-origin cross-validation before the held-out weeks."""

from typing import Any

import dagster as dg

from forecast_assets.automatic import search_automatically
from forecast_assets.failures import record_failures
from forecast_assets.metadata import stored, weekly_asset
from forecast_assets.outputs import failure_messages, training_files
from forecast_assets.partitions import week_of
from forecast_assets.requests import TUNING_VERSION, tuning_request
from forecast_assets.settings import Settings
from forecast_assets.tables import TUNING_TRIALS
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker


@weekly_asset(
    deps=["counterfactual"],
    description="Every configuration tried for every series, with its cross-validated loss, and the one chosen.",
    group="tuning",
    kinds={"sagemaker", "parquet"},
    columns=TUNING_TRIALS,
    code_version=TUNING_VERSION,
    pool="sagemaker",
)
def tuning_trials(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Run the search: as one training job, or as tuning jobs of SageMaker and a job that ranks their trials."""
    week = week_of(context.partition_key)
    told: dict[str, Any] = {}
    if settings.search == "automatic":
        job, told = search_automatically(context, settings, lake, sagemaker, week)
    else:
        job = sagemaker.pipes(prices=settings.prices).run(
            context=context,
            kind="training",
            request=tuning_request(settings, lake, sagemaker, week),
            retries=settings.tuning.retries,
            instance_types=settings.tuning.instance_types,
            max_wait_s=settings.tuning.max_wait_s,
        )
    files = training_files(lake, sagemaker, job.description)
    failures = failure_messages(files.content("failures.json"))
    errors, trials = files.table("errors.parquet"), files.table("trials.parquet")
    record_failures(lake, week, "tuning_trials", failures)
    lake.write("tuning_errors", week, errors)
    metadata = {**(job.materialization().metadata or {}), **told}
    return stored(lake, "tuning_trials", week, trials, metadata=metadata)
