"""Checks of the REST API."""

import time

import dagster as dg

from forecast_assets.api import rest_api
from forecast_assets.serving import model_endpoint
from forecast_assets.settings import Settings
from resources.api.client import ask
from resources.api.errors import ApiError, ApiRefusedError
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker

_SETTLES_S = 90.0
_PAUSE_S = 3.0


@dg.asset_check(
    asset="forecast_api", blocking=True, description="The API answers a real request as the endpoint behind it does."
)
def answers_as_endpoint(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.AssetCheckResult:
    """Ask both for the first series and compare to the last bit."""
    api = rest_api(settings, sagemaker, lake)
    payload = {"series": settings.series_ids[0], "periods": settings.horizon, "levels": list(settings.levels)}
    expected = model_endpoint(settings, sagemaker).invoke(payload)
    began, told = time.monotonic(), False
    until = began + (_SETTLES_S if sagemaker.mode == "aws" else 0)
    with api.probe() as key:
        while True:
            try:
                answer = ask(api.url(), key, payload)
                break
            except ApiError as error:
                # A key that was made a moment ago is not known everywhere yet.
                if time.monotonic() > until or (isinstance(error, ApiRefusedError) and error.status not in {403, 503}):
                    return dg.AssetCheckResult(passed=False, description=f"The API does not answer: {error}")
                if not told:
                    context.log.info(f"Waiting for the API, which may take {_SETTLES_S:g} s to know its key: {error}")
                told = True
                time.sleep(_PAUSE_S)
    return dg.AssetCheckResult(
        passed=answer == expected,
        description="It answers as the endpoint does."
        if answer == expected
        else "It answers otherwise than the endpoint behind it: who asks it gets other numbers. Take it down with "
        "`forecast api teardown` and bring it back with `forecast refresh`.",
        metadata={"url": api.url(), "milliseconds": round((time.monotonic() - began) * 1000, 1)},
    )
