"""What this project relies on of SageMaker, asked of the twin in process, of the twin over HTTP, and of an account.

The account is left out unless `TEST_AWS_ACCOUNT` is its number: the credentials must be of it, and `FORECAST_REGION`,
`FORECAST_ROLE_ARN`, `FORECAST_IMAGES` and `FORECAST_LAKE_URI` say what the platform may use there:

    TEST_AWS_ACCOUNT=123456789012 pytest -n 0 -m slow -k account tests/aws/test_contract.py

Everything made has a name that begins with `contract-` and is deleted, jobs apart, which SageMaker keeps: three, of
some cents. Other tests of the twin ask for everything that an account has, look into the twin's folders, or wait
seconds for what takes an account minutes: those are of the twin alone.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from resources.sagemaker.local.clients import local_client, register_own_images
from tests.aws.world import BUCKET, IMAGES, REGION, ROLE, Aws

ACCOUNT = "TEST_AWS_ACCOUNT"


@dataclass
class Service:
    """One SageMaker, and what may be used there.

    Attributes:
        put: Puts an object below the prefix; its URI.
        prefix: An S3 URI that is ours.
        image: URI of an image's name.
        name: How the name of everything made here begins.
        cleanup: Ends the test.
    """

    sagemaker: Any
    logs: Any
    put: Callable[[str, bytes], str]
    prefix: str
    image: Callable[[str], str]
    role: str = ROLE
    patience_s: float = 30
    name: str = field(default_factory=lambda: f"contract-{uuid.uuid4().hex[:8]}")
    cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def group(self) -> str:
        self.sagemaker.create_model_package_group(ModelPackageGroupName=self.name)
        self.cleanup.callback(self.sagemaker.delete_model_package_group, ModelPackageGroupName=self.name)
        return self.name

    def package(self, **changes: Any) -> str:
        """A version of the group, of a model that is there; its ARN."""
        container = {"Image": self.image("serving"), "ModelDataUrl": self.put("model.tar.gz", b"an archive")}
        specification = {
            "Containers": [container],
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
        }
        request = {"ModelPackageGroupName": self.name, "InferenceSpecification": specification} | changes
        arn = str(self.sagemaker.create_model_package(**request)["ModelPackageArn"])
        self.cleanup.callback(self.sagemaker.delete_model_package, ModelPackageName=arn)
        return arn

    def model(self, container: dict[str, Any]) -> None:
        self.sagemaker.create_model(ModelName=self.name, ExecutionRoleArn=self.role, PrimaryContainer=container)
        self.cleanup.callback(self.sagemaker.delete_model, ModelName=self.name)

    def config(self) -> list[dict[str, Any]]:
        """An endpoint configuration; its variants."""
        serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
        variants = [{"VariantName": "v", "ModelName": self.name, "ServerlessConfig": serverless}]
        self.sagemaker.create_endpoint_config(EndpointConfigName=self.name, ProductionVariants=variants)
        self.cleanup.callback(self.sagemaker.delete_endpoint_config, EndpointConfigName=self.name)
        return variants

    def training(self, source: str = "", **changes: Any) -> dict[str, Any]:
        """A request whose container runs a program: at most 256 characters, as AWS takes them."""
        algorithm: dict[str, Any] = {"TrainingImage": self.image("training"), "TrainingInputMode": "File"}
        command = {"ContainerEntrypoint": ["python3", "-c", source]} if source else {}
        return {
            "TrainingJobName": self.name,
            "RoleArn": self.role,
            "AlgorithmSpecification": algorithm | command | changes.pop("algorithm", {}),
            "OutputDataConfig": {"S3OutputPath": f"{self.prefix}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        } | changes

    def trained(self) -> dict[str, Any]:
        """The last description of the job."""
        limit = time.monotonic() + self.patience_s
        while True:
            job: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=self.name)
            if job["TrainingJobStatus"] in {"Completed", "Failed", "Stopped"}:
                return job
            assert time.monotonic() < limit, job
            time.sleep(min(5, self.patience_s / 1000))


@pytest.fixture
def in_process(tmp_path: Path) -> Service:
    root = tmp_path / "sagemaker"

    def put(key: str, content: bytes) -> str:
        path = root / "s3" / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return f"s3://{BUCKET}/{key}"

    register_own_images(root, IMAGES)
    clients = local_client("sagemaker", root), local_client("logs", root)
    return Service(*clients, put, f"s3://{BUCKET}", lambda name: IMAGES.replace("{image}", name))


@pytest.fixture
def over_http(aws: Aws) -> Service:
    clients = aws.client("sagemaker"), aws.client("logs")
    return Service(*clients, aws.put, f"s3://{BUCKET}", lambda name: IMAGES.replace("{image}", name))


@pytest.fixture
def account() -> Service:
    import boto3

    region = os.environ.get("FORECAST_REGION", REGION)
    session = boto3.session.Session(region_name=region)
    number = session.client("sts").get_caller_identity()["Account"]
    assert number == os.environ[ACCOUNT], f"the credentials are of account {number}"
    bucket, _, prefix = os.environ["FORECAST_LAKE_URI"].removeprefix("s3://").partition("/")
    home = f"{prefix}/contract".lstrip("/")

    def put(key: str, content: bytes) -> str:
        session.client("s3").put_object(Bucket=bucket, Key=f"{home}/{key}", Body=content)
        return f"s3://{bucket}/{home}/{key}"

    return Service(
        session.client("sagemaker"),
        session.client("logs"),
        put,
        f"s3://{bucket}/{home}",
        lambda name: os.environ["FORECAST_IMAGES"].replace("{image}", name),
        role=os.environ["FORECAST_ROLE_ARN"],
        patience_s=1200,
    )


LEGS = {"in process": "in_process", "over HTTP": "over_http"} | (
    {"account": "account"} if ACCOUNT in os.environ else {}
)


@pytest.fixture(params=LEGS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    found: Service = request.getfixturevalue(LEGS[request.param])
    with found.cleanup:
        yield found


def refused(code: str, words: str, operation: Callable[..., Any], **request: Any) -> None:
    with pytest.raises(ClientError, match=words) as caught:
        operation(**request)
    assert caught.value.response["Error"]["Code"] == code


def test_what_is_not_there_is_said_so_in_the_words_that_are_looked_for(service: Service) -> None:
    sagemaker = service.sagemaker
    missing = r"(?i)not found|could not find|does not exist"
    name = service.name
    refused("ValidationException", missing, sagemaker.describe_training_job, TrainingJobName=name)
    refused("ValidationException", missing, sagemaker.describe_processing_job, ProcessingJobName=name)
    refused("ValidationException", missing, sagemaker.describe_endpoint, EndpointName=name)
    refused("ValidationException", missing, sagemaker.describe_endpoint_config, EndpointConfigName=name)
    refused("ValidationException", missing, sagemaker.describe_model, ModelName=name)
    refused("ValidationException", missing, sagemaker.describe_model_package_group, ModelPackageGroupName=name)
    refused("ValidationException", missing, sagemaker.list_model_packages, ModelPackageGroupName=name)


def test_a_channel_without_objects_is_refused_before_anything_is_paid(service: Service) -> None:
    uri = f"{service.prefix}/nothing-{service.name}/"
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}
    request = service.training(InputDataConfig=[{"ChannelName": "train", "DataSource": source}])
    words = f'No S3 objects found under S3 URL "{uri}" given in input data source.'
    refused("ValidationException", words, service.sagemaker.create_training_job, **request)


def test_a_name_that_is_none_is_refused(service: Service) -> None:
    request = service.training() | {"TrainingJobName": "not_a_name"}
    refused("ValidationException", "1 validation error detected", service.sagemaker.create_training_job, **request)


def test_versions_are_counted_found_by_approval_and_carry_what_was_registered(service: Service) -> None:
    group = service.group()
    first = service.package(CustomerMetadataProperties={"week": "2024-05-17"}, ModelApprovalStatus="Approved")
    second = service.package()
    assert (first.rpartition("/")[2], second.rpartition("/")[2]) == ("1", "2")
    described = service.sagemaker.describe_model_package(ModelPackageName=first)
    assert described["CustomerMetadataProperties"] == {"week": "2024-05-17"}
    asked = {"ModelPackageGroupName": group, "ModelApprovalStatus": "Approved"}
    listed = service.sagemaker.list_model_packages(**asked)["ModelPackageSummaryList"]
    assert [item["ModelPackageArn"] for item in listed] == [first]
    service.sagemaker.update_model_package(ModelPackageArn=second, ModelApprovalStatus="Approved")
    newest = service.sagemaker.list_model_packages(**asked, SortBy="CreationTime", SortOrder="Descending", MaxResults=1)
    assert [item["ModelPackageArn"] for item in newest["ModelPackageSummaryList"]] == [second]


def test_an_endpoint_configuration_is_made_once_from_a_registered_model(service: Service) -> None:
    service.group()
    service.model({"ModelPackageName": service.package(ModelApprovalStatus="Approved")})
    variants = service.config()
    described = service.sagemaker.describe_endpoint_config(EndpointConfigName=service.name)
    assert described["ProductionVariants"][0]["ServerlessConfig"] == variants[0]["ServerlessConfig"]
    again = {"EndpointConfigName": service.name, "ProductionVariants": variants}
    refused("ValidationException", "already existing", service.sagemaker.create_endpoint_config, **again)


ML = 'import os; ml = os.environ.get("SM_ML_ROOT", "/opt/ml"); '
"""An argument of a container is one line, of at most 256 characters."""
WORK = (
    ML
    + 'seen = open(ml + "/input/data/train/a.csv").read(); print("mse=0.25"); open(ml + "/model/seen", "w").write(seen)'
)


@pytest.mark.slow
def test_a_job_runs_once_and_tells_what_it_measured(service: Service) -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": service.put("data/a.csv", b"x")}}
    request = service.training(
        WORK,
        algorithm={"MetricDefinitions": [{"Name": "mse", "Regex": "mse=([0-9.]+)"}]},
        InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
    )
    sagemaker = service.sagemaker
    sagemaker.create_training_job(**request)
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_training_job(**request)
    job = service.trained()
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]} == {"mse": 0.25}
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"{service.prefix}/out/{service.name}/output/model.tar.gz"
    refused("ValidationException", "in status Completed", sagemaker.stop_training_job, TrainingJobName=service.name)
    group = "/aws/sagemaker/TrainingJobs"
    found = service.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{service.name}/")["logStreams"]
    assert [stream["logStreamName"].startswith(f"{service.name}/algo-1-") for stream in found] == [True]


@pytest.mark.slow
def test_a_job_that_fails_says_the_reason_that_its_container_left(service: Service) -> None:
    source = ML + 'open(ml + "/output/failure", "w").write("no rain"); exit(3)'
    service.sagemaker.create_training_job(**service.training(source))
    job = service.trained()
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert "no rain" in job["FailureReason"]
    assert "exit code: 3" in job["FailureReason"]


@pytest.mark.slow
def test_a_job_is_stopped(service: Service) -> None:
    service.sagemaker.create_training_job(**service.training("import time; time.sleep(600)"))
    service.sagemaker.stop_training_job(TrainingJobName=service.name)
    assert service.trained()["TrainingJobStatus"] == "Stopped"
