"""A deployment: an endpoint brought to a model without dropping a request, tested there, brought back if it fails."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from resources import aws
from resources.sagemaker.endpoint.configs import EndpointConfigs
from resources.sagemaker.endpoint.errors import (
    EndpointBusyError,
    EndpointError,
    EndpointRollbackError,
    EndpointSlowError,
    EndpointSmokeTestError,
    EndpointUpdateError,
)
from resources.sagemaker.registry import RegisteredModel

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

    from resources.sagemaker.endpoint import EndpointStatus, ModelEndpoint

_SAY_S = 30.0
_LOOKS = 3
_SETTLED = frozenset({"InService", "Failed", "OutOfService", "UpdateRollbackFailed"})
_UPDATABLE = frozenset({"InService", "UpdateRollbackFailed"})


class EndpointDeployment:
    """One deployment to an endpoint; what it promises is said in `ModelEndpoint.deploy`.

    Args:
        endpoint: What is deployed to.
        client: boto3 client of SageMaker.
        configs: The endpoint's configs.
        smoke_test: Raises an `EndpointError` where the endpoint answers otherwise than the model.
        max_wait_s: Longest wait for a change.
        keep: How many configs and models stay.
        poll_s: Seconds between two looks.
        progress: Told what happens.
    """

    def __init__(
        self,
        endpoint: "ModelEndpoint",
        client: "SageMakerClient",
        configs: EndpointConfigs,
        *,
        smoke_test: Callable[["ModelEndpoint"], None],
        max_wait_s: float,
        keep: int,
        poll_s: float,
        progress: Callable[[str], None],
    ) -> None:
        self._endpoint, self._client, self._configs = endpoint, client, configs
        self._smoke_test, self._progress = smoke_test, progress
        self._max_wait_s, self._keep, self._poll_s = max_wait_s, keep, poll_s
        self._deadline = time.monotonic() + max_wait_s

    def run(self, model: RegisteredModel) -> bool:
        """Deploy a model; False where it served already."""
        config = self._configs.name_of(model)
        current = self._settled()
        if current is not None and current.status not in _SETTLED:
            raise EndpointBusyError(self._endpoint.name, self._max_wait_s)
        tested = self._endpoint.tested(current) if current else None
        if current is not None and current.is_in_service(config):
            if tested == config:
                return False
        else:
            self._configs.ensure(model)
            if current is not None and current.status not in _UPDATABLE:
                self._progress(f"endpoint {self._endpoint.name} is {current.status} ({current.reason}): making it anew")
                self._endpoint.delete()
                current = None
            if current is not None and not self._configs.can_follow(config, current.config):
                self._configs.discard(config)
                why = "SageMaker cannot move an endpoint from instances to serverless; take it down with `forecast "
                why += "endpoint stop`, and `forecast refresh` makes it anew"
                raise EndpointUpdateError(
                    self._endpoint.name, why, f"{self._configs.described(current.config)} serves on"
                )
            if not self._changed(config, create=current is None):  # another deployment was faster: wait for it
                return self.run(model)

        former = tested or (current.config if current else None)
        failure = self._failure(config)
        if failure is not None:
            kind, why = failure
            self._deadline = time.monotonic() + self._max_wait_s
            now = self._brought_back(config, former, why)
            raise kind(self._endpoint.name, why, now)
        self._endpoint.passed(config)
        gone = self._configs.prune(keep=self._keep, protected={config, former or config})
        if gone:
            self._progress(f"deleted {len(gone)} old endpoint configs and models")
        return True

    def _failure(self, config: str) -> tuple[type[EndpointUpdateError | EndpointSmokeTestError], str] | None:
        """What went wrong with a change that was asked for; None where the new config serves and passed its test."""
        after = self._settled()
        for _ in range(_LOOKS):  # SageMaker may take a moment to say that it is at it; what failed has a reason
            if after is None or after.config == config or after.status != "InService" or after.reason:
                break
            time.sleep(self._poll_s)
            after = self._settled()
        if after is None or not after.is_in_service(config):
            status = after.status if after else "Deleted"
            if after is not None and status not in _SETTLED:
                return EndpointSlowError, f"{status}: it takes longer than endpoint.max_update_s"
            reason = (after.reason if after else "") or "SageMaker gives no reason; see the endpoint's log"
            return EndpointUpdateError, f"{status}: {reason}"
        self._progress(f"endpoint {self._endpoint.name}: testing its answers")
        try:
            self._smoke_test(self._endpoint)
        except (EndpointError, aws.AwsError) as error:
            return EndpointSmokeTestError, str(error)
        return None

    def _brought_back(self, config: str, former: str | None, why: str) -> str:
        """Undo a change that failed: what serves now, as a sentence."""
        former = former if former and former != config and self._configs.exists(former) else None
        self._progress(
            f"endpoint {self._endpoint.name}: {why}: going back to {former or 'nothing, it was its first deployment'}"
        )
        status = self._settled()
        if status is not None and status.status not in _SETTLED:
            return f"It is still {status.status}: run `forecast refresh` later, which tests what has come of it"
        if status is not None and status.status == "InService" and status.config != config:
            self._configs.discard(config)
            return f"{self._configs.described(status.config)} serves on"
        if status is not None and not (
            former and status.status in _UPDATABLE and self._configs.can_follow(former, status.config)
        ):
            self._endpoint.delete()
            status = None
        if former is not None:
            self._changed(former, create=status is None)
            status = self._settled()
            if status is None or not status.is_in_service(former):
                found = f"it is {status.status} with {status.config} ({status.reason})" if status else "it is gone"
                raise EndpointRollbackError(self._endpoint.name, why, former=former, found=found)
            self._endpoint.passed(former)
        self._configs.discard(config)
        if former is None:
            return "Nothing has passed before, so the endpoint was taken down and nothing serves"
        return f"It was brought back: {self._configs.described(former)} serves again"

    def _settled(self) -> "EndpointStatus | None":
        """How the endpoint stands once no change is under way, or at the deadline."""
        from botocore.exceptions import ClientError

        seen, began, said = None, time.monotonic(), 0.0
        while True:
            try:
                status = self._endpoint.status()
            except ClientError as error:
                if aws.error_code(error) not in aws.THROTTLED or time.monotonic() > self._deadline:
                    raise
            else:
                if status is None or status.status in _SETTLED or time.monotonic() > self._deadline:
                    return status
                now = time.monotonic()
                if status.status != seen or now - said > _SAY_S:
                    since = f" for {now - began:.0f} s" if status.status == seen else ""
                    self._progress(f"endpoint {self._endpoint.name}: {status.status}{since}")
                    seen, said = status.status, now
            time.sleep(self._poll_s)

    def _changed(self, config: str, *, create: bool) -> bool:
        """Ask for the change; False where another deployment asked for one a moment ago."""
        from botocore.exceptions import ClientError

        change = self._client.create_endpoint if create else self._client.update_endpoint
        try:
            change(EndpointName=self._endpoint.name, EndpointConfigName=config)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if "already existing" not in message and "in-progress" not in message:
                raise
            return False
        return True
