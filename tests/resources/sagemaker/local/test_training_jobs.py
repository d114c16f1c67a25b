"""Training jobs: what the container gets, what becomes of what it writes, how it ends."""

import itertools
import json
import tarfile
import time

import pytest
from botocore.exceptions import ClientError, WaiterError

COPY = """
import json, os
from pathlib import Path
ml = Path(os.environ["SM_ML_ROOT"])
print("channels", sorted(str(p.relative_to(ml / "input/data")) for p in (ml / "input/data").rglob("*") if p.is_file()))
(ml / "model" / "model.json").write_text((ml / "input/config/hyperparameters.json").read_text())
for name in ("inputdataconfig", "resourceconfig"):
    print(name, (ml / f"input/config/{name}.json").read_text())
print("environment", json.dumps(sorted(os.environ)))
"""
SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(60)\n"


def channel(name: str, uri: str) -> dict:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


def test_a_job_gets_its_channels_and_leaves_its_model(twin):
    twin.command(train=COPY)
    twin.put("s3://bucket/data/a.csv", "1")
    twin.put("s3://bucket/data/deep/b.csv", "2")
    twin.put("s3://bucket/other/c.csv", "3")
    job = twin.train(
        "job",
        HyperParameters={"task": "fit"},
        InputDataConfig=[channel("history", "s3://bucket/data/"), channel("one", "s3://bucket/other/c.csv")],
        Environment={"COLOUR": "blue"},
    )
    assert job["TrainingJobStatus"] == "Completed"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/job/output/model.tar.gz"
    with tarfile.open(twin.file("s3://bucket/out/job/output/model.tar.gz")) as archive:
        assert archive.getnames() == ["model.json"]
        assert json.load(archive.extractfile("model.json")) == {"task": "fit"}
    assert not twin.file("s3://bucket/out/job/output/output.tar.gz").exists()
    lines = dict(line.split(" ", 1) for line in twin.lines("TrainingJobs", "job/"))
    assert lines["channels"] == "['history/a.csv', 'history/deep/b.csv', 'one/c.csv']"
    assert json.loads(lines["inputdataconfig"])["history"]["TrainingInputMode"] == "File"
    assert json.loads(lines["resourceconfig"])["hosts"] == ["algo-1"]
    assert {"COLOUR", "TRAINING_JOB_NAME", "SM_ML_ROOT", "AWS_REGION"} <= set(json.loads(lines["environment"]))


def test_statuses_follow_each_other_without_gaps(twin):
    twin.command(train=COPY)
    job = twin.train("job")
    history = job["SecondaryStatusTransitions"]
    assert [item["Status"] for item in history] == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(one["EndTime"] == two["StartTime"] for one, two in itertools.pairwise(history))
    assert job["SecondaryStatus"] == "Completed"
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] == 1


def test_the_container_inherits_no_secrets(local, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("EIA_API_KEY", "secret")
    monkeypatch.setenv("FORECAST_LAKE", "s3://lake")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    local.command(train=COPY)
    local.train("job")
    (names,) = [line for line in local.lines("TrainingJobs", "job/") if line.startswith("environment")]
    inherited = set(json.loads(names.removeprefix("environment ")))
    assert {"PATH", "LC_ALL"} <= inherited
    assert not {name for name in inherited if name.startswith(("AWS_SECRET", "EIA", "FORECAST", "SAGEMAKER_LOCAL"))}


def test_extra_output_is_packed_beside_the_model(local):
    local.command(train="import os\nopen(os.environ['SM_ML_ROOT'] + '/output/data/scores.txt', 'w').write('7')\n")
    local.train("job")
    with tarfile.open(local.file("s3://bucket/out/job/output/output.tar.gz")) as archive:
        assert archive.extractfile("scores.txt").read() == b"7"
    assert not (local.root / "train/job/ml").exists()


def test_metrics_are_the_last_matches_of_their_expressions(local):
    local.command(train="print('mse=9 mse=0.25; mae: 1e-3')\nprint('mse=')\nprint('mae: high')\n")
    definitions = [
        {"Name": "mse", "Regex": "mse=([0-9.]+)"},
        {"Name": "mae", "Regex": "mae: (\\S+)"},
        {"Name": "never", "Regex": "never=(.+)"},
    ]
    algorithm = {"TrainingImage": local.image, "TrainingInputMode": "File", "MetricDefinitions": definitions}
    job = local.train("job", AlgorithmSpecification=algorithm)
    assert {item["MetricName"]: item["Value"] for item in job["FinalMetricDataList"]} == {"mse": 0.25, "mae": 0.001}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(
            "import os, sys\nopen(os.environ['SM_ML_ROOT'] + '/output/failure', 'w').write('no rows')\nsys.exit(2)\n",
            "AlgorithmError: no rows, exit code: 2",
            id="says why",
        ),
        pytest.param("raise SystemExit(1)\n", "AlgorithmError: , exit code: 1", id="says nothing"),
        pytest.param(
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "AlgorithmError: , exit code: 137", id="killed"
        ),
    ],
)
def test_a_failing_container_fails_the_job(local, script, reason):
    local.command(train=script)
    job = local.train("job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"], job["FailureReason"]) == ("Failed", "Failed", reason)
    assert not local.file("s3://bucket/out/job/output/model.tar.gz").exists()
    with pytest.raises(WaiterError, match="Failed"):
        local.sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="job")


def test_a_long_failure_is_cut_to_what_the_service_allows(local):
    local.command(train="import os\nopen(os.environ['SM_ML_ROOT'] + '/output/failure', 'w').write('x' * 5000)\n1/0\n")
    assert len(local.train("job")["FailureReason"]) == 1024


@pytest.mark.parametrize("commands", [None, {"serve": "pass"}], ids=["unknown image", "image that only serves"])
def test_an_image_without_a_command_fails_the_job(local, commands):
    if commands:
        local.command(**commands)
    job = local.train("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert local.image in job["FailureReason"]


def test_stopping_asks_first_and_keeps_the_model(twin, until):
    twin.command(
        train="""
        import os, signal, sys, time
        def save(*_):
            open(os.environ["SM_ML_ROOT"] + "/model/partial", "w").write("so far")
            sys.exit(0)
        signal.signal(signal.SIGTERM, save)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    twin.sagemaker.create_training_job(**twin.training_request("job"))
    until(lambda: (twin.root / "logs").exists() and "ready" in twin.lines("TrainingJobs", "job/"), "start")
    twin.sagemaker.stop_training_job(TrainingJobName="job")
    stopping = twin.sagemaker.describe_training_job(TrainingJobName="job")
    assert stopping["TrainingJobStatus"] in {"Stopping", "Stopped"}
    job = twin.trained("job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    with tarfile.open(twin.file(job["ModelArtifacts"]["S3ModelArtifacts"])) as archive:
        assert archive.getnames() == ["partial"]
    with pytest.raises(ClientError, match="because the training job is in status Stopped"):
        twin.sagemaker.stop_training_job(TrainingJobName="job")


def test_a_container_that_ignores_the_request_to_stop_is_killed(local, until):
    local.command(train="import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP)
    local.sagemaker.create_training_job(**local.training_request("job"))
    until(lambda: (local.root / "logs").exists() and local.lines("TrainingJobs", "job/"), "start")
    began = time.monotonic()
    local.sagemaker.stop_training_job(TrainingJobName="job")
    assert local.trained("job")["TrainingJobStatus"] == "Stopped"
    assert 0.4 < time.monotonic() - began < 3


def test_a_job_ends_with_its_time(local):
    local.command(train=SLEEP)
    job = local.train("job", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_what_a_container_leaves_running_ends_with_it(local):
    local.command(
        train="import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    )
    began = time.monotonic()
    assert local.train("job")["TrainingJobStatus"] == "Completed"
    assert time.monotonic() - began < 4


def test_checkpoints_are_in_the_bucket_at_once_and_in_the_next_job(local):
    local.command(
        train="""
        import os
        from pathlib import Path
        place = Path(os.environ["SM_ML_ROOT"], "checkpoints", "step")
        step = int(place.read_text()) + 1 if place.exists() else 1
        place.write_text(str(step))
        raise SystemExit(1 if step == 1 else 0)
        """
    )
    checkpoints = {"S3Uri": "s3://bucket/checkpoints/a"}
    assert local.train("one", CheckpointConfig=checkpoints)["TrainingJobStatus"] == "Failed"
    assert local.train("two", CheckpointConfig=checkpoints)["TrainingJobStatus"] == "Completed"
    assert local.file("s3://bucket/checkpoints/a/step").read_text() == "2"


def test_entrypoint_and_arguments_of_the_request_come_first(local):
    local.command(train="raise SystemExit(1)")
    algorithm = {
        "TrainingImage": local.image,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["/bin/sh", "-c"],
        "ContainerArguments": ["echo from the request"],
    }
    assert local.train("job", AlgorithmSpecification=algorithm)["TrainingJobStatus"] == "Completed"
    assert local.lines("TrainingJobs", "job/") == ["from the request"]


def test_lists_are_filtered_sorted_and_paged(twin):
    twin.command(train="raise SystemExit(0)")
    for name in ("b-1", "a-1", "b-2"):
        twin.train(name)
    pages = twin.sagemaker.get_paginator("list_training_jobs").paginate(PaginationConfig={"PageSize": 2})
    assert [[job["TrainingJobName"] for job in page["TrainingJobSummaries"]] for page in pages] == [
        ["b-1", "a-1"],
        ["b-2"],
    ]
    listed = twin.sagemaker.list_training_jobs(
        NameContains="b-", SortBy="Name", SortOrder="Descending", StatusEquals="Completed"
    )
    assert [job["TrainingJobName"] for job in listed["TrainingJobSummaries"]] == ["b-2", "b-1"]
    since = twin.sagemaker.describe_training_job(TrainingJobName="b-1")["CreationTime"]
    later = twin.sagemaker.list_training_jobs(CreationTimeAfter=since)["TrainingJobSummaries"]
    assert len(later) <= 3
    assert "b-2" in [job["TrainingJobName"] for job in later]
    assert twin.sagemaker.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"] == []


def test_a_job_that_has_ended_can_be_deleted_with_its_log_and_its_name_is_free(twin):
    twin.command(train="print('hello')")
    twin.train("one")
    twin.sagemaker.delete_training_job(TrainingJobName="one")
    with pytest.raises(ClientError, match="Requested resource not found"):
        twin.sagemaker.describe_training_job(TrainingJobName="one")
    assert twin.lines("TrainingJobs", "one/") == []
    assert twin.file("s3://bucket/out/one/output/model.tar.gz").exists()
    assert twin.train("one")["TrainingJobStatus"] == "Completed"


def test_a_job_that_runs_cannot_be_deleted(local):
    local.command(train="import time; time.sleep(60)")
    local.sagemaker.create_training_job(**local.training_request("one"))
    with pytest.raises(ClientError, match="is in status InProgress"):
        local.sagemaker.delete_training_job(TrainingJobName="one")
