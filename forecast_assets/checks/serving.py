"""Checks of the endpoint."""

import dagster as dg

from forecast_assets.answers import differences
from forecast_assets.artifacts import DamagedModelError, registered_artifact
from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings import Settings
from resources.clock import Clock
from resources.eia.calendar import due as release_due
from resources.eia.calendar import newest_due
from resources.lake import Lake
from resources.sagemaker.endpoint.errors import EndpointError
from resources.sagemaker.platform import SageMaker

_NO_MODEL = (
    "There is no approved model, so nothing can be served: refresh a week whose gate passes, or approve a model."
)
_TAKE_DOWN = (
    "Take it down with `forecast endpoint stop` and bring it back with `forecast refresh`; read forecasts from the "
    "lake until then."
)


@dg.asset_check(
    asset="forecast_endpoint", blocking=True, description="The endpoint answers exactly what the artifact forecasts."
)
def answers_as_artifact(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.AssetCheckResult:
    """Ask the endpoint for every series, after any deployment and whenever the check is run."""
    del context
    model = newest_approved(settings, sagemaker)
    if model is None:
        return dg.AssetCheckResult(passed=False, description=_NO_MODEL)
    try:
        artifact = registered_artifact(lake, sagemaker, model)
    except DamagedModelError as error:
        return dg.AssetCheckResult(passed=False, description=f"The answers have nothing to be compared with: {error}")
    endpoint = model_endpoint(settings, sagemaker)
    try:
        differing = differences(endpoint, artifact, settings)
    except EndpointError as error:
        return dg.AssetCheckResult(passed=False, description=f"It does not answer: {error}. {_TAKE_DOWN}")
    return dg.AssetCheckResult(
        passed=not differing,
        description=f"It answers otherwise for {', '.join(differing)}: who asks it gets other numbers than the lake's. "
        f"{_TAKE_DOWN}"
        if differing
        else "It answers as the artifact forecasts.",
        metadata={"series": len(artifact["series"]), "model": model.arn},
    )


@dg.asset_check(
    asset="forecast_endpoint", description="The model served is of the newest week that is due by EIA's calendar."
)
def fresh(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], clock: Clock, sagemaker: SageMaker
) -> dg.AssetCheckResult:
    """Warn where the endpoint answers from figures that newer ones have followed."""
    del context
    model = newest_approved(settings, sagemaker)
    if model is None or not model_endpoint(settings, sagemaker).serves(model):
        said = "The endpoint does not serve the newest approved model: run `forecast refresh`, which deploys it."
        return _warning(_NO_MODEL if model is None else said)
    due = newest_due(clock.now())
    behind = max(0, (due - model.week).days // 7)
    gone = f"the first {behind} of" if behind < settings.horizon else "all"
    described = (
        f"The model served is of {model.week}, and the figures of {due} were due on {release_due(due):%Y-%m-%d}: "
        f"{gone} the {settings.horizon} weeks it forecasts have passed. Run `forecast refresh`; where the source does "
        "not have that week yet, EIA is late or the source is a file that ends earlier."
    )
    return dg.AssetCheckResult(
        passed=behind == 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=described if behind else f"It serves the model of {model.week}, the newest week due.",
        metadata={"weeks_behind": behind},
    )


def _warning(description: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=description)
