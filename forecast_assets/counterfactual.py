"""Counterfactual: the weeks of a structural break as they would have been without it. A scenario, not a correction."""

import dagster as dg

from forecast_assets.metadata import stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.requests import COUNTERFACTUAL_VERSION, counterfactual_request
from forecast_assets.settings import Settings
from forecast_assets.tables import COUNTERFACTUAL
from resources import parquet
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker


@weekly_asset(
    deps=["observations", "structural_break"],
    description="The training span with every week of a structural break replaced by a seasonal-mean STL forecast "
    "of the weeks before it: had the break not happened. Observed values stand beside it.",
    group="counterfactual",
    kinds={"sagemaker", "parquet"},
    columns=COUNTERFACTUAL,
    code_version=COUNTERFACTUAL_VERSION,
    pool="sagemaker",
)
def counterfactual(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Run the processing job of the counterfactual."""
    week = week_of(context.partition_key)
    request, output = counterfactual_request(settings, lake, sagemaker, week)
    job = sagemaker.pipes(prices=settings.prices).run(
        context=context,
        kind="processing",
        request=request,
        retries=settings.processing.retries,
        instance_types=settings.processing.instance_types,
        max_wait_s=settings.processing.max_wait_s,
    )
    reported = job.materialization()
    made = parquet.loaded(lake.read_bytes(output))
    return stored(lake, "counterfactual", week, made, metadata=reported.metadata)
