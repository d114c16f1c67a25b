"""The API on AWS: a CloudFormation stack with a Lambda function behind API Gateway."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

from resources.api.errors import ApiMissingError
from resources.api.spec import ApiSpec, Progress
from resources.aws import asking
from resources.cloudformation.stack import Stack, StackMissingError
from resources.sagemaker.endpoint.errors import EndpointMissingError

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_sagemaker import SageMakerClient

MAX_WAIT_S = 900.0
_SNAPSHOT = "Deployment0000000000"
"""The logical id of the API's deployment in the template, whose zeros are replaced by the template's checksum."""


class StackApi:
    """The API of a stack.

    Args:
        stack: The stack.
        keys: boto3 client of API Gateway.
        sagemaker: boto3 client of SageMaker, which knows the endpoint.
        spec: What the API is to be.
        code: Parameters that name the function's code: `ImageUri`, or `CodeBucket` and `CodeKey`.
    """

    def __init__(
        self,
        stack: Stack,
        keys: "APIGatewayClient",
        sagemaker: "SageMakerClient",
        spec: ApiSpec,
        *,
        code: Mapping[str, str],
    ) -> None:
        self._stack, self._keys, self._sagemaker, self._spec, self._code = stack, keys, sagemaker, spec, code

    def is_deployed(self) -> bool:
        """Whether it is there, as asked."""
        try:
            return self._stack.outputs().get("Revision") == self._parameters()["Revision"]
        except (StackMissingError, EndpointMissingError):
            return False

    def deploy(self, progress: Progress) -> bool:
        """Bring the stack to the template through a change set; False where nothing had to change.

        Raises:
            EndpointMissingError: There is nothing to stand in front of.
            StackFailedError: It was rolled back; the API that was there before answers on.
        """
        return self._stack.deploy(template(), self._parameters(), max_wait_s=MAX_WAIT_S, progress=progress)

    def url(self) -> str:
        """Where forecasts are asked for; raises `ApiMissingError`."""
        return self._output("Url")

    def key(self) -> str:
        """The key, from API Gateway; raises `ApiMissingError`."""
        number = self._output("ApiKeyId")
        with asking("read the key of the API"):
            return self._keys.get_api_key(apiKey=number, includeValue=True)["value"]

    @contextmanager
    def probe(self) -> Iterator[str]:
        """The key."""
        yield self.key()

    def delete(self, progress: Progress) -> bool:
        """Delete the stack, with its key and its log; False where there was none."""
        return self._stack.delete(max_wait_s=MAX_WAIT_S, progress=progress)

    def _output(self, name: str) -> str:
        try:
            return self._stack.outputs()[name]
        except (StackMissingError, KeyError):  # it is there without outputs while it is made
            raise ApiMissingError from None

    def _parameters(self) -> dict[str, str]:
        parameters = {
            "EndpointName": self._spec.endpoint,
            "EndpointArn": self._endpoint_arn(),
            "StageName": self._spec.stage,
            "RatePerSecond": f"{self._spec.rate_per_s:g}",
            "Burst": str(self._spec.burst),
            "QuotaPerMonth": str(self._spec.quota_per_month),
            **self._code,
        }
        return parameters | {"Revision": _checksum(template() + json.dumps(parameters, sort_keys=True))}

    def _endpoint_arn(self) -> str:
        from botocore.exceptions import ClientError

        with asking(f"look at endpoint {self._spec.endpoint}"):
            try:
                return self._sagemaker.describe_endpoint(EndpointName=self._spec.endpoint)["EndpointArn"]
            except ClientError as error:
                if "could not find" not in error.response["Error"]["Message"].lower():
                    raise
                raise EndpointMissingError(self._spec.endpoint) from error


def template() -> str:
    """The template as it is deployed."""
    return named(resources.files("resources.cloudformation").joinpath("api.yaml").read_text(encoding="utf-8"))


def named(source: str) -> str:
    """A template whose deployment of the API is named by the template's checksum: a change of it is a new one."""
    return source.replace(_SNAPSHOT, f"Deployment{_checksum(source)}")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
