"""SageMaker as one resource: the same boto3 clients, answered by AWS or by the control plane on this machine."""

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from resources import aws
from resources.lake import Lake, LakeWriteError, UnsupportedLakeError
from resources.sagemaker.pipes import PipesSageMakerClient
from resources.sagemaker.pipes.messages import FileMessages
from resources.sagemaker.pipes.s3_messages import S3Messages

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

Image = Literal["processing", "training", "serving", "gateway"]
Service = Literal["sagemaker", "sagemaker-runtime", "logs"]

# The bucket that stands for the lake in requests on this machine: AWS accepts s3:// only, so the requests do too.
LOCAL_BUCKET = "lake"
_LOCAL_IMAGES = "local/forecast-{image}:latest"


class SageMaker(dg.ConfigurableResource):  # type: ignore[type-arg]
    """SageMaker, on AWS or on this machine.

    Attributes:
        mode: `local` runs jobs and endpoints as processes of this machine, `aws` in an account.
        region: AWS region.
        role_arn: The role of jobs and endpoints.
        images: URI of the images on AWS, with `{image}` for the name.
        poll_interval_s: Seconds between two looks at a running job of an account.
        lake: Where jobs read and write.
    """

    mode: Literal["local", "aws"] = "local"
    region: str = "us-east-1"
    role_arn: str
    images: str = ""
    poll_interval_s: float = 10
    lake: dg.ResourceDependency[Lake]

    @property
    def root(self) -> Path:
        """The folder of the control plane on this machine: beside the tables, so that a lake has its own models."""
        return self.lake.root / "_sagemaker"

    def client(self) -> "SageMakerClient":
        """The boto3 client of the control plane."""
        client: SageMakerClient = self._boto("sagemaker")
        return client

    def runtime(self) -> "SageMakerRuntimeClient":
        """The boto3 client that invokes endpoints."""
        client: SageMakerRuntimeClient = self._boto("sagemaker-runtime")
        return client

    def logs(self) -> "CloudWatchLogsClient":
        """The boto3 client of the logs of jobs and endpoints."""
        client: CloudWatchLogsClient = self._boto("logs")
        return client

    @property
    def messages_folder(self) -> Path:
        """Where jobs on this machine find their Pipes context and leave their messages, a folder each."""
        return self.root / "pipes"

    def pipes(self, *, prices: Mapping[str, float] | None = None) -> PipesSageMakerClient:
        """The client through which assets run jobs.

        Args:
            prices: USD an hour by instance type, where the built-in prices are not right.
        """
        local = self.mode == "local"
        return PipesSageMakerClient(
            client=self.client(),
            logs=self.logs(),
            messages=FileMessages(self.messages_folder) if local else self._s3_messages(),
            poll_interval_s=0.2 if local else self.poll_interval_s,
            log_delay_s=0 if local else self.poll_interval_s / 2,
            console=not local,
            prices=None if local else prices or {},
        )

    def _s3_messages(self) -> S3Messages:
        from resources.lake.s3 import Bucket

        storage = self.lake.storage
        if not isinstance(storage, Bucket):  # a job in an account reaches no folder of this machine
            raise UnsupportedLakeError(self.lake.uri)
        client = aws.client("s3", self.region)
        return S3Messages(client, bucket=storage.name, prefix=f"{storage.prefix}/jobs/pipes")

    def image(self, name: Image) -> str:
        """The image URI of an entry point in `containers`."""
        return (_LOCAL_IMAGES if self.mode == "local" else self.images).replace("{image}", name)

    def uri(self, key: str) -> str:
        """The S3 URI by which jobs know a path of the lake."""
        return f"s3://{LOCAL_BUCKET}/{key}" if self.mode == "local" else self.lake.storage.uri(key)

    def key(self, uri: str) -> str:
        """The path in the lake that an S3 URI of a job names."""
        return uri.removeprefix(self.uri(""))

    def endpoint_url(self, name: str) -> str | None:
        """Where an endpoint on this machine listens, if it does."""
        from resources.sagemaker.local.clients import endpoint_url

        return endpoint_url(self.root, name)

    def _boto(self, service: Service) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        if self.mode == "local":
            try:
                _prepare(self.root, self.lake.root)
            except OSError as error:
                raise LakeWriteError(self.root, error) from error
            return _local(service, self.root)
        return aws.client(service, self.region)


@functools.cache
def _local(service: Service, root: Path) -> Any:  # noqa: ANN401
    from resources.sagemaker.local.clients import local_client

    return local_client(service, root)


@functools.cache
def _prepare(root: Path, lake: Path) -> None:
    """Give the control plane of this machine its images and its view of the lake."""
    from resources.sagemaker.local.clients import register_own_images

    buckets = root / "s3"
    buckets.mkdir(parents=True, exist_ok=True)
    link = buckets / LOCAL_BUCKET
    if link.is_symlink() and link.readlink() != lake:  # a lake that was moved or restored
        moved = link.with_name(f"{link.name}.{os.getpid()}")
        moved.symlink_to(lake, target_is_directory=True)
        moved.replace(link)
    if not link.is_symlink():
        with contextlib.suppress(FileExistsError):  # another process of this machine was first
            link.symlink_to(lake, target_is_directory=True)
    register_own_images(root, _LOCAL_IMAGES)
