"""The endpoint: how it stands, brought to a registered model, asked, taken down."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources import aws
from resources.sagemaker.endpoint.configs import EndpointConfigs
from resources.sagemaker.endpoint.deployment import EndpointDeployment
from resources.sagemaker.endpoint.errors import (
    EndpointAnswerError,
    EndpointMissingError,
    EndpointRefusedError,
    EndpointStuckError,
)
from resources.sagemaker.registry import RegisteredModel

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

TESTED = "forecast:tested"
"""The tag of an endpoint that names the config which passed its smoke test last: what is brought back."""

_LONGEST_END_S = 600.0


@dataclass(frozen=True)
class EndpointStatus:
    """How an endpoint stands.

    Attributes:
        arn: Its ARN.
        status: SageMaker's word, such as `InService`.
        config: Name of the endpoint config, which names the model's version.
        reason: Why the last change failed, if it did.
    """

    arn: str
    status: str
    config: str
    reason: str | None

    def is_in_service(self, config: str) -> bool:
        """Whether it answers with a config, and with no other."""
        return self.status == "InService" and self.config == config


class ModelEndpoint:
    """One endpoint.

    Args:
        client: boto3 client of SageMaker.
        runtime: boto3 client of its runtime.
        name: The endpoint's name.
        role_arn: The role the model runs under.
        capacity: What `endpoint_configs.serverless` or `endpoint_configs.instances` gives.
        keep: How many endpoint configs and models are kept.
        poll_s: Seconds between two looks at a change that is under way.
    """

    def __init__(
        self,
        client: "SageMakerClient",
        runtime: "SageMakerRuntimeClient",
        *,
        name: str,
        role_arn: str,
        capacity: Mapping[str, Any],
        keep: int,
        poll_s: float,
    ) -> None:
        self._client, self._runtime, self.name = client, runtime, name
        self._keep, self._poll_s = keep, poll_s
        self._configs = EndpointConfigs(client, endpoint=name, role_arn=role_arn, capacity=capacity)

    def status(self) -> EndpointStatus | None:
        """How it stands; None where there is none."""
        from botocore.exceptions import ClientError

        with aws.asking(f"look at endpoint {self.name}"):
            try:
                found = self._client.describe_endpoint(EndpointName=self.name)
            except ClientError as error:
                if aws.is_missing(error):
                    return None
                raise
        return EndpointStatus(
            found["EndpointArn"],
            found["EndpointStatus"],
            found.get("EndpointConfigName", ""),
            found.get("FailureReason"),
        )

    def serves(self, model: RegisteredModel) -> bool:
        """Whether the endpoint is in service with this model, and has passed its smoke test."""
        config, status = self._configs.name_of(model), self.status()
        return status is not None and status.is_in_service(config) and self.tested(status) == config

    def package(self, config: str) -> str | None:
        """The ARN of the version in the registry that a config serves, where that is known."""
        with aws.asking(f"look at what endpoint {self.name} serves"):
            return self._configs.package(config)

    def packages(self) -> set[str]:
        """The ARNs of the versions in the registry that it serves, or may be brought back to."""
        with aws.asking(f"look at what endpoint {self.name} can serve"):
            return self._configs.packages()

    def deploy(
        self,
        model: RegisteredModel,
        *,
        smoke_test: Callable[["ModelEndpoint"], None],
        max_wait_s: float,
        progress: Callable[[str], None],
    ) -> bool:
        """Bring the endpoint to a model, creating or updating it; False where it served it already.

        Where the model does not come into service, or does not pass its test there, the endpoint is brought back to the
        config that passed last, and the new config is deleted. Where none has passed, nothing is left to serve: an
        endpoint that answers wrongly is worse than none. Another deployment that is under way is waited for.

        Args:
            model: What to serve.
            smoke_test: Asks the endpoint and raises an `EndpointError` where it answers otherwise than the model.
            max_wait_s: Longest wait for a change; the way back has as long.
            progress: Told what happens.

        Raises:
            EndpointUpdateError: The new model did not come into service.
            EndpointSmokeTestError: It did, and answered wrongly.
            EndpointRollbackError: One of these, and what served before could not be brought back.
        """
        with aws.asking(f"deploy endpoint {self.name}"):
            return EndpointDeployment(
                self,
                self._client,
                self._configs,
                smoke_test=smoke_test,
                max_wait_s=max_wait_s,
                keep=self._keep,
                poll_s=self._poll_s,
                progress=progress,
            ).run(model)

    def invoke(self, payload: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON the model answers
        """The model's answer to a JSON request.

        Raises:
            EndpointMissingError: There is no such endpoint.
            EndpointRefusedError: The model refused the request, failed or took too long.
            EndpointAnswerError: The answer is not JSON.
        """
        from botocore.exceptions import ClientError

        with aws.asking(f"invoke endpoint {self.name}"):
            try:
                answer = self._runtime.invoke_endpoint(
                    EndpointName=self.name, ContentType="application/json", Body=json.dumps(payload).encode()
                )
                body = answer["Body"].read()
            except ClientError as error:
                if aws.error_code(error) == "ValidationError" and aws.is_missing(error):
                    raise EndpointMissingError(self.name) from error
                if aws.error_code(error) in aws.REMEDIES:
                    raise
                raise EndpointRefusedError(self.name, error.response["Error"]["Message"]) from error
        try:
            return json.loads(body)
        except ValueError as error:
            raise EndpointAnswerError(self.name, f"{body[:80]!r} is not JSON") from error

    def delete(self) -> None:
        """Take the endpoint down.

        Raises:
            EndpointMissingError: There is no such endpoint.
            EndpointStuckError: It does not go.
        """
        if self.status() is None:
            raise EndpointMissingError(self.name)
        with aws.asking(f"take down endpoint {self.name}"):
            self._client.delete_endpoint(EndpointName=self.name)
        deadline = time.monotonic() + _LONGEST_END_S
        while (status := self.status()) is not None:
            if time.monotonic() > deadline:
                raise EndpointStuckError(self.name, status.status, _LONGEST_END_S)
            time.sleep(self._poll_s)

    def tested(self, status: EndpointStatus) -> str | None:
        """The config that passed its smoke test last."""
        pages = self._client.get_paginator("list_tags").paginate(ResourceArn=status.arn)
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
        return tags.get(TESTED)

    def passed(self, config: str) -> None:
        """Remember that a config passed, for the deployments to come."""
        status = self.status()
        if status is not None:
            self._client.add_tags(ResourceArn=status.arn, Tags=[{"Key": TESTED, "Value": config}])
