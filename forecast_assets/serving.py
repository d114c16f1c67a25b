"""Serving: the endpoint. It is not partitioned: it follows the newest approved model, whatever week is replayed."""

from typing import Any

import dagster as dg

from forecast_assets.answers import smoke_test
from forecast_assets.artifacts import registered_artifact
from forecast_assets.metadata import OWNERS
from forecast_assets.settings import Endpoint, Settings
from resources.lake import Lake
from resources.sagemaker.endpoint import ModelEndpoint
from resources.sagemaker.endpoint.configs import instances, serverless
from resources.sagemaker.endpoint.turn import turn
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry, RegisteredModel


def model_endpoint(settings: Settings, sagemaker: SageMaker) -> ModelEndpoint:
    """The configured endpoint."""
    return ModelEndpoint(
        sagemaker.client(),
        sagemaker.runtime(),
        name=settings.endpoint.name,
        role_arn=settings.serving_role_arn,
        capacity=_capacity(settings.endpoint),
        keep=settings.endpoint.keep,
        poll_s=0.2 if sagemaker.mode == "local" else 5,
    )


def _capacity(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.instance_type:
        return instances(instance_type=endpoint.instance_type, count=endpoint.instance_count)
    return serverless(memory_mb=endpoint.memory_mb, max_concurrency=endpoint.max_concurrency)


def newest_approved(settings: Settings, sagemaker: SageMaker) -> RegisteredModel | None:
    """The model that the endpoint should serve."""
    return ModelRegistry(sagemaker.client(), group=settings.model_group).newest("Approved")


@dg.asset(
    deps=["registered_model"],
    description="The endpoint that answers with the newest approved model, updated without dropping a request. A model "
    "that does not come up or answers otherwise than its artifact is taken back.",
    group_name="serving",
    kinds={"sagemaker"},
    owners=OWNERS,
    code_version="1",
)
def forecast_endpoint(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Deploy the newest approved model, once it is seen to be the one that was registered; go back if it fails."""
    endpoint, longest_s = model_endpoint(settings, sagemaker), settings.endpoint.max_update_s
    # Whoever waited for another deployment asks after it what is newest: there and back is twice the longest change.
    with turn(lake, endpoint.name, max_wait_s=3 * longest_s, progress=context.log.info):
        model = newest_approved(settings, sagemaker)
        if model is None:
            raise dg.Failure(
                f"{settings.model_group} has no approved model: refresh a week whose gate passes, or approve one",
                allow_retries=False,
            )
        artifact = registered_artifact(lake, sagemaker, model)
        changed = endpoint.deploy(
            model, smoke_test=smoke_test(artifact, settings), max_wait_s=longest_s, progress=context.log.info
        )
    url = sagemaker.endpoint_url(endpoint.name) if sagemaker.mode == "local" else None
    return dg.MaterializeResult(
        metadata={
            "endpoint": endpoint.name,
            "model": model.arn,
            "week": model.week.isoformat(),
            "changed": changed,
            **({"url": dg.MetadataValue.url(url)} if url else {}),
        },
        data_version=dg.DataVersion(model.digest),
    )
