"""The model registry: one package group, one package a registered week."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


Approval = Literal["Approved", "PendingManualApproval", "Rejected"]

REALTIME_INSTANCES = ("ml.t2.medium", "ml.m5.large", "ml.m5.xlarge", "ml.c5.large", "ml.c5.xlarge")
"""What the registry offers for an endpoint: the forecaster needs one CPU and 100 MB."""
TRANSFORM_INSTANCES = ("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge")
"""What it offers for batch transform."""

_DESCRIPTION = "Demand forecasts made from the release of {week}"
_LONGEST_FACT = 256
_NOT_IN_FACTS = re.compile(r"[^\w .:/=+\-@]+")


@dataclass(frozen=True)
class Candidate:
    """An artifact that is to be registered.

    Attributes:
        week: What it was made from.
        digest: SHA-256 of the artifact.
        model_data: S3 URI of its `model.tar.gz`.
        metrics: S3 URI of its scores as JSON.
        facts: What is worth reading in the registry, such as scores. AWS takes letters, figures, spaces and
            `_.:/=+-@` there, anything else becomes a space; at most 256 characters a value, at most 47 facts.
    """

    week: date
    digest: str
    model_data: str
    metrics: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry.

    Attributes:
        arn: Of the model package.
        version: Counts up within the group.
        week: What the model was made from.
        digest: SHA-256 of the artifact.
        model_data: S3 URI of its `model.tar.gz`.
        approval: `Approved`, `PendingManualApproval` or `Rejected`.
    """

    arn: str
    version: int
    week: date
    digest: str
    model_data: str
    approval: str


class ModelRegistry:
    """The packages of one group.

    Args:
        client: boto3 client of SageMaker.
        group: Name of the model package group; it is made with the first registration.
    """

    def __init__(self, client: "SageMakerClient", *, group: str) -> None:
        self._client, self._group = client, group

    def register(
        self, *, week: date, digest: str, model_data: str, image: str, approve: bool, facts: Mapping[str, str]
    ) -> RegisteredModel:
        """Register an artifact, once: the same artifact of the same week is found again, not registered twice.

        Args:
            week: What it was made from.
            digest: SHA-256 of the artifact.
            model_data: S3 URI of its `model.tar.gz`.
            image: Image that serves it.
            approve: Approve it at once, or leave it to a person.
            facts: What is worth reading in the registry, such as scores; at most 256 characters a value.
        """
        for model in self.models():
            if model.week == week and model.digest == digest:
                return model
        self._ensure_group()
        answer = self._client.create_model_package(
            ModelPackageGroupName=self._group,
            ModelPackageDescription=f"Demand forecasts made from the release of {week}",
            ModelApprovalStatus="Approved" if approve else "PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": image, "ModelDataUrl": model_data}],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json", "text/csv"],
            },
            CustomerMetadataProperties={**facts, "week": week.isoformat(), "digest": digest},
        )
        return self._model(answer["ModelPackageArn"])

    def newest_approved(self, *, before: date | None = None) -> RegisteredModel | None:
        """The approved model of the newest week, the latest version of it; only weeks before a day if one is given."""
        candidates = [
            model for model in self.models() if model.approval == "Approved" and (before is None or model.week < before)
        ]
        return max(candidates, key=lambda model: (model.week, model.version), default=None)

    def models(self) -> Iterator[RegisteredModel]:
        """Every model of the group, the latest version first; nothing where the group does not exist."""
        from botocore.exceptions import ClientError

        pages = self._client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self._group, SortBy="CreationTime", SortOrder="Descending"
        )
        try:
            for page in pages:
                for summary in page["ModelPackageSummaryList"]:
                    yield self._model(summary["ModelPackageArn"])
        except ClientError as error:
            if not _is_missing(error):
                raise

    def _model(self, arn: str) -> RegisteredModel:
        found: Mapping[str, Any] = self._client.describe_model_package(ModelPackageName=arn)
        properties = found["CustomerMetadataProperties"]
        return RegisteredModel(
            arn=arn,
            version=found["ModelPackageVersion"],
            week=date.fromisoformat(properties["week"]),
            digest=properties["digest"],
            model_data=found["InferenceSpecification"]["Containers"][0]["ModelDataUrl"],
            approval=found["ModelApprovalStatus"],
        )

    def _ensure_group(self) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.describe_model_package_group(ModelPackageGroupName=self._group)
        except ClientError as error:
            if not _is_missing(error):
                raise
            self._client.create_model_package_group(
                ModelPackageGroupName=self._group,
                ModelPackageGroupDescription="Weekly demand for U.S. petroleum products",
            )


def _is_missing(error: Any) -> bool:  # noqa: ANN401 - botocore's ClientError, which is not imported at module level
    message = error.response["Error"]["Message"].lower()
    return "not exist" in message or "not found" in message or "could not find" in message


def package_request(
    candidate: Candidate, *, image: str, approval: Approval, instance_types: Sequence[str] = ()
) -> dict[str, Any]:
    """A `create_model_package` request, without its group."""
    gate = "failed" if approval == "Rejected" else "passed"
    told = {**candidate.facts, "week": candidate.week.isoformat(), "digest": candidate.digest, "gate": gate}
    statistics = {"ContentType": "application/json", "S3Uri": candidate.metrics}
    return {
        "ModelPackageDescription": _DESCRIPTION.format(week=candidate.week),
        "ModelApprovalStatus": approval,
        "InferenceSpecification": {
            "Containers": [{"Image": image, "ModelDataUrl": candidate.model_data}],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json", "text/csv"],
            "SupportedRealtimeInferenceInstanceTypes": list(dict.fromkeys([*REALTIME_INSTANCES, *instance_types])),
            "SupportedTransformInstanceTypes": list(TRANSFORM_INSTANCES),
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": statistics}},
        "CustomerMetadataProperties": {key: _fact(value) for key, value in told.items()},
    }


def _fact(text: str) -> str:
    return _NOT_IN_FACTS.sub(" ", text).strip()[:_LONGEST_FACT]
