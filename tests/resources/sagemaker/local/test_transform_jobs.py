"""Batch transform jobs: objects split, sent, assembled and stored; refused, stopped, and found dead."""

import gzip
import json
import os
import signal
import sys

import pytest
from botocore.exceptions import ClientError, WaiterError

from containers.images import COMMANDS
from forecasting import artifact, forecaster
from resources.sagemaker.local.clients import register_image
from tests.served import small_artifact

# Answers how many lines it was sent and in what, and keeps the highest number of requests it had at a time.
COUNTER = """
    import http.server, json, os, threading, time
    at_once, most, lock = 0, 0, threading.Lock()
    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, status, body):
            self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            if self.path == "/ping":
                return self.reply(int(os.environ.get("PING", "200")), b"")
            wanted = os.environ.get("WANTED")
            self.reply(200 if wanted else 404, (wanted or "").encode())
        def do_POST(self):
            global at_once, most
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                at_once += 1; most = max(most, at_once)
            if b"slow" in body:
                time.sleep(60)
            time.sleep(float(os.environ.get("TAKES", "0")))
            with lock:
                at_once -= 1
            if b"refuse" in body:
                return self.reply(400, b"not like this")
            if b"break" in body:
                return self.reply(500, b"broken")
            told = {key: os.environ[key] for key in os.environ if key.startswith("SAGEMAKER_") and "PORT" not in key}
            said = {"lines": len(body.splitlines()), "type": self.headers["Content-Type"],
                    "accept": self.headers["Accept"], "told": told, "most": most}
            self.reply(200, json.dumps(said).encode())
        def log_message(self, *a): pass
    print("serving")
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
IN, OUT = "s3://bucket/in/", "s3://bucket/out"


def model(twin, **environment):
    twin.command(serve=COUNTER)
    twin.sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=twin.role, PrimaryContainer={"Image": twin.image, "Environment": environment}
    )


def request(name="job", *, split="Line", assemble="Line", **changes):
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": IN}}
    asked = {
        "TransformJobName": name,
        "ModelName": "m",
        "TransformInput": {"DataSource": source, "ContentType": "application/jsonlines", "SplitType": split},
        "TransformOutput": {"S3OutputPath": OUT, "AssembleWith": assemble, "Accept": "application/json"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    return asked | changes


def ended(twin, until, name="job"):
    def look():
        job = twin.sagemaker.describe_transform_job(TransformJobName=name)
        return job if job["TransformJobStatus"] in {"Completed", "Failed", "Stopped"} else None

    return until(look, f"end of {name}")


def transformed(twin, until, **changes):
    twin.sagemaker.create_transform_job(**request(**changes))
    return ended(twin, until)


def runs(twin):
    """Whether the job's container has said anything yet."""
    return any(path.stat().st_size for path in (twin.root / "logs/TransformJobs/job").glob("i-*.jsonl"))


def answers(twin, name):
    return [json.loads(line) for line in twin.file(f"{OUT}/{name}.out").read_text().splitlines()]


def test_every_object_under_the_prefix_is_answered_into_one_of_its_name(twin, until):
    model(twin)
    twin.put(f"{IN}a.jsonl", "1\n2\n3\n")
    twin.put(f"{IN}deeper/b.jsonl", "1\n\n2")
    job = transformed(twin, until)
    assert (job["TransformJobStatus"], job["ModelName"]) == ("Completed", "m")
    assert job["TransformEndTime"] >= job["TransformStartTime"] >= job["CreationTime"]
    [first] = answers(twin, "a.jsonl")
    assert (first["lines"], first["type"], first["accept"]) == (3, "application/jsonlines", "application/json")
    assert first["told"] == {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
    }
    assert answers(twin, "deeper/b.jsonl")[0]["lines"] == 2
    assert "serving" in twin.lines("TransformJobs", "job/")
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in twin.lines(
        "TransformJobs", "job/"
    )
    [listed] = twin.sagemaker.list_transform_jobs(StatusEquals="Completed")["TransformJobSummaries"]
    assert listed["TransformJobArn"] == job["TransformJobArn"]
    twin.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="job")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"BatchStrategy": "SingleRecord"}, [1, 1, 1]),
        ({"MaxPayloadInMB": 1}, [2, 1]),
        ({"split": "None", "MaxPayloadInMB": 0}, [3]),
    ],
    ids=["a record each", "as many as fit", "whole"],
)
def test_records_are_sent_as_the_request_says(local, until, changes, lines):
    model(local)
    local.put(f"{IN}a", "\n".join("x" * 400_000 for _ in range(3)))
    transformed(local, until, **changes)
    assert [answer["lines"] for answer in answers(local, "a")] == lines


def test_a_container_may_say_how_it_wants_to_be_asked(local, until):
    wanted = {"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}
    model(local, WANTED=json.dumps(wanted), TAKES="0.2")
    local.put(f"{IN}a", "1\n2\n3\n4\n5\n6")
    transformed(local, until)
    said = answers(local, "a")
    assert [answer["lines"] for answer in said] == [1] * 6
    assert max(answer["most"] for answer in said) == 3


def test_gzip_is_unpacked_and_binary_answers_are_joined_as_they_are(local, until):
    model(local)
    local.put(f"{IN}a.gz", "")
    local.file(f"{IN}a.gz").write_bytes(gzip.compress(b"1\n2"))
    asked = request(assemble="None", BatchStrategy="SingleRecord")
    asked["TransformInput"]["CompressionType"] = "Gzip"
    local.sagemaker.create_transform_job(**asked)
    assert ended(local, until)["TransformJobStatus"] == "Completed"
    assert local.file(f"{OUT}/a.gz.out").read_text().count("}{") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1\nrefuse\n2", "ClientError: Bad HTTP status received from algorithm: 400: not like this"),
        ("break", "AlgorithmError: Bad HTTP status received from algorithm: 500: broken"),
        ("x" * 1_100_000, "ClientError: A record of 1100000 bytes is larger than MaxPayloadInMB=1"),
    ],
    ids=["refused", "broken", "too large"],
)
def test_an_object_that_is_not_answered_fails_the_job_and_the_others_are_stored(local, until, text, reason):
    model(local)
    local.put(f"{IN}bad", text)
    local.put(f"{IN}good", "1")
    job = transformed(
        local, until, BatchStrategy="SingleRecord", MaxPayloadInMB=1, ModelClientConfig={"InvocationsMaxRetries": 1}
    )
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert [path.name for path in local.file(OUT).iterdir()] == ["good.out"]
    assert any("bucket/in: bad: " in line for line in local.lines("TransformJobs", "job/"))
    with pytest.raises(WaiterError):
        local.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="job")


def test_a_container_that_is_never_well_fails_the_job(local, until, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_LOCAL_STARTUP_S", "0.5")
    model(local, PING="500")
    local.put(f"{IN}a", "1")
    assert "did not pass the ping health check" in transformed(local, until)["FailureReason"]


def test_a_stopped_job_stores_nothing_and_leaves_no_process(twin, until):
    model(twin)
    twin.put(f"{IN}a", "1")
    twin.put(f"{IN}b", "slow")
    twin.sagemaker.create_transform_job(**request())
    until(lambda: runs(twin), "container")
    twin.sagemaker.stop_transform_job(TransformJobName="job")
    assert ended(twin, until)["TransformJobStatus"] == "Stopped"
    assert not twin.file(OUT).exists()
    until(lambda: not twin.pids(), "end of the processes")
    with pytest.raises(ClientError, match="transform job is in status Stopped"):
        twin.sagemaker.stop_transform_job(TransformJobName="job")


def test_a_job_whose_supervisor_is_killed_is_failed_and_its_container_ended(local, until):
    model(local)
    local.put(f"{IN}a", "slow")
    local.sagemaker.create_transform_job(**request())
    until(lambda: runs(local), "container")
    os.kill(int((local.root / "transform/job/lock").read_text()), signal.SIGKILL)
    job = ended(local, until)
    assert (job["TransformJobStatus"], "TransformEndTime" in job) == ("Failed", True)
    assert job["FailureReason"].startswith("InternalServerError")
    until(lambda: not local.pids(), "end of the container")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelName": "none"}, 'Could not find model "arn:.*model/none"'),
        ({"MaxPayloadInMB": 60, "MaxConcurrentTransforms": 2}, "must not exceed 100 MB"),
        ({"split": "RecordIO"}, "SplitType RecordIO is not supported"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "DataProcessing is not supported"),
        ({"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2}}, "service limit"),
    ],
    ids=["no model", "too much at once", "split", "filters", "instances"],
)
def test_a_request_is_refused(local, changes, words):
    model(local)
    local.put(f"{IN}a", "1")
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_transform_job(**request(**changes))


def test_missing_input_a_taken_name_and_a_missing_job_are_refused(twin, until):
    model(twin)
    with pytest.raises(ClientError, match="No S3 objects found under S3 URL"):
        twin.sagemaker.create_transform_job(**request())
    twin.put(f"{IN}a", "1")
    transformed(twin, until)
    with pytest.raises(twin.sagemaker.exceptions.ResourceInUse, match="already exists"):
        twin.sagemaker.create_transform_job(**request())
    with pytest.raises(ClientError, match="Could not find requested job with name: none"):
        twin.sagemaker.describe_transform_job(TransformJobName="none")


def test_our_own_serving_image_answers_a_file_of_requests(local, until):
    """A line a request, a line an answer; the image itself says that it wants them one by one."""
    made = small_artifact()
    register_image(local.root, local.image, {"serve": [sys.executable, *COMMANDS["serving"]]})
    local.put("s3://bucket/model.tar.gz", "")
    local.file("s3://bucket/model.tar.gz").write_bytes(artifact.pack(made))
    primary = {"Image": local.image, "ModelDataUrl": "s3://bucket/model.tar.gz"}
    local.sagemaker.create_model(ModelName="m", ExecutionRoleArn=local.role, PrimaryContainer=primary)
    asked = [{"series": name, "periods": 3, "levels": [80]} for name in made["series"]]
    local.put(f"{IN}requests.jsonl", "\n".join(json.dumps(line) for line in asked))
    wanted = request()
    wanted["TransformInput"]["ContentType"] = "application/json"
    local.sagemaker.create_transform_job(**wanted)
    job = ended(local, until)
    assert job["TransformJobStatus"] == "Completed", job["FailureReason"]
    for line, (name, entry) in zip(answers(local, "requests.jsonl"), made["series"].items(), strict=True):
        expected = forecaster.forecast(entry, horizon=3, levels=[80], interval=forecaster.best_interval(entry))
        assert {row["unique_id"] for row in line} == {name}
        assert [row["mean"] for row in line] == [row["mean"] for row in expected]
