"""Processing jobs: inputs, outputs, messages and ends."""

import json

import pytest
from botocore.exceptions import ClientError

UPPER = """
import json, os, sys
from pathlib import Path
ml = Path(os.environ["SM_ML_ROOT"])
for file in (ml / "processing/input/raw").rglob("*.txt"):
    (ml / "processing/output" / file.name).write_text(file.read_text().upper() + os.environ["SUFFIX"])
config = json.loads((ml / "config/processingjobconfig.json").read_text())
print(config["ProcessingJobName"], config["AppSpecification"]["ImageUri"], *sys.argv[1:])
(ml / "output/message").write_text("two files")
"""


def transfers(mode="EndOfJob"):
    source = {"S3Uri": "s3://bucket/raw/", "LocalPath": "/opt/ml/processing/input/raw", "S3DataType": "S3Prefix"}
    target = {"S3Uri": "s3://bucket/clean", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": mode}
    return {
        "ProcessingInputs": [{"InputName": "raw", "S3Input": source | {"S3InputMode": "File"}}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "clean", "S3Output": target}]},
    }


def test_a_job_turns_inputs_into_outputs(twin):
    twin.command(process=UPPER)
    twin.put("s3://bucket/raw/a.txt", "a")
    twin.put("s3://bucket/raw/deep/b.txt", "b")
    application = {"ImageUri": twin.image, "ContainerArguments": ["--fast"]}
    job = twin.process("job", **transfers(), Environment={"SUFFIX": "!"}, AppSpecification=application)
    assert job["ProcessingJobStatus"] == "Completed"
    assert job["ExitMessage"] == "two files"
    assert twin.file("s3://bucket/clean/a.txt").read_text() == "A!"
    assert twin.file("s3://bucket/clean/b.txt").read_text() == "B!"
    assert twin.lines("ProcessingJobs", "job/") == [f"job {twin.image} --fast"]
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    twin.sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName="job")
    listed = twin.sagemaker.list_processing_jobs(NameContains="job")["ProcessingJobSummaries"]
    assert [(item["ProcessingJobName"], item["ProcessingJobStatus"]) for item in listed] == [("job", "Completed")]


@pytest.mark.parametrize(("mode", "uploaded"), [("EndOfJob", False), ("Continuous", True)])
def test_a_failing_job_says_why_and_uploads_nothing_at_its_end(local, mode, uploaded):
    local.command(process=UPPER + "sys.exit(4)\n")
    local.put("s3://bucket/raw/a.txt", "a")
    job = local.process("job", **transfers(mode), Environment={"SUFFIX": ""})
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: two files, exit code: 4"
    assert job["ExitMessage"] == "two files"
    assert local.file("s3://bucket/clean/a.txt").exists() == uploaded


def test_an_empty_input_fails_the_job(local):
    local.command(process=UPPER)
    job = local.process("job", **transfers())
    assert job["FailureReason"].startswith("ClientError: Failed to download data. Cannot find any objects under S3 URI")


def test_a_job_is_stopped(twin, until):
    twin.command(process="import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    twin.sagemaker.create_processing_job(**twin.processing_request("job"))
    until(lambda: (twin.root / "logs").exists() and twin.lines("ProcessingJobs", "job/"), "start")
    twin.sagemaker.stop_processing_job(ProcessingJobName="job")
    assert twin.processed("job")["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="because the processing job is in status Stopped"):
        twin.sagemaker.stop_processing_job(ProcessingJobName="job")


def test_names_are_unique_and_missing_ones_are_named(local):
    local.process("job")
    with pytest.raises(local.sagemaker.exceptions.ResourceInUse, match="already exists"):
        local.sagemaker.create_processing_job(**local.processing_request("job"))
    with pytest.raises(ClientError, match="Could not find requested job with name: none"):
        local.sagemaker.describe_processing_job(ProcessingJobName="none")


def test_the_job_configuration_is_what_was_asked_for(local):
    local.command(
        process="import os\nprint(open(os.environ['SM_ML_ROOT'] + '/config/processingjobconfig.json').read())"
    )
    local.process("job", Environment={"A": "1"}, StoppingCondition={"MaxRuntimeInSeconds": 30})
    config = json.loads(local.lines("ProcessingJobs", "job/")[0])
    assert config["Environment"] == {"A": "1"}
    assert config["StoppingCondition"] == {"MaxRuntimeInSeconds": 30}
    assert config["ProcessingJobArn"].endswith(":processing-job/job")


def test_a_job_that_has_ended_can_be_deleted_with_its_log(local):
    local.command(process="print('hello')")
    local.process("one")
    local.sagemaker.delete_processing_job(ProcessingJobName="one")
    with pytest.raises(ClientError, match="Could not find requested job with name: one"):
        local.sagemaker.describe_processing_job(ProcessingJobName="one")
    assert local.lines("ProcessingJobs", "one/") == []
