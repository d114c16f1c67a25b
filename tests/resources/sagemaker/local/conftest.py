"""A twin in a temporary folder, reached in process or over HTTP, that must leave no process behind."""

import contextlib
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from resources.sagemaker.local.clients import local_client, register_image
from resources.sagemaker.local.http import LocalServer
from resources.sagemaker.local.operations import LocalSageMaker

ROLE = "arn:aws:iam::000000000000:role/local"
IMAGE = "forecast:1"

ECHO = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

model = Path(os.environ["SM_ML_ROOT"], "model", "model.json")
version = os.environ.get("VERSION", "none")
print("serving", version)

class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(int(os.environ.get("PING", "200")), b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            os._exit(3)
        if body == b"refuse":
            return self.answer(400, b"not like this")
        if body.startswith(b"sleep"):
            time.sleep(float(body.split()[1]))
        said = {"version": version, "body": body[:50].decode(), "type": self.headers["Content-Type"],
                "pid": os.getpid(), "model": model.read_text() if model.exists() else None}
        self.answer(200, json.dumps(said).encode())
    def log_message(self, *args): pass

class Server(ThreadingHTTPServer):
    request_queue_size = 256
Server(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def processes_of(root: Path) -> list[int]:
    """The processes that have this root in their command line or environment, zombies aside."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(root).encode() in text:
            found.append(int(entry.name))
    return found


def until(look: Callable[[], Any], what: str, limit_s: float = 20.0) -> Any:
    """Wait for a look that finds something."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.01)
    pytest.fail(f"no {what} within {limit_s} s")


@dataclass
class Twin:
    """Clients of one root, and requests that only say what a test is about."""

    root: Path
    sagemaker: Any
    runtime: Any
    logs: Any
    scripts: Path
    image: str = IMAGE
    role: str = ROLE
    commands: dict[str, list[str]] = field(default_factory=dict)

    def command(self, **sources: str) -> None:
        """Register scripts as the image's commands: train, process or serve."""
        for what, source in sources.items():
            script = self.scripts / f"{what}-{len(list(self.scripts.iterdir()))}.py"
            script.write_text(textwrap.dedent(source))
            self.commands[what] = [sys.executable, "-S", str(script)]
        register_image(self.root, self.image, self.commands)

    def put(self, uri: str, text: str) -> None:
        path = self.root / "s3" / uri.removeprefix("s3://")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def file(self, uri: str) -> Path:
        return self.root / "s3" / uri.removeprefix("s3://")

    def training_request(self, name: str, **changes: Any) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TrainingJobName": name,
            "RoleArn": ROLE,
            "AlgorithmSpecification": {"TrainingImage": self.image, "TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        return request | changes

    def train(self, name: str, **changes: Any) -> dict[str, Any]:
        """Create a training job; its last description."""
        self.sagemaker.create_training_job(**self.training_request(name, **changes))
        return self.trained(name)

    def trained(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            return job if job["TrainingJobStatus"] in {"Completed", "Failed", "Stopped"} else None

        return until(look, f"end of {name}")

    def tuning_request(self, name: str, *, metric: str = "loss", **config: Any) -> dict[str, Any]:
        """A request of six trials on a line, two at once; ``config`` changes the tuning job's config."""
        limits = {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2}
        line = {"Name": "x", "MinValue": "0", "MaxValue": "1", "ScalingType": "Linear"}
        training = self.training_request("")
        del training["TrainingJobName"]
        training["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "loss", "Regex": r"loss: ([0-9.e-]+)"}]
        return {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": metric},
                "ResourceLimits": limits,
                "ParameterRanges": {"ContinuousParameterRanges": [line]},
                "RandomSeed": 1,
                **config,
            },
            "TrainingJobDefinition": training | {"StaticHyperParameters": {"shift": "0.5"}},
        }

    def tune(self, name: str, **config: Any) -> dict[str, Any]:
        """Create a tuning job; its last description."""
        self.sagemaker.create_hyper_parameter_tuning_job(**self.tuning_request(name, **config))
        return self.tuned(name)

    def tuned(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
            return job if job["HyperParameterTuningJobStatus"] in {"Completed", "Failed", "Stopped"} else None

        return until(look, f"end of {name}")

    def trials(self, name: str, **wanted: Any) -> list[dict[str, Any]]:
        """The trials of a tuning job as its list has them."""
        pages = self.sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=name, **wanted
        )
        return [trial for page in pages for trial in page["TrainingJobSummaries"]]

    def processing_request(self, name: str, **changes: Any) -> dict[str, Any]:
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        request: dict[str, Any] = {
            "ProcessingJobName": name,
            "RoleArn": ROLE,
            "AppSpecification": {"ImageUri": self.image},
            "ProcessingResources": {"ClusterConfig": cluster},
        }
        return request | changes

    def process(self, name: str, **changes: Any) -> dict[str, Any]:
        """Create a processing job; its last description."""
        self.sagemaker.create_processing_job(**self.processing_request(name, **changes))
        return self.processed(name)

    def processed(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return job if job["ProcessingJobStatus"] in {"Completed", "Failed", "Stopped"} else None

        return until(look, f"end of {name}")

    def config(self, name: str, environment: dict[str, str] | None = None, **container: Any) -> None:
        """Create a model and a serverless endpoint configuration of the same name."""
        primary = {"Image": self.image, "Environment": environment or {}} | container
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=primary)
        serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
        variant = {"VariantName": "AllTraffic", "ModelName": name, "ServerlessConfig": serverless}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def endpoint(self, name: str, config: str) -> dict[str, Any]:
        """Create an endpoint; its description once it is settled."""
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            endpoint = self.sagemaker.describe_endpoint(EndpointName=name)
            return endpoint if endpoint["EndpointStatus"] in {"InService", "Failed"} else None

        return until(look, f"end of the changes of {name}")

    def invoke(self, name: str, body: bytes = b"hello") -> Any:
        import json

        answer = self.runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="text/plain")
        return json.loads(answer["Body"].read())

    def lines(self, group: str, prefix: str) -> list[str]:
        """The messages of the streams that start with ``prefix``."""
        found = []
        group = f"/aws/sagemaker/{group}"
        for stream in self.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]:
            events = self.logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )["events"]
            found += [event["message"] for event in events]
        return found

    def pids(self) -> list[int]:
        return processes_of(self.root)


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin's patience, in seconds instead of minutes."""
    monkeypatch.setenv("SAGEMAKER_LOCAL_STOP_GRACE_S", "0.5")
    monkeypatch.setenv("SAGEMAKER_LOCAL_STARTUP_S", "3")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The twin's folder. Afterwards everything in it is ended, and nothing may be left running."""
    folder = tmp_path / "sm"
    yield folder
    client = local_client("sagemaker", folder)
    for job in client.list_hyper_parameter_tuning_jobs(StatusEquals="InProgress")["HyperParameterTuningJobSummaries"]:
        with contextlib.suppress(client.exceptions.ClientError):
            client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=job["HyperParameterTuningJobName"])
    for job in client.list_training_jobs(StatusEquals="InProgress", MaxResults=100)["TrainingJobSummaries"]:
        with contextlib.suppress(client.exceptions.ClientError):  # it ended by itself
            client.stop_training_job(TrainingJobName=job["TrainingJobName"])
    for job in client.list_processing_jobs(StatusEquals="InProgress", MaxResults=100)["ProcessingJobSummaries"]:
        with contextlib.suppress(client.exceptions.ClientError):
            client.stop_processing_job(ProcessingJobName=job["ProcessingJobName"])

    def settled() -> bool:
        endpoints = client.list_endpoints(MaxResults=100)["Endpoints"]
        for endpoint in endpoints:
            if endpoint["EndpointStatus"] in {"InService", "Failed"}:
                client.delete_endpoint(EndpointName=endpoint["EndpointName"])
        return not endpoints

    until(settled, "end of the endpoints")
    until(lambda: not processes_of(folder), "end of the processes")


@pytest.fixture
def local(root: Path, tmp_path: Path) -> Iterator[Twin]:
    """The twin through unchanged boto3 clients, in process."""
    (tmp_path / "scripts").mkdir()
    clients = [local_client(name, root) for name in ("sagemaker", "sagemaker-runtime", "logs")]
    return Twin(root, *clients, tmp_path / "scripts")


@pytest.fixture(scope="session")
def session() -> Any:
    """A boto3 session, which keeps the models of the services."""
    import boto3

    return boto3.session.Session("local", "local", region_name="us-east-1")


@pytest.fixture
def over_http(root: Path, tmp_path: Path, session: Any) -> Iterator[Twin]:
    """The twin through unchanged boto3 clients with an endpoint URL."""
    (tmp_path / "scripts").mkdir()
    with LocalServer(LocalSageMaker(root), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        clients = [session.client(name, endpoint_url=server.url) for name in ("sagemaker", "sagemaker-runtime", "logs")]
        yield Twin(root, *clients, tmp_path / "scripts")
        for client in clients:
            client.close()
        server.shutdown()
        thread.join()


@pytest.fixture(params=["in process", "over HTTP"])
def twin(request: pytest.FixtureRequest) -> Twin:
    """The twin through either carrier."""
    return request.getfixturevalue({"in process": "local", "over HTTP": "over_http"}[request.param])


@pytest.fixture
def echo() -> str:
    """The source of a server that says who it is; the body ``die`` ends it, ``sleep 1`` takes a second."""
    return ECHO


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    return until
