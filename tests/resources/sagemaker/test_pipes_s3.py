"""Pipes through a bucket: what jobs say is kept, heard whole and in order, once, by whoever takes them up.

The bucket is that of moto's server; jobs are real processes of the control plane on this machine, which reach it over
HTTP as the images do.
"""

import json
import os
import random
import signal
import string
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from dagster_pipes import (
    PIPES_PROTOCOL_VERSION,
    PIPES_PROTOCOL_VERSION_FIELD,
    PipesMappingParamsLoader,
    PipesS3ContextLoader,
    PipesS3MessageWriter,
    open_dagster_pipes,
)
from moto.server import ThreadedMotoServer

from containers.reporting import open_reporter
from resources.aws import AwsAccessError
from resources.sagemaker.local.clients import local_client, register_image
from resources.sagemaker.pipes import PipesSageMakerClient
from resources.sagemaker.pipes.s3_messages import S3Messages

BUCKET = "forecasts"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}

# What a container of ours does, in small: it speaks through containers.reporting until it is told or made to end.
PROGRAM = """
    import os, pathlib, time
    from containers.contract import run
    from containers.reporting import open_reporter
    def task(stop):
        with open_reporter(os.environ) as reporter:
            for number in range(3):
                reporter.log(f"line {number}")
            while pathlib.Path(__file__).with_name("hold").exists():
                time.sleep(0.02)
            reporter.materialized({"loss": 1.5}, data_version="v1")
    raise SystemExit(run(task, failure=pathlib.Path(os.environ["SM_ML_ROOT"], "output", "failure")))
"""
REQUEST: dict[str, Any] = {
    "AlgorithmSpecification": {"TrainingImage": "test", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::000000000000:role/forecast",
    "OutputDataConfig": {"S3OutputPath": "s3://out/jobs"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


class Compute:
    """A control plane whose one image speaks through a bucket.

    Args:
        root: Of the control plane.
        endpoint: The server of S3.
        prefix: Of the messages.
    """

    def __init__(self, root: Path, endpoint: str, prefix: str = "lake/jobs/pipes") -> None:
        self.root, self.endpoint = root, endpoint
        self.client = local_client("sagemaker", root)
        self.s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.messages = S3Messages(self.s3, bucket=BUCKET, prefix=prefix)

    @property
    def hold(self) -> Path:
        """While this file is there the program waits after its last line."""
        return self.root / "hold"

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        script = self.root / "program.py"
        script.write_text(textwrap.dedent(PROGRAM))
        register_image(self.root, "test", {"train": [sys.executable, str(script)]})

    def materialize(self) -> tuple[dict[str, Any], list[str]]:
        """Metadata of the model that a run makes, and the run's log."""
        pipes = PipesSageMakerClient(
            client=self.client,
            logs=local_client("logs", self.root),
            messages=self.messages,
            poll_interval_s=0.05,
            log_delay_s=0,
        )
        request = {**REQUEST, "Environment": {"AWS_ENDPOINT_URL_S3": self.endpoint, **KEYS}}

        @dg.asset
        def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            return pipes.run(context=context, kind="training", request=request).materialization()

        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize([model], instance=instance)
            [event] = result.asset_materializations_for_node("model")
            said = [record.user_message for record in instance.all_logs(result.run_id)]
            return {name: value.value for name, value in event.metadata.items()}, said

    def jobs(self) -> list[str]:
        found = self.client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        return [job["TrainingJobStatus"] for job in found]

    def stored(self) -> list[str]:
        return [item["Key"] for item in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    yield f"http://{host}:{port}"
    made.stop()


@pytest.fixture
def s3(server: str) -> Iterator[Any]:
    client = boto3.client(
        "s3", endpoint_url=server, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def compute(tmp_path: Path, server: str, s3: Any) -> Iterator[Compute]:
    made = Compute(tmp_path / "twin", server)
    made.prepare()
    yield made
    made.hold.unlink(missing_ok=True)
    deadline = time.monotonic() + 30
    while "InProgress" in made.jobs() and time.monotonic() < deadline:
        time.sleep(0.05)


def lines(said: list[str]) -> list[str]:
    return [line for line in said if line.startswith("line ")]


RUN_IN_A_PROCESS_OF_ITS_OWN = """
import pathlib, sys
from tests.resources.sagemaker.test_pipes_s3 import Compute
Compute(pathlib.Path(sys.argv[1]), sys.argv[2]).materialize()
"""


def test_a_job_whose_dagster_was_killed_is_heard_whole_by_the_next_run_and_is_the_only_one(compute: Compute) -> None:
    compute.hold.touch()
    command = [sys.executable, "-c", RUN_IN_A_PROCESS_OF_ITS_OWN, str(compute.root), compute.endpoint]
    first = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[3]
    )
    deadline = time.monotonic() + 60
    while not any(key.endswith("/3.json") for key in compute.stored()):  # opened, and the three lines
        assert time.monotonic() < deadline, (first.poll(), compute.jobs(), compute.stored())
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    compute.hold.unlink()
    metadata, said = compute.materialize()
    assert (metadata["taken_up"], metadata["loss"]) == (True, 1.5)
    assert lines(said) == ["line 0", "line 1", "line 2"]
    assert compute.jobs() == ["Completed"]
    assert {key.rpartition("/messages/")[0] for key in compute.stored() if "/messages/" in key} == {
        f"lake/jobs/pipes/{metadata['sagemaker_job']}"
    }
    once_more, said = compute.materialize()
    assert (once_more["taken_up"], once_more["loss"]) == (True, 1.5)
    assert lines(said) == ["line 0", "line 1", "line 2"], "a run after the job's end hears all of it too"
    assert compute.jobs() == ["Completed"]


# -- the reader ------------------------------------------------------------------------------------------------------


class Handler:
    """Notes what is handed over."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def handle_message(self, message: dict[str, Any]) -> None:
        params = message["params"]
        self.heard.append(str(params["message"]) if message["method"] == "log" else message["method"])


def said(*messages: str) -> bytes:
    """A chunk of messages: methods, or what is logged."""
    version = {PIPES_PROTOCOL_VERSION_FIELD: PIPES_PROTOCOL_VERSION}
    of_protocol = {"opened": {"extras": {}}, "closed": {}}
    return "\n".join(
        json.dumps({**version, "method": one, "params": of_protocol[one]})
        if one in of_protocol
        else json.dumps({**version, "method": "log", "params": {"message": one}})
        for one in messages
    ).encode()


@pytest.fixture
def put(s3: Any) -> Any:
    return lambda name, content: s3.put_object(Bucket=BUCKET, Key=f"pipes/job-0/messages/{name}", Body=content)


def test_messages_come_in_the_order_of_their_numbers_and_once(s3: Any, put: Any) -> None:
    handler, reader = Handler(), S3Messages(s3, bucket=BUCKET, prefix="pipes").reader("job-0")
    with reader.read_messages(handler):  # type: ignore[arg-type]
        for number in range(1, 12):
            put(f"{number}.json", said(f"{number}a", f"{number}b"))
        reader.read()
        reader.read()
        put("3.json", said("3a", "3b"))  # its answer was lost, and it was written again
        put("12.json", said("closed"))
        reader.finish()
    assert handler.heard == [*(f"{n}{half}" for n in range(1, 12) for half in "ab"), "closed"]


def test_an_interrupted_process_and_the_one_that_goes_on_are_one_job(s3: Any, put: Any) -> None:
    handler, reader = Handler(), S3Messages(s3, bucket=BUCKET, prefix="pipes").reader("job-0")
    put("20261120T120000/0.json", said("opened"))
    put("20261120T120000/1.json", said("half"))
    put("20261120T120000/2.json", said("closed"))
    with reader.read_messages(handler):  # type: ignore[arg-type]
        reader.read()
        assert handler.heard == ["opened", "half"], "it may be resumed"
        put("20261120T121000/0.json", said("opened"))
        put("20261120T121000/1.json", said("whole"))
        put("20261120T121000/2.json", b"no JSON")
        put("20261120T121000/3.json", said("closed"))
        reader.finish()
    ended, damaged = handler.heard[2], handler.heard[5]
    assert "ended before its work was done, and was started again" in ended
    assert "A message of the job is damaged and is left out: 'no JSON'" in damaged
    assert handler.heard == ["opened", "half", ended, "opened", "whole", damaged, "closed"]


def test_a_bucket_that_is_missing_is_told_with_what_to_do(s3: Any) -> None:
    reader = S3Messages(s3, bucket="not-there", prefix="pipes").reader("job-0")
    with (
        reader.read_messages(Handler()),  # type: ignore[arg-type]
        pytest.raises(
            AwsAccessError, match=r"cannot list s3://not-there/pipes/job-0/messages .*there is no such bucket"
        ),
    ):
        reader.read()


# -- the container ---------------------------------------------------------------------------------------------------


def bootstrap(s3: Any, *, prefix: str, longest: int = 512, bucket: str = BUCKET) -> dict[str, str]:
    """The variables of a job, whose context is in the bucket."""
    messages = S3Messages(s3, bucket=bucket, prefix=prefix)
    found: dict[str, str] = {}

    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        name = "candidate-model-2023-11-10-0123456789ab-0"
        injector, reader = messages.injector(name), messages.reader(name)
        with dg.open_pipes_session(context, context_injector=injector, message_reader=reader) as session:
            found.update(messages.environment(session, longest=longest))
        return dg.MaterializeResult()

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([model], instance=instance)
    return found


def methods(s3: Any) -> list[str]:
    """What was said, of every process in turn."""
    keys = [
        item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []) if "/messages/" in item["Key"]
    ]
    ordered = sorted(keys, key=lambda key: (key.split("/")[-2], int(Path(key).stem)))
    bodies = [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in ordered]
    return [body["params"].get("message", body["method"]) for body in bodies]


def speak(tmp_path: Path, server: str, variables: dict[str, str], ending: str) -> int:
    """Run a container that says two lines, and ends so; its exit code."""
    script = f"""
import os, pathlib, signal
from containers.contract import run
from containers.reporting import open_reporter
def task(stop):
    with open_reporter(os.environ) as reporter:
        reporter.log("one")
        reporter.log("two")
        {ending}
        reporter.materialized({{}}, data_version="v")
raise SystemExit(run(task, failure=pathlib.Path({str(tmp_path / "failure")!r})))
"""
    environment = {**os.environ, **KEYS, "AWS_ENDPOINT_URL_S3": server, **variables}
    return subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60).returncode


def test_what_was_said_before_a_kill_is_there_and_a_resumed_process_leaves_it_there(
    tmp_path: Path, server: str, s3: Any
) -> None:
    variables = bootstrap(s3, prefix="pipes")
    assert speak(tmp_path, server, variables, "os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    killed = ["opened", "one", "two"]
    assert methods(s3) == killed
    assert speak(tmp_path, server, variables, "os.kill(os.getpid(), signal.SIGTERM)") == 128 + signal.SIGTERM
    assert methods(s3) == [*killed, "opened", "one", "two", "closed"]
    assert speak(tmp_path, server, variables, "pass") == 0
    assert methods(s3)[-5:] == ["opened", "one", "two", "report_asset_materialization", "closed"]


@pytest.mark.parametrize("alphabet", [string.ascii_lowercase, string.ascii_letters + string.digits + "._-"])
def test_the_longest_bucket_and_a_prefix_of_a_hundred_characters_fit_a_processing_job(
    s3: Any, alphabet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    bucket = "".join(draw.choices(string.ascii_lowercase + string.digits, k=63))
    prefix = "".join(draw.choices(alphabet, k=100))
    s3.create_bucket(Bucket=bucket)
    variables = bootstrap(s3, prefix=f"{prefix}/jobs/pipes", longest=256, bucket=bucket)
    assert max(map(len, variables.values())) <= 256
    monkeypatch.setattr("dagster_pipes.PipesContext._instance", None)
    monkeypatch.setattr("containers.reporting._s3_client", lambda _: s3)
    with open_reporter(variables) as reporter:
        assert reporter.pipes is not None
        assert reporter.pipes.asset_key == "model"
    [context, *messages] = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert context == f"{prefix}/jobs/pipes/candidate-model-2023-11-10-0123456789ab-0/context.json"
    assert len(messages) == 2, "opened and closed"
    for key in (context, *messages):
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_bucket(Bucket=bucket)


def test_the_writer_of_dagster_pipes_is_understood(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_pipes.PipesContext._instance", None)
    variables = bootstrap(s3, prefix="pipes", longest=256)
    with open_dagster_pipes(
        params_loader=PipesMappingParamsLoader(variables),
        context_loader=PipesS3ContextLoader(s3),
        message_writer=PipesS3MessageWriter(s3),
    ) as pipes:
        pipes.log.info("hello")
    handler = Handler()
    reader = S3Messages(s3, bucket=BUCKET, prefix="pipes").reader("candidate-model-2023-11-10-0123456789ab-0")
    with reader.read_messages(handler):  # type: ignore[arg-type]
        reader.finish()
    assert handler.heard == ["opened", "hello", "closed"]


def test_where_they_fit_the_variables_are_those_that_any_pipes_process_reads(s3: Any) -> None:
    loader = PipesMappingParamsLoader(bootstrap(s3, prefix="pipes", longest=256))
    place = "pipes/candidate-model-2023-11-10-0123456789ab-0"
    assert loader.load_context_params() == {"bucket": BUCKET, "key": f"{place}/context.json"}
    assert loader.load_messages_params() == {"bucket": BUCKET, "key_prefix": f"{place}/messages"}


def test_messages_that_s3_does_not_take_wait_and_at_the_end_are_an_error(
    s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError

    variables = bootstrap(s3, prefix="pipes")
    monkeypatch.setattr("dagster_pipes.PipesContext._instance", None)
    monkeypatch.setattr("containers.reporting._s3_client", lambda _: s3)
    put, refused = s3.put_object, EndpointConnectionError(endpoint_url="https://s3")
    with open_reporter(variables) as reporter:
        monkeypatch.setattr(s3, "put_object", lambda **_: (_ for _ in ()).throw(refused))
        reporter.log("one")
        monkeypatch.setattr(s3, "put_object", put)
        reporter.log("two")
    assert methods(s3) == ["opened", "one", "two", "closed"]
    assert "a message for Dagster waits, S3 does not take it" in capsys.readouterr().out
    monkeypatch.setattr("dagster_pipes.PipesContext._instance", None)
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
    monkeypatch.setattr(s3, "put_object", lambda **_: (_ for _ in ()).throw(denied))
    with pytest.raises(ClientError, match="AccessDenied"), open_reporter(variables):
        pass
