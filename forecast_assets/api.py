"""Serving: the REST API in front of the endpoint."""

import json

import dagster as dg

from forecast_assets.metadata import OWNERS
from forecast_assets.settings import Settings
from resources.api.errors import KEY_VARIABLE
from resources.api.spec import Api, ApiSpec
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker


def rest_api(settings: Settings, sagemaker: SageMaker, lake: Lake) -> Api:
    """The configured API: a stack on AWS, a process on this machine."""
    spec = ApiSpec(
        endpoint=settings.endpoint.name,
        stage=settings.api.stage,
        rate_per_s=settings.api.rate_per_s,
        burst=settings.api.burst,
        quota_per_month=settings.api.quota_per_month,
    )
    if sagemaker.mode == "local":
        from resources.api.local import LocalApi

        return LocalApi(lake.root / "_api", sagemaker.root, spec, port=settings.api.port)
    from resources import aws
    from resources.api.stack import StackApi
    from resources.cloudformation.account import Account

    return StackApi(
        Account(settings.stack, settings.region).api,
        aws.client("apigateway", settings.region),
        sagemaker.client(),
        spec,
        code={"ImageUri": sagemaker.image("gateway")},
    )


@dg.asset(
    deps=["forecast_endpoint"],
    description="The REST API that answers whoever has its key: POST /{stage}/forecast, with a rate and a quota.",
    group_name="serving",
    kinds={"apigateway", "lambda"},
    owners=OWNERS,
    code_version="1",
)
def forecast_api(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Bring the API up in front of the endpoint."""
    api = rest_api(settings, sagemaker, lake)
    changed = api.deploy(context.log.info)
    url = api.url()
    return dg.MaterializeResult(
        metadata={
            "url": dg.MetadataValue.url(url),
            "example": dg.MetadataValue.md(f"```sh\n{example(url, settings.series_ids[0])}\n```"),
            "key": dg.MetadataValue.md("`forecast api key`"),
            "rate_per_s": settings.api.rate_per_s,
            "burst": settings.api.burst,
            "quota_per_month": settings.api.quota_per_month,
            "changed": changed,
        },
    )


def example(url: str, series: str) -> str:
    """How the API is asked from a shell that has the key in its environment."""
    body = json.dumps({"series": series, "periods": 10, "conf": 0.9})
    lines = (f"curl {url}", f'-H "x-api-key: ${KEY_VARIABLE}"', "-H 'content-type: application/json'", f"-d '{body}'")
    return " \\\n  ".join(lines)
