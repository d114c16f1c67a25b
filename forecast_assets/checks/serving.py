"""Checks of the endpoint."""

import dagster as dg

from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings import Settings
from forecasting import artifact as artifacts
from forecasting import forecaster
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker


@dg.asset_check(
    asset="forecast_endpoint", blocking=True, description="The endpoint answers exactly what the artifact forecasts."
)
def answers_as_artifact(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.AssetCheckResult:
    """Ask the endpoint for every series and compare to the last bit."""
    del context
    model = newest_approved(settings, sagemaker)
    if model is None:
        return dg.AssetCheckResult(passed=False, description="There is no approved model.")
    artifact = artifacts.unpack(lake.root / sagemaker.key(model.model_data))
    endpoint = model_endpoint(settings, sagemaker)
    differing = []
    for name, entry in artifact["series"].items():
        interval = forecaster.best_interval(entry)
        expected = forecaster.forecast(entry, horizon=settings.horizon, levels=settings.levels, interval=interval)
        answer = endpoint.invoke({"series": name, "periods": settings.horizon, "levels": list(settings.levels)})
        if [{key: row[key] for key in expected[0]} for row in answer] != expected:
            differing.append(name)
    return dg.AssetCheckResult(
        passed=not differing,
        description=f"It answers otherwise for {', '.join(differing)}: deploy again, or roll back."
        if differing
        else "It answers as the artifact forecasts.",
        metadata={"series": len(artifact["series"]), "model": model.arn},
    )
