"""Spot instances: taken away on demand, and what the job then goes on from."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from resources.sagemaker.local.interruption import interrupt
from resources.sagemaker.local.wire import AwsError

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints/job/"},
}
COUNTS = """
import os, signal, sys, time
from pathlib import Path
ml = Path(os.environ["SM_ML_ROOT"])
(ml / "model" / "of-this-instance").touch()
place = ml / "checkpoints" / "step"
step = int(place.read_text()) if place.exists() else 0
def save(*_):
    place.write_text(str(step + 1))
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("from step", step, "with", len(list((ml / "model").iterdir())), "file", flush=True)
if step < 2:
    time.sleep(60)
"""


def training(twin, name="job"):
    """Whether the job's newest container has begun."""
    job = twin.sagemaker.describe_training_job(TrainingJobName=name)
    begun = [item for item in job["SecondaryStatusTransitions"] if item["Status"] == "Training"]
    said = twin.lines("TrainingJobs", f"{name}/") if (twin.root / "logs").exists() else []
    return job["SecondaryStatus"] == "Training" and len(said) == len(begun)


def test_an_interrupted_job_goes_on_from_its_checkpoints_on_a_new_instance(twin, until):
    twin.command(train=COUNTS)
    twin.sagemaker.create_training_job(**twin.training_request("job", **SPOT))
    for number in (1, 2):
        until(lambda: training(twin), "container")
        interrupt(twin.root, "job")
        until(lambda n=number: len(twin.lines("TrainingJobs", "job/")) == n + 1, "another container")
    job = twin.trained("job")
    assert job["TrainingJobStatus"] == "Completed"
    assert twin.lines("TrainingJobs", "job/") == [f"from step {step} with 1 file" for step in range(3)]
    assert twin.file("s3://bucket/checkpoints/job/step").read_text() == "2"
    history = job["SecondaryStatusTransitions"]
    once = ["Starting", "Downloading", "Training"]
    assert [item["Status"] for item in history] == [
        *once,
        "Interrupted",
        *once,
        "Interrupted",
        *once,
        "Uploading",
        "Completed",
    ]
    assert all(one["EndTime"] == two["StartTime"] for one, two in itertools.pairwise(history))
    assert 1 <= job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


def test_a_container_that_ignores_the_interruption_is_killed_after_its_grace(local, until):
    local.command(
        train="""
        import os, signal, time
        from pathlib import Path
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        mark = Path(os.environ["SM_ML_ROOT"], "checkpoints", "mark")
        second = mark.exists()
        mark.touch()
        print("begun", flush=True)
        time.sleep(0 if second else 60)
        """
    )
    local.sagemaker.create_training_job(**local.training_request("job", **SPOT))
    until(lambda: training(local), "container")
    interrupt(local.root, "job")
    assert local.trained("job")["TrainingJobStatus"] == "Completed"


def test_a_spot_job_ends_with_its_wait(local):
    local.command(train="import time\ntime.sleep(60)")
    stopping = {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}
    job = local.train("job", **SPOT | {"StoppingCondition": stopping})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_a_job_that_is_not_on_spot_instances_or_not_training_is_not_interrupted(local, until):
    local.command(train="import time\nprint('begun', flush=True)\ntime.sleep(60)")
    local.sagemaker.create_training_job(**local.training_request("steady"))
    until(lambda: training(local, "steady"), "container")
    with pytest.raises(AwsError, match="steady is not on spot instances"):
        interrupt(local.root, "steady")
    local.command(train="")
    local.train("over", **SPOT)
    with pytest.raises(AwsError, match="over is Completed"):
        interrupt(local.root, "over")
    with pytest.raises(AwsError, match="Requested resource not found"):
        interrupt(local.root, "nowhere")


def test_the_command_line_interrupts_a_job_or_says_why_not(local):
    command = [sys.executable, "-m", "resources.sagemaker.local.interruption", "--root", str(local.root), "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[4])
    assert (done.returncode, done.stderr) == (1, "ValidationException: Requested resource not found.\n")
