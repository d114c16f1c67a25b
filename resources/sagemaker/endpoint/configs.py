"""The endpoint configs of one endpoint and their models: named by what is in them, made, kept by count, deleted.

A config and its model have the same name. What is named otherwise belongs to somebody else and is never touched.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from resources import aws
from resources.sagemaker.registry import RegisteredModel

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


def serverless(*, memory_mb: int, max_concurrency: int) -> dict[str, Any]:
    """The part of a production variant that makes it serverless.

    Args:
        memory_mb: Memory of one serverless instance, MiB.
        max_concurrency: Requests answered at once.
    """
    return {"ServerlessConfig": {"MemorySizeInMB": memory_mb, "MaxConcurrency": max_concurrency}}


def instances(*, instance_type: str, count: int) -> dict[str, Any]:
    """The part of a production variant that runs it on instances."""
    return {"InstanceType": instance_type, "InitialInstanceCount": count}


class EndpointConfigs:
    """The configs of one endpoint.

    Args:
        client: boto3 client of SageMaker.
        endpoint: Name of the endpoint.
        role_arn: The role the model runs under.
        capacity: What `serverless` or `instances` gives.
    """

    def __init__(self, client: "SageMakerClient", *, endpoint: str, role_arn: str, capacity: Mapping[str, Any]) -> None:
        self._client, self._role_arn, self._capacity = client, role_arn, dict(capacity)
        self._prefix = f"{endpoint[:50]}-"

    def name_of(self, model: RegisteredModel) -> str:
        """The config that serves a model: immutable, so its name is a function of all that is in it."""
        what = json.dumps([model.arn, model.digest, self._role_arn, self._capacity])
        return f"{self._prefix}{hashlib.sha256(what.encode()).hexdigest()[:12]}"

    def ensure(self, model: RegisteredModel) -> str:
        """Make the model and the config of a registered model, and give their name; where they exist they are right."""
        name = self.name_of(model)
        _create(
            self._client.create_model,
            ModelName=name,
            ExecutionRoleArn=self._role_arn,
            PrimaryContainer={"ModelPackageName": model.arn},
        )
        variant = {"VariantName": "AllTraffic", "ModelName": name, **self._capacity}
        _create(self._client.create_endpoint_config, EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def exists(self, name: str) -> bool:
        """Whether a config is there: it may have been deleted by hand."""
        return self._variant(name) is not None

    def can_follow(self, name: str, current: str) -> bool:
        """Whether an endpoint can be updated to a config: one on instances never becomes serverless."""
        then, now = self._variant(name) or {}, self._variant(current) or {}
        return "ServerlessConfig" not in then or "ServerlessConfig" in now

    def _variant(self, name: str) -> Mapping[str, Any] | None:
        found = _found(self._client.describe_endpoint_config, EndpointConfigName=name)
        return found["ProductionVariants"][0] if found else None

    def package(self, name: str) -> str | None:
        """The ARN of the version in the registry that a config serves, where that is known."""
        model: Mapping[str, Any] = _found(self._client.describe_model, ModelName=name) or {}
        package: str | None = model.get("PrimaryContainer", {}).get("ModelPackageName")
        return package

    def packages(self) -> set[str]:
        """The ARNs of the versions in the registry behind all models of the endpoint: what serves, or may again."""
        names = self._ours("list_models", "Models", "ModelName", {"NameContains": self._prefix})
        return {package for name in names if (package := self.package(name)) is not None}

    def described(self, name: str) -> str:
        """A config in words."""
        package = self.package(name)
        return f"{package.partition('model-package/')[2]} (config {name})" if package else f"config {name}"

    def discard(self, name: str) -> None:
        """Delete a config and its model; what is gone already is no error."""
        _found(self._client.delete_endpoint_config, EndpointConfigName=name)
        _found(self._client.delete_model, ModelName=name)

    def prune(self, *, keep: int, protected: Collection[str]) -> list[str]:
        """Delete configs and models but for the newest ones.

        Args:
            keep: How many configs stay.
            protected: Configs that stay whatever their age: what serves, and what may have to serve again.

        Returns:
            The names of those that were deleted.
        """
        newest_first = {"NameContains": self._prefix, "SortBy": "CreationTime", "SortOrder": "Descending"}
        configs = self._ours("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", newest_first)
        kept = {*configs[:keep], *protected}
        gone = [name for name in configs if name not in kept]
        # A model without a config is what a deployment left that was cut short.
        models = self._ours("list_models", "Models", "ModelName", newest_first)
        for name in dict.fromkeys([*gone, *(name for name in models if name not in kept)]):
            self.discard(name)
        return gone

    def _ours(self, operation: Any, key: str, field: str, request: Mapping[str, str]) -> list[str]:  # noqa: ANN401
        pages = self._client.get_paginator(operation).paginate(**request, PaginationConfig={"PageSize": 100})
        names = [str(item[field]) for page in pages for item in page[key]]
        return [name for name in names if re.fullmatch(rf"{re.escape(self._prefix)}[0-9a-f]{{12}}", name)]


def _found(call: Callable[..., Any], **request: str) -> Any:  # noqa: ANN401 - what boto3 answers
    """The answer of a call about something, or None where there is no such thing."""
    from botocore.exceptions import ClientError

    try:
        return call(**request)
    except ClientError as error:
        if not aws.is_missing(error):
            raise
        return None


def _create(call: Callable[..., Any], **request: Any) -> None:
    from botocore.exceptions import ClientError

    try:
        call(**request)
    except ClientError as error:
        if "already existing" not in error.response["Error"]["Message"]:
            raise
