"""Jobs and endpoints of the twin that read and write a real S3."""

import io
import json
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from resources.sagemaker.local import http
from resources.sagemaker.local.clients import local_client, register_image
from tests.aws.world import BUCKET, KEYS, ROLE, Aws
from tests.refreshes import until
from tests.world import ROOT

IMAGE = "anything:1"
ENDED = {"Completed", "Failed", "Stopped", "InService"}

REPORT = """
import os, pathlib, sys, boto3
root = pathlib.Path(os.environ["SM_ML_ROOT"])
data = root / "input/data/train"
names = sorted(p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file())
(root / "model/names").write_text(" ".join(names))
(root / "output/data/report").write_text("said")
boto3.client("s3").put_object(Bucket="forecast-lake", Key="by-the-container", Body=b"yes")
"""
COUNT = """
import os, pathlib
root = pathlib.Path(os.environ["SM_ML_ROOT"])
(root / "checkpoints").mkdir(exist_ok=True)
step = root / "checkpoints/step"
count = int(step.read_text()) if step.exists() else 0
step.write_text(str(count + 1))
(root / "model/count").write_text(str(count + 1))
"""
CLEAN = """
import os, pathlib, sys
root = pathlib.Path(os.environ["SM_ML_ROOT"], "processing")
text = (root / "in/figures.csv").read_text()
(root / "whole/clean.csv").write_text(text.upper())
(root / "steps/log").write_text("half way")
sys.exit(3)
"""
SERVE = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body=b""):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = answer
    def do_POST(self):
        self.answer(pathlib.Path(os.environ["SM_ML_ROOT"], "model/weights").read_bytes())
address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture
def command(aws: Aws, tmp_path: Path) -> Callable[..., None]:
    """Has a script stand for what the image is started for."""

    def register(**sources: str) -> None:
        for what, source in sources.items():
            script = tmp_path / f"{what}.py"
            script.write_text(textwrap.dedent(source))
            register_image(aws.root, IMAGE, {what: [sys.executable, str(script)]})

    return register


def training(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    } | changes


def train(sagemaker: Any, name: str, **changes: Any) -> dict[str, Any]:
    """A training job's last description."""
    sagemaker.create_training_job(**training(name, **changes))
    return settled(lambda: sagemaker.describe_training_job(TrainingJobName=name), "TrainingJobStatus")


def settled(describe: Callable[[], dict[str, Any]], status: str) -> dict[str, Any]:
    limit = time.monotonic() + 30
    while (found := describe())[status] not in ENDED:
        assert time.monotonic() < limit, found
        time.sleep(0.02)
    return found


def channel(uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": "train", "DataSource": {"S3DataSource": source}}


def content(archive: bytes) -> dict[str, bytes]:
    """The files of a `.tar.gz`."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {member.name: opened.extractfile(member) for member in opened.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def secrets_in(folder: Path) -> list[str]:
    """The files below a folder that have a secret in them."""
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    return [str(path) for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_a_training_job_takes_its_channel_from_s3_and_leaves_its_model_there(aws: Aws, command: Any) -> None:
    for key in ("data/a.csv", "data/deep/b.csv", "data/folder/", "data2/c.csv"):
        aws.put(key, b"x")
    command(train=REPORT)
    job = train(aws.client("sagemaker"), "job", InputDataConfig=[channel(f"s3://{BUCKET}/data/")])
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/out/job/output/model.tar.gz"
    assert content(aws.get("out/job/output/model.tar.gz")) == {"names": b"a.csv deep/b.csv"}
    assert content(aws.get("out/job/output/output.tar.gz")) == {"report": b"said"}
    assert aws.get("by-the-container") == b"yes", "a container has access as it has a role on AWS"
    assert not (aws.root / "s3").exists()
    assert secrets_in(aws.root.parent) == []


def test_a_job_goes_on_from_the_checkpoints_of_another_whoever_asks(aws: Aws, command: Any) -> None:
    """The root says that objects are in S3, so a client in process asks for the same as one over HTTP."""
    command(train=COUNT)
    checkpoints = {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints"}}
    for count, client in enumerate((aws.client("sagemaker"), local_client("sagemaker", aws.root)), start=1):
        job = train(client, f"job-{count}", **checkpoints)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert aws.get("checkpoints/step") == str(count).encode()
    assert content(aws.get("out/job-2/output/model.tar.gz")) == {"count": b"2"}


@pytest.mark.slow
def test_a_job_that_lost_its_instance_goes_on_from_its_checkpoints(aws: Aws, command: Any) -> None:
    command(train=COUNT + "import time; time.sleep(0 if count else 60)")
    sagemaker = aws.client("sagemaker")
    sagemaker.create_training_job(
        **training(
            "job",
            EnableManagedSpotTraining=True,
            StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
            CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints"},
        )
    )
    until((aws.root / "train/job/ml/model/count").exists, "first step")
    interrupt = [sys.executable, "-m", "resources.sagemaker.local.interruption", "--root", str(aws.root), "job"]
    subprocess.run(interrupt, cwd=ROOT, check=True)
    job = settled(lambda: sagemaker.describe_training_job(TrainingJobName="job"), "TrainingJobStatus")
    assert "Interrupted" in [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert content(aws.get("out/job/output/model.tar.gz")) == {"count": b"2"}


def test_a_processing_job_that_fails_leaves_what_it_uploads_continuously(aws: Aws, command: Any) -> None:
    source = aws.put("figures/figures.csv", b"ds,y")
    command(process=CLEAN)
    folder = "/opt/ml/processing"
    outputs = [
        {
            "OutputName": name,
            "S3Output": {"S3Uri": f"s3://{BUCKET}/{name}", "LocalPath": f"{folder}/{name}", "S3UploadMode": mode},
        }
        for name, mode in {"whole": "EndOfJob", "steps": "Continuous"}.items()
    ]
    sagemaker = aws.client("sagemaker")
    sagemaker.create_processing_job(
        ProcessingJobName="job",
        RoleArn=ROLE,
        AppSpecification={"ImageUri": IMAGE},
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        ProcessingInputs=[
            {"InputName": "in", "S3Input": {"S3Uri": source, "LocalPath": f"{folder}/in", "S3DataType": "S3Prefix"}}
        ],
        ProcessingOutputConfig={"Outputs": outputs},
    )
    job = settled(lambda: sagemaker.describe_processing_job(ProcessingJobName="job"), "ProcessingJobStatus")
    assert job["FailureReason"].endswith("exit code: 3"), job
    assert {key: aws.get(key) for key in aws.objects() if "figures" not in key} == {"steps/log": b"half way"}


@pytest.mark.slow
def test_an_endpoint_serves_a_model_out_of_s3(aws: Aws, command: Any) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        weights = tarfile.TarInfo("weights")
        weights.size = 2
        archive.addfile(weights, io.BytesIO(b"42"))
    url = aws.put("model.tar.gz", packed.getvalue())
    command(serve=SERVE)
    sagemaker = aws.client("sagemaker")
    model = {"ModelName": "m", "ExecutionRoleArn": ROLE}
    with pytest.raises(ClientError, match="Could not find model data"):
        sagemaker.create_model(**model, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"{url}.missing"})
    sagemaker.create_model(**model, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url})
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    variant = {"VariantName": "v", "ModelName": "m", "ServerlessConfig": serverless}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    endpoint = settled(lambda: sagemaker.describe_endpoint(EndpointName="e"), "EndpointStatus")
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert aws.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"")["Body"].read() == b"42"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (f"s3://{BUCKET}/none/", r'bucket "forecast-lake"\.$'),
        ("s3://no-such-bucket/data", r"\(NoSuchBucket: [^)]*\)\.$"),
        (f"s3://{BUCKET}/up/", r"\(InvalidKey: [^)]*\)\.$"),
    ],
    ids=["nothing under the prefix", "no bucket", "a key that leads out"],
)
def test_a_channel_that_is_not_there_is_refused_as_on_aws(aws: Aws, uri: str, said: str) -> None:
    aws.put("up/../../outside", b"x")
    sagemaker = aws.client("sagemaker")
    with pytest.raises(ClientError, match=said) as caught:
        sagemaker.create_training_job(**training("job", InputDataConfig=[channel(uri)]))
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert f'No S3 objects found under S3 URL "{uri}" given in input data source.' in str(caught.value)


def test_keys_that_are_refused_are_said_so_and_not_repeated(aws: Aws, command: Any) -> None:
    aws.put("data/a.csv", b"x")
    command(train="")
    with aws.enforced():
        with pytest.raises(ClientError, match=r"No S3 objects found .* \(InvalidAccessKeyId: ") as caught:
            aws.client("sagemaker").create_training_job(
                **training("a", InputDataConfig=[channel(f"s3://{BUCKET}/data")])
            )
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
        job = train(aws.client("sagemaker"), "b")
    assert "Artifact upload failed: " in job["FailureReason"]
    assert "(InvalidAccessKeyId: " in job["FailureReason"]
    assert secrets_in(aws.root.parent) == []


@pytest.mark.slow
def test_the_server_is_told_on_its_command_line(aws: Aws, tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'print(1)'"
    arguments = ["--root", str(tmp_path / "another"), "--objects", "s3", "--image", IMAGE, "train", command]
    module = [sys.executable, "-m", "resources.sagemaker.local.http", *arguments, "--images", "ours/{image}:1"]
    with subprocess.Popen(module, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        job = train(boto3.client("sagemaker", endpoint_url=url), "job")
        server.kill()
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert aws.objects("out/") == ["out/job/output/model.tar.gz"]
    known = json.loads((tmp_path / "another/images.json").read_text())
    assert known["ours/training:1"] == {"train": [sys.executable, "-m", "containers.training", "train"]}


def test_a_twin_of_folders_does_not_become_one_of_s3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(SystemExit):
        http.main(["--root", str(tmp_path), "--objects", "s3"])
    assert "keeps its objects in folders" in capsys.readouterr().err
