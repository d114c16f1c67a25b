"""The model registry: one package group, one package a registered week."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from resources import aws

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

Approval = Literal["Approved", "PendingManualApproval", "Rejected"]

REALTIME_INSTANCES = ("ml.t2.medium", "ml.m5.large", "ml.m5.xlarge", "ml.c5.large", "ml.c5.xlarge")
"""What the registry offers for an endpoint: the forecaster needs one CPU and 100 MB."""
TRANSFORM_INSTANCES = ("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge")
"""What it offers for batch transform."""

# Written at registration and never changed: it tells the week of a version without a question for each of them.
_DESCRIPTION = "Demand forecasts made from the release of {week}"
_WEEK = re.compile(r"Demand forecasts made from the release of (\d{4}-\d\d-\d\d)")
_LONGEST_FACT = 256
_LONGEST_REASON = 1024
_NOT_IN_FACTS = re.compile(r"[^\w .:/=+\-@]+")


class ModelMissingError(aws.AwsError):
    """The registry has no such version."""

    def __init__(self, group: str, version: int) -> None:
        super().__init__(f"{group} has no version {version}: `forecast model list` shows those it has")


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
        passed_gate: Whether the gate let it through; a person may approve what it did not.
        reason: Why it stands as it does, in words.
    """

    arn: str
    version: int
    week: date
    digest: str
    model_data: str
    approval: str
    passed_gate: bool
    reason: str


@dataclass(frozen=True)
class _Listed:
    """What a list says of a version."""

    arn: str
    version: int
    week: date


class ModelRegistry:
    """The packages of one group. Versions that were not registered here, which say no week, are left out.

    Args:
        client: boto3 client of SageMaker.
        group: Name of the model package group; it is made with the first registration.
    """

    def __init__(self, client: "SageMakerClient", *, group: str) -> None:
        self._client, self._group = client, group

    def register(
        self,
        candidate: Candidate,
        *,
        image: str,
        approval: Approval,
        reason: str,
        instance_types: Sequence[str] = (),
    ) -> RegisteredModel:
        """Register an artifact, once: the same artifact of the same week is found again, not registered twice.

        What the gate rejected is another version than the same artifact once it has passed, and what a person has said
        of a version is left as it is.

        Args:
            candidate: The artifact.
            image: Image that serves it.
            approval: `Rejected` by the gate; else approved at once, or left to a person.
            reason: Of the approval, or of the rejection.
            instance_types: Of endpoints that will serve it, besides those that are always offered.
        """
        found = self.find(week=candidate.week, digest=candidate.digest, passed_gate=approval != "Rejected")
        if found is not None:
            return found
        self._ensure_group()
        request = package_request(candidate, image=image, approval=approval, instance_types=instance_types)
        arn = self._client.create_model_package(ModelPackageGroupName=self._group, **request)["ModelPackageArn"]
        # It cannot be given at creation. Should this not be reached, a version lacks its reason and nothing else.
        self._client.update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus=approval, ApprovalDescription=_line(reason)
        )
        return self._model(arn)

    def find(self, *, week: date, digest: str, passed_gate: bool = True) -> RegisteredModel | None:
        """The version of an artifact of a week, or None where it is not registered."""
        for listed in self._listed():
            if listed.week == week:
                model = self._model(listed.arn)
                if (model.digest, model.passed_gate) == (digest, passed_gate):
                    return model
        return None

    def newest(self, approval: Approval, *, before: date | None = None) -> RegisteredModel | None:
        """The model of the newest week that stands so, the latest version of it; only of weeks before a day if given.

        Weeks decide, not versions: a week that is refreshed or approved late deploys nothing.
        """
        found = (each for each in self._listed(approval) if before is None or each.week < before)
        newest = max(found, key=lambda each: (each.week, each.version), default=None)
        return None if newest is None else self._model(newest.arn)

    def model(self, arn: str) -> RegisteredModel | None:
        """A version by its ARN; None where it was deleted."""
        from botocore.exceptions import ClientError

        try:
            return self._model(arn)
        except ClientError as error:
            if not aws.is_missing(error):
                raise
            return None

    def models(self) -> Iterator[RegisteredModel]:
        """Every model of the group, the latest version first; nothing where the group does not exist."""
        return (self._model(listed.arn) for listed in self._listed())

    def decide(self, version: int, approval: Approval, *, reason: str) -> RegisteredModel:
        """Approve or reject a version by hand.

        Raises:
            ModelMissingError: The group has no such version.
        """
        listed = next((each for each in self._listed() if each.version == version), None)
        if listed is None:
            raise ModelMissingError(self._group, version)
        self._client.update_model_package(
            ModelPackageArn=listed.arn, ModelApprovalStatus=approval, ApprovalDescription=_line(reason)
        )
        return self._model(listed.arn)

    def reject(self, model: RegisteredModel, *, reason: str) -> None:
        """Keep a version from serving, as somebody who rejects it does. One that is gone already is no error."""
        with _gone_is_no_error():
            self._client.update_model_package(
                ModelPackageArn=model.arn, ModelApprovalStatus="Rejected", ApprovalDescription=_line(reason)
            )

    def delete(self, model: RegisteredModel) -> None:
        """Delete a version; its number is not given out again. One that is gone already is no error."""
        with _gone_is_no_error():
            self._client.delete_model_package(ModelPackageName=model.arn)

    def _listed(self, approval: Approval | None = None) -> Iterator[_Listed]:
        from botocore.exceptions import ClientError

        request: dict[str, Any] = {"ModelApprovalStatus": approval} if approval else {}
        newest_first: dict[str, Any] = {
            "SortBy": "CreationTime",
            "SortOrder": "Descending",
            "PaginationConfig": {"PageSize": 100},
        }
        pages = self._client.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self._group, **newest_first, **request
        )
        try:
            for page in pages:
                for found in page["ModelPackageSummaryList"]:
                    if said := _WEEK.fullmatch(found.get("ModelPackageDescription", "")):
                        week = date.fromisoformat(said[1])
                        yield _Listed(found["ModelPackageArn"], found["ModelPackageVersion"], week)
        except ClientError as error:
            if not aws.is_missing(error):
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
            passed_gate=properties.get("gate", "passed") == "passed",
            reason=found.get("ApprovalDescription", ""),
        )

    def _ensure_group(self) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client.describe_model_package_group(ModelPackageGroupName=self._group)
        except ClientError as error:
            if not aws.is_missing(error):
                raise
            self._client.create_model_package_group(
                ModelPackageGroupName=self._group,
                ModelPackageGroupDescription="Weekly demand for U.S. petroleum products",
            )


@contextmanager
def _gone_is_no_error() -> Iterator[None]:
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if not aws.is_missing(error):
            raise


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


def _line(reason: str) -> str:
    return " ".join(reason.split())[:_LONGEST_REASON]
