"""What the platform has in an account: the stack it stands on, and what it made beside it."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from resources.aws import asking, client, error_code
from resources.cloudformation.errors import BucketNotEmptiedError
from resources.cloudformation.operation import Wait
from resources.cloudformation.stack import Progress, Stack

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

IMAGES = ("processing", "training", "serving", "gateway")
MAX_WAIT_S = 1800.0
_AT_REST = {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}


class Account:
    """An account and region, as far as they are the platform's.

    Args:
        stack: Name of the stack, which begins the names of what it holds.
        region: AWS region.
        poll_interval_s: Seconds between two looks at CloudFormation.
    """

    def __init__(self, stack: str, region: str, *, poll_interval_s: float = 3) -> None:
        self._region, self._poll_interval_s = region, poll_interval_s
        self.base, self.api = self._stack(stack), self._stack(f"{stack}-api")

    def number(self) -> str:
        """The account's number."""
        with asking("see whose account this is"):
            return str(client("sts", self._region).get_caller_identity()["Account"])

    def bucket(self) -> str:
        """The name of the bucket, whether it is there or not."""
        return f"{self.base.name}-{self.number()}-{self._region}"

    def has_bucket(self) -> bool:
        """Whether this account has the bucket."""
        from botocore.exceptions import ClientError

        with asking("look at the bucket"):
            try:
                client("s3", self._region).head_bucket(Bucket=self.bucket(), ExpectedBucketOwner=self.number())
            except ClientError as error:
                if error_code(error) not in {"404", "NoSuchBucket"}:
                    raise
                return False
        return True

    def deploy(self, parameters: Mapping[str, str], progress: Progress) -> bool:
        """Bring the stack to its template, with the bucket that an earlier one left; False where nothing changed.

        Raises:
            StackError: It did not come to it.
            AwsAccessError: The account refuses.
        """
        bucket = {"BucketName": self.bucket()}
        if self.has_bucket():
            self.base.adopt("Bucket", "AWS::S3::Bucket", bucket, max_wait_s=MAX_WAIT_S, progress=progress)
        return self.base.deploy(template(), parameters, max_wait_s=MAX_WAIT_S, progress=progress)

    def newest_tag(self) -> str | None:
        """The tag that was pushed last, of those that all images have; None where there is none."""
        ecr = client("ecr", self._region)
        pushed: list[dict[str, Any]] = []
        with asking("look for images"):
            for image in IMAGES:
                pages = ecr.get_paginator("describe_images").paginate(repositoryName=f"{self.base.name}/{image}")
                found = (each for page in pages for each in page["imageDetails"])
                pushed.append({tag: each["imagePushedAt"] for each in found for tag in each.get("imageTags", [])})
        everywhere = set.intersection(*map(set, pushed))
        return max(everywhere, key=lambda tag: pushed[0][tag], default=None)

    def delete_endpoint(self, name: str, progress: Progress) -> None:
        """Delete the endpoint, its configs and its models, where they are there.

        Raises:
            StackTimeoutError: It takes longer than half an hour.
        """
        sagemaker = client("sagemaker", self._region)
        wait = Wait(f"endpoint {name}", max_wait_s=MAX_WAIT_S, poll_interval_s=self._poll_interval_s)
        asked = False
        with asking(f"delete endpoint {name}"):
            while status := wait.patiently(lambda: self._endpoint_status(name)):
                if not asked and status in _AT_REST:  # SageMaker deletes none that is being made or changed
                    sagemaker.delete_endpoint(EndpointName=name)
                    asked = True
                wait.pause(status)
            if asked:
                progress(f"endpoint {name}: deleted")
            for config in self._of_endpoint("list_endpoint_configs", "EndpointConfig", name):
                sagemaker.delete_endpoint_config(EndpointConfigName=config)
                progress(f"endpoint config {config}: deleted")
            for model in self._of_endpoint("list_models", "Model", name):
                sagemaker.delete_model(ModelName=model)
                progress(f"model {model}: deleted")

    def delete_registry(self, group: str, progress: Progress) -> None:
        """Delete a model package group with its versions, where it is there."""
        from botocore.exceptions import ClientError

        sagemaker = client("sagemaker", self._region)
        with asking(f"delete model package group {group}"):
            try:
                sagemaker.describe_model_package_group(ModelPackageGroupName=group)
            except ClientError as error:
                if "does not exist" not in error.response["Error"]["Message"].lower():
                    raise
                return
            pages = sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
            versions = [each["ModelPackageArn"] for page in pages for each in page["ModelPackageSummaryList"]]
            for version in versions:
                sagemaker.delete_model_package(ModelPackageName=version)
            sagemaker.delete_model_package_group(ModelPackageGroupName=group)
            progress(f"model package group {group}: deleted, with {len(versions)} versions")

    def delete_bucket(self, progress: Progress) -> None:
        """Delete the bucket with every version of every object in it, where it is there."""
        if not self.has_bucket():
            return
        s3, bucket, gone = client("s3", self._region), self.bucket(), 0
        with asking(f"delete bucket {bucket}"):
            for versions in self._versions(bucket):
                failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True}).get("Errors")
                if failed:
                    raise BucketNotEmptiedError(bucket, failed[0]["Key"], failed[0]["Message"])
                gone += len(versions)
                progress(f"bucket {bucket}: {gone:,} versions of objects deleted")
            s3.delete_bucket(Bucket=bucket)
        progress(f"bucket {bucket}: deleted")

    def _endpoint_status(self, name: str) -> str | None:
        from botocore.exceptions import ClientError

        try:
            return str(client("sagemaker", self._region).describe_endpoint(EndpointName=name)["EndpointStatus"])
        except ClientError as error:
            if "could not find" not in error.response["Error"]["Message"].lower():
                raise
            return None

    def _versions(self, bucket: str) -> "Iterator[list[ObjectIdentifierTypeDef]]":
        """Every version and delete marker, in lots of at most a thousand."""
        for page in client("s3", self._region).get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if found:
                yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]

    def _of_endpoint(self, operation: str, noun: str, endpoint: str) -> list[str]:
        """Names that the deployment of an endpoint gives: the endpoint's, and a checksum."""
        pages = client("sagemaker", self._region).get_paginator(operation).paginate(NameContains=f"{endpoint[:50]}-")
        names = [str(each[f"{noun}Name"]) for page in pages for each in page[f"{noun}s"]]
        return [name for name in names if re.fullmatch(rf"{re.escape(endpoint[:50])}-[0-9a-f]{{12}}", name)]

    def _stack(self, name: str) -> Stack:
        tags = {"application": name.removesuffix("-api")}
        return Stack(client("cloudformation", self._region), name, tags=tags, poll_interval_s=self._poll_interval_s)


def template() -> str:
    """The template of the stack."""
    return resources.files("resources.cloudformation").joinpath("base.yaml").read_text(encoding="utf-8")
