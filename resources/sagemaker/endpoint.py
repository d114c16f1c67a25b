"""The endpoint: brought to a registered model without dropping a request, asked, and taken down."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.sagemaker.registry import RegisteredModel

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient


class EndpointError(Exception):
    """The endpoint is not as asked."""


class EndpointMissingError(EndpointError):
    """There is no such endpoint."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no endpoint {name}: run `forecast refresh`, or the job `deploy`")


class EndpointUpdateError(EndpointError):
    """A deployment failed; the model that served before, if there was one, serves on."""

    def __init__(self, name: str, *, status: str, reason: str) -> None:
        super().__init__(f"endpoint {name} did not come into service ({status}): {reason}")


class EndpointRefusedError(EndpointError):
    """The model behind the endpoint refused the request."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"endpoint {name}: {message}")


@dataclass(frozen=True)
class EndpointStatus:
    """How an endpoint stands.

    Attributes:
        status: SageMaker's word, such as `InService`.
        config: Name of the endpoint config, which names the model's version.
        reason: Why the last change failed, if it did.
    """

    status: str
    config: str
    reason: str | None


class ModelEndpoint:
    """One serverless endpoint.

    Args:
        client: boto3 client of SageMaker.
        runtime: boto3 client of its runtime.
        name: The endpoint's name.
        role_arn: The role the model runs under.
        memory_mb: Memory of one serverless instance, MiB.
        max_concurrency: Requests answered at once.
    """

    def __init__(
        self,
        client: "SageMakerClient",
        runtime: "SageMakerRuntimeClient",
        *,
        name: str,
        role_arn: str,
        memory_mb: int,
        max_concurrency: int,
    ) -> None:
        self._client, self._runtime, self.name = client, runtime, name
        self._role_arn = role_arn
        self._serverless = {"MemorySizeInMB": memory_mb, "MaxConcurrency": max_concurrency}

    def status(self) -> EndpointStatus | None:
        """How it stands; None where there is none."""
        from botocore.exceptions import ClientError

        try:
            found = self._client.describe_endpoint(EndpointName=self.name)
        except ClientError as error:
            if "could not find" in error.response["Error"]["Message"].lower():
                return None
            raise
        return EndpointStatus(found["EndpointStatus"], found.get("EndpointConfigName", ""), found.get("FailureReason"))

    def config_name(self, model: RegisteredModel) -> str:
        """The endpoint config that serves a model: immutable, so its name is a function of all that is in it."""
        what = json.dumps([model.arn, model.digest, self._role_arn, self._serverless])
        return f"{self.name[:50]}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"

    def serves(self, model: RegisteredModel) -> bool:
        """Whether the endpoint is in service with this model."""
        status = self.status()
        return status is not None and status.status == "InService" and status.config == self.config_name(model)

    def deploy(
        self,
        model: RegisteredModel,
        *,
        max_wait_s: float,
        progress: Callable[[str], None],
    ) -> bool:
        """Bring the endpoint to a model, creating or updating it; False where it served it already.

        Another deployment that is under way is waited for.

        Raises:
            EndpointUpdateError: The new model did not come into service; what served before serves on.
        """
        deadline = time.monotonic() + max_wait_s
        current = self._settled(deadline, progress)
        config = self.config_name(model)
        if current is not None and current.status == "InService" and current.config == config:
            return False
        self._ensure_config(model, config)
        if current is not None and current.status != "InService":
            progress(f"endpoint {self.name} is {current.status} ({current.reason}): making it anew")
            self.delete()
            current = self._settled(deadline, progress)
        if not self._changed(config, create=current is None):
            return self.deploy(model, max_wait_s=deadline - time.monotonic(), progress=progress)
        after = self._settled(deadline, progress)
        if after is None or after.status != "InService" or after.config != config:
            raise EndpointUpdateError(
                self.name,
                status=after.status if after else "Deleted",
                reason=(after.reason if after else None) or "SageMaker gives no reason; see the endpoint's log",
            )
        return True

    def invoke(self, payload: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON the model answers
        """The model's answer to a JSON request.

        Raises:
            EndpointMissingError: There is no such endpoint.
            EndpointRefusedError: The model refused the request.
        """
        from botocore.exceptions import ClientError

        if self.status() is None:
            raise EndpointMissingError(self.name)
        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=self.name, ContentType="application/json", Body=json.dumps(payload).encode()
            )
        except ClientError as error:
            raise EndpointRefusedError(self.name, error.response["Error"]["Message"]) from error
        return json.loads(answer["Body"].read())

    def delete(self) -> None:
        """Take the endpoint down.

        Raises:
            EndpointMissingError: There is no such endpoint.
        """
        if self.status() is None:
            raise EndpointMissingError(self.name)
        self._client.delete_endpoint(EndpointName=self.name)
        self._client.get_waiter("endpoint_deleted").wait(
            EndpointName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )

    def _settled(self, deadline: float, progress: Callable[[str], None]) -> EndpointStatus | None:
        """How the endpoint stands once no change is under way."""
        seen = None
        while True:
            status = self.status()
            if status is None or status.status in {"InService", "Failed", "OutOfService"}:
                return status
            if status.status != seen:
                progress(f"endpoint {self.name}: {status.status}")
                seen = status.status
            if time.monotonic() > deadline:
                raise EndpointUpdateError(self.name, status=status.status, reason="it takes longer than max_update_s")
            time.sleep(0.2)

    def _changed(self, config: str, *, create: bool) -> bool:
        """Ask for the change; False where another deployment asked for one a moment ago."""
        from botocore.exceptions import ClientError

        change = self._client.create_endpoint if create else self._client.update_endpoint
        try:
            change(EndpointName=self.name, EndpointConfigName=config)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if "already existing" not in message and "in-progress" not in message:
                raise
            return False
        return True

    def _ensure_config(self, model: RegisteredModel, config: str) -> None:
        """Make the model and the endpoint config; where they exist they are right."""
        self._create(
            self._client.create_model,
            ModelName=config,
            ExecutionRoleArn=self._role_arn,
            PrimaryContainer={"ModelPackageName": model.arn},
        )
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": config,
            "ServerlessConfig": self._serverless,
        }
        self._create(self._client.create_endpoint_config, EndpointConfigName=config, ProductionVariants=[variant])

    @staticmethod
    def _create(call: Callable[..., Any], **request: Any) -> None:
        from botocore.exceptions import ClientError

        try:
            call(**request)
        except ClientError as error:
            if "already existing" not in error.response["Error"]["Message"]:
                raise
