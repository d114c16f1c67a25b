"""The AWS command line, which nobody here wrote, through the life of a job and of an endpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECTIONS = ("sagemaker", "sagemaker_runtime", "cloudwatch_logs")


@pytest.fixture
def aws(over_http, tmp_path):
    """Runs an ``aws`` command against the twin; gives its answer."""
    url = over_http.sagemaker.meta.endpoint_url
    services = "".join(f"{name} =\n  endpoint_url = {url}\n" for name in SECTIONS)
    (tmp_path / "aws").write_text(
        "[profile local]\nregion = us-east-1\naws_access_key_id = local\naws_secret_access_key = local\n"
        f"services = local\n[services local]\n{services}"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": str(tmp_path / "aws"),
        "AWS_PROFILE": "local",
        "AWS_PAGER": "",
    }
    program = Path(sys.executable).with_name("aws")

    def run(*arguments, fails=False, **options):
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        command = [str(program), *arguments, *flags]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode != 0) == fails, done.stderr
        if fails:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    return run


def test_a_training_job_from_its_creation_to_its_log(aws, over_http):
    over_http.command(train="print('mse=0.5')")
    request = json.dumps(over_http.training_request("job"))
    created = aws("sagemaker", "create-training-job", cli_input_json=request)
    assert created["TrainingJobArn"].endswith(":training-job/job")
    over_http.trained("job")  # the command looks every two minutes
    aws("sagemaker", "wait", "training-job-completed-or-stopped", training_job_name="job")
    job = aws("sagemaker", "describe-training-job", training_job_name="job")
    assert job["TrainingJobStatus"] == "Completed"
    group = "/aws/sagemaker/TrainingJobs"
    streams = aws("logs", "describe-log-streams", log_group_name=group, log_stream_name_prefix="job/")["logStreams"]
    events = aws("logs", "get-log-events", log_group_name=group, log_stream_name=streams[0]["logStreamName"])
    assert [event["message"] for event in events["events"]] == ["mse=0.5"]
    assert len(aws("logs", "filter-log-events", log_group_name=group)["events"]) == 1
    refused = aws("sagemaker", "stop-training-job", training_job_name="job", fails=True)
    assert "because the training job is in status Completed" in refused


def test_an_endpoint_from_its_model_to_its_end(aws, over_http, echo, tmp_path):
    over_http.command(serve=echo)
    container = json.dumps({"Image": over_http.image, "Environment": {"VERSION": "cli"}})
    aws("sagemaker", "create-model", model_name="m", execution_role_arn=over_http.role, primary_container=container)
    variant = "VariantName=v,ModelName=m,ServerlessConfig={MemorySizeInMB=1024,MaxConcurrency=1}"
    aws("sagemaker", "create-endpoint-config", endpoint_config_name="c", production_variants=variant)
    aws("sagemaker", "create-endpoint", endpoint_name="e", endpoint_config_name="c")
    over_http.settled("e")
    aws("sagemaker", "wait", "endpoint-in-service", endpoint_name="e")
    (tmp_path / "body").write_text("hello")
    answer = tmp_path / "answer"
    body = f"fileb://{tmp_path / 'body'}"
    aws("sagemaker-runtime", "invoke-endpoint", str(answer), endpoint_name="e", body=body)
    assert json.loads(answer.read_text())["version"] == "cli"
    aws("sagemaker", "delete-endpoint", endpoint_name="e")
    aws("sagemaker", "wait", "endpoint-deleted", endpoint_name="e")
    assert aws("sagemaker", "list-endpoints") == {"Endpoints": []}
