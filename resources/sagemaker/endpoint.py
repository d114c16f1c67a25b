"""The endpoint: brought to a registered model without dropping a request, tested, brought back, asked, taken down."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources import aws
from resources.sagemaker.endpoint_configs import EndpointConfigs
from resources.sagemaker.endpoint_errors import (
    EndpointAnswerError,
    EndpointError,
    EndpointMissingError,
    EndpointRefusedError,
    EndpointRollbackError,
    EndpointSmokeTestError,
    EndpointStuckError,
    EndpointUpdateError,
)
from resources.sagemaker.registry import RegisteredModel

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

TESTED = "forecast:tested"
"""The tag of an endpoint that names the config which passed its smoke test last: what is brought back."""

_LONGEST_END_S = 600.0
_SAY_S = 30.0
_SETTLED = frozenset({"InService", "Failed", "OutOfService", "UpdateRollbackFailed"})
_UPDATABLE = frozenset({"InService", "UpdateRollbackFailed"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})


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
        return status is not None and status.is_in_service(config) and self._tested(status) == config

    def package(self, config: str) -> str | None:
        """The ARN of the version in the registry that a config serves, where that is known."""
        with aws.asking(f"look at what endpoint {self.name} serves"):
            return self._configs.package(config)

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
            return self._deploy(model, smoke_test, time.monotonic() + max_wait_s, max_wait_s, progress)

    def _deploy(
        self,
        model: RegisteredModel,
        smoke_test: Callable[["ModelEndpoint"], None],
        deadline: float,
        max_wait_s: float,
        progress: Callable[[str], None],
    ) -> bool:
        config = self._configs.name_of(model)
        current = self._settled(deadline, progress)
        if current is not None and current.status not in _SETTLED:
            why = f"an earlier change is {current.status} for longer than endpoint.max_update_s"
            raise EndpointUpdateError(self.name, why, "Nothing was changed")
        tested = self._tested(current) if current else None
        if current is not None and current.is_in_service(config):
            if tested == config:
                return False
        else:
            self._configs.ensure(model)
            if current is not None and current.status not in _UPDATABLE:
                progress(f"endpoint {self.name} is {current.status} ({current.reason}): making it anew")
                self.delete()
                current = None
            if current is not None and not self._configs.can_follow(config, current.config):
                self._configs.discard(config)
                why = "SageMaker cannot move an endpoint from instances to serverless; take it down with `forecast "
                why += "endpoint stop`, and `forecast refresh` makes it anew"
                raise EndpointUpdateError(self.name, why, f"{self._configs.described(current.config)} serves on")
            if not self._changed(config, create=current is None):  # another deployment was faster: wait for it
                return self._deploy(model, smoke_test, deadline, max_wait_s, progress)

        former = tested or (current.config if current else None)
        failure = self._failure(config, smoke_test, deadline, progress)
        if failure is not None:
            kind, why = failure
            now = self._brought_back(config, former, why, time.monotonic() + max_wait_s, progress)
            raise kind(self.name, why, now)
        self._passed(config)
        gone = self._configs.prune(keep=self._keep, protected={config, former or config})
        if gone:
            progress(f"deleted {len(gone)} old endpoint configs and models")
        return True

    def _failure(
        self,
        config: str,
        smoke_test: Callable[["ModelEndpoint"], None],
        deadline: float,
        progress: Callable[[str], None],
    ) -> tuple[type[EndpointUpdateError | EndpointSmokeTestError], str] | None:
        """What went wrong with a change that was asked for; None where the new config serves and passed its test."""
        after = self._settled(deadline, progress)
        if after is None or not after.is_in_service(config):
            status = after.status if after else "Deleted"
            late = "" if status in _SETTLED or after is None else "it takes longer than endpoint.max_update_s"
            reason = late or (after.reason if after else "") or "SageMaker gives no reason; see the endpoint's log"
            return EndpointUpdateError, f"{status}: {reason}"
        progress(f"endpoint {self.name}: testing its answers")
        try:
            smoke_test(self)
        except (EndpointError, aws.AwsError) as error:
            return EndpointSmokeTestError, str(error)
        return None

    def _brought_back(
        self, config: str, former: str | None, why: str, deadline: float, progress: Callable[[str], None]
    ) -> str:
        """Undo a change that failed: what serves now, as a sentence."""
        former = former if former and former != config and self._configs.exists(former) else None
        progress(f"endpoint {self.name}: {why}: going back to {former or 'nothing, it was its first deployment'}")
        status = self._settled(deadline, progress)
        if status is not None and status.status not in _SETTLED:
            return f"It is still {status.status}: run `forecast refresh` later, which tests what has come of it"
        if status is not None and status.status == "InService" and status.config != config:
            self._configs.discard(config)
            return f"{self._configs.described(status.config)} serves on"
        stays = status is not None and former is not None and status.status in _UPDATABLE
        if status is not None and not (stays and former and self._configs.can_follow(former, status.config)):
            self.delete()
            status = None
        if former is not None:
            self._changed(former, create=status is None)
            status = self._settled(deadline, progress)
            if status is None or not status.is_in_service(former):
                found = f"it is {status.status} with {status.config} ({status.reason})" if status else "it is gone"
                raise EndpointRollbackError(self.name, why, former=former, found=found)
            self._passed(former)
        self._configs.discard(config)
        if former is None:
            return "Nothing has passed before, so the endpoint was taken down and nothing serves"
        return f"It was brought back: {self._configs.described(former)} serves again"

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

    def _settled(self, deadline: float, progress: Callable[[str], None]) -> EndpointStatus | None:
        """How the endpoint stands once no change is under way, or at the deadline."""
        from botocore.exceptions import ClientError

        seen, began, said = None, time.monotonic(), 0.0
        while True:
            try:
                status = self.status()
            except ClientError as error:
                if aws.error_code(error) not in _THROTTLED or time.monotonic() > deadline:
                    raise
            else:
                if status is None or status.status in _SETTLED or time.monotonic() > deadline:
                    return status
                now = time.monotonic()
                if status.status != seen or now - said > _SAY_S:
                    since = f" for {now - began:.0f} s" if status.status == seen else ""
                    progress(f"endpoint {self.name}: {status.status}{since}")
                    seen, said = status.status, now
            time.sleep(self._poll_s)

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

    def _tested(self, status: EndpointStatus) -> str | None:
        """The config that passed its smoke test last."""
        pages = self._client.get_paginator("list_tags").paginate(ResourceArn=status.arn)
        tags = {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
        return tags.get(TESTED)

    def _passed(self, config: str) -> None:
        """Remember that a config passed, for the deployments to come."""
        status = self.status()
        if status is not None:
            self._client.add_tags(ResourceArn=status.arn, Tags=[{"Key": TESTED, "Value": config}])
