"""Tuning: the leaderboard of configurations, scored by rolling-origin cross-validation before the held-out weeks."""

from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.automatic import search_automatically
from forecast_assets.failures import record_failures
from forecast_assets.metadata import stored, weekly_asset
from forecast_assets.outputs import failure_messages, training_files
from forecast_assets.partitions import week_of
from forecast_assets.requests import TUNING_VERSION, search_digest, tuning_request
from forecast_assets.settings import Settings
from forecast_assets.tables import TUNING_TRIALS
from resources.lake import Lake
from resources.sagemaker.pipes import FORCE_TAG
from resources.sagemaker.platform import SageMaker

SEARCH_TAG = "forecast/search"
"""A run that has it searches anew, whatever the settings say of the weeks between."""


@weekly_asset(
    deps=["counterfactual"],
    description="Every configuration tried for every series, with its cross-validated loss, and the one chosen.",
    group="tuning",
    kinds={"sagemaker", "parquet"},
    columns=TUNING_TRIALS,
    code_version=f"{TUNING_VERSION}.1",
    pool="sagemaker",
)
def tuning_trials(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Run the search, or keep what an earlier week found where none is due."""
    week = week_of(context.partition_key)
    asked = not {SEARCH_TAG, FORCE_TAG}.isdisjoint(context.run.tags)
    earlier = None if asked or settings.retuning == "weekly" else last_search(lake, settings, week)
    if earlier is not None:
        context.log.info(f"No search is due: the leaderboard of {earlier} stands")
        return _kept(lake, week, earlier)
    return _searched(context, settings, lake, sagemaker, week)


def last_search(lake: Lake, settings: Settings, week: date) -> date | None:
    """The earlier week whose leaderboard answers for a week: it asked the same question of every series there is.

    Args:
        lake: Where leaderboards are.
        settings: What a search would ask today.
        week: The week that needs one.
    """
    before = [found for found in lake.weeks("tuning_trials") if found < week]
    if not before:
        return None
    trials = lake.read("tuning_trials", before[-1])
    # A series that had no configuration then is searched until it has one.
    answered = set(trials.loc[trials["chosen"], "unique_id"])
    series = set(lake.read("counterfactual", week)["unique_id"])
    same = "protocol" in trials and trials["protocol"].eq(search_digest(settings)).all()
    return before[-1] if same and series <= answered else None


def _kept(lake: Lake, week: date, earlier: date) -> dg.MaterializeResult[None]:
    """Write the leaderboard of an earlier week as this week's, for its series."""
    series = lake.read("counterfactual", week)["unique_id"].unique()
    trials, errors = (lake.read(name, earlier) for name in ("tuning_trials", "tuning_errors"))
    record_failures(lake, week, "tuning_trials", {})
    lake.write("tuning_errors", week, errors[errors["unique_id"].isin(series)].reset_index(drop=True))
    trials = trials[trials["unique_id"].isin(series)].reset_index(drop=True)
    searched = trials["searched"].max().date().isoformat()
    return stored(lake, "tuning_trials", week, trials, metadata={"searched": searched})


def _searched(
    context: dg.AssetExecutionContext, settings: Settings, lake: Lake, sagemaker: SageMaker, week: date
) -> dg.MaterializeResult[None]:
    """Search as one training job, or as tuning jobs of SageMaker and a job that ranks their trials."""
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
    trials = trials.assign(searched=pd.Timestamp(week), protocol=search_digest(settings))
    metadata = {**(job.materialization().metadata or {}), "searched": week.isoformat(), **told}
    return stored(lake, "tuning_trials", week, trials, metadata=metadata)
