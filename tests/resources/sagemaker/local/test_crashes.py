"""What survives, and what is settled, when processes die."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import pytest

from resources.sagemaker.local.clients import local_client
from resources.sagemaker.local.logs import LogWriter, events
from resources.sagemaker.local.processes import started_at

WAIT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
time.sleep(60)
"""


def started(twin, until, name="job"):
    """Create a job and wait for its container; the supervisor's process number."""
    twin.sagemaker.create_training_job(**twin.training_request(name))
    until(lambda: (twin.root / "logs").exists() and "ready" in twin.lines("TrainingJobs", f"{name}/"), "start")
    return int((twin.root / "train" / name / "lock").read_text())


def test_a_job_whose_supervisor_is_killed_has_failed_and_left_nothing(local, until):
    local.command(train=WAIT)
    supervisor = started(local, until)
    assert len(local.pids()) == 3
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: started_at(supervisor) is None, "end of the supervisor")
    job = local.sagemaker.describe_training_job(TrainingJobName="job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"].startswith("InternalServerError: the process that supervised this resource was lost")
    assert job["TrainingEndTime"]
    until(lambda: local.pids() == [], "end of the container", 2)


def test_a_processing_job_whose_supervisor_is_killed_has_failed(local, until):
    local.command(process=WAIT)
    local.sagemaker.create_processing_job(**local.processing_request("job"))
    until(lambda: (local.root / "logs").exists() and local.lines("ProcessingJobs", "job/"), "start")
    os.kill(int((local.root / "process/job/lock").read_text()), signal.SIGKILL)
    assert local.processed("job")["ProcessingJobStatus"] == "Failed"


def test_a_supervisor_asked_to_end_stops_its_job(local, until):
    local.command(train=WAIT)
    os.kill(started(local, until), signal.SIGTERM)
    assert local.trained("job")["TrainingJobStatus"] == "Stopped"


def test_an_endpoint_whose_supervisor_is_killed_has_failed_and_can_be_deleted(local, until, echo):
    local.command(serve=echo)
    local.config("c")
    local.endpoint("e", "c")
    os.kill(int((local.root / "endpoint/e/lock").read_text()), signal.SIGKILL)

    def look():
        endpoint = local.sagemaker.describe_endpoint(EndpointName="e")
        return endpoint if endpoint["EndpointStatus"] == "Failed" else None

    assert "was lost" in until(look, "failure")["FailureReason"]
    until(lambda: local.pids() == [], "end of the serving process", 2)
    local.sagemaker.delete_endpoint(EndpointName="e")
    assert local.sagemaker.list_endpoints()["Endpoints"] == []
    assert local.endpoint("e", "c")["EndpointStatus"] == "InService"


def test_an_endpoint_whose_folder_is_removed_ends(local, until, echo):
    local.command(serve=echo)
    local.config("c")
    local.endpoint("e", "c")
    shutil.rmtree(local.root)
    until(lambda: local.pids() == [], "end of the processes", 5)


def test_a_fault_of_the_supervisor_fails_the_job_with_its_name(local):
    local.command(train="import os, shutil\nshutil.rmtree(os.environ['SM_ML_ROOT'] + '/output')\n")
    job = local.train("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: FileNotFoundError")
    assert "Traceback" in (local.root / "train/job/supervisor.log").read_text()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
def test_a_supervisor_that_cannot_write_any_more_leaves_its_reason_and_blocks_nobody(local, until):
    go = local.root / "go"
    many_lines = "for number in range(5000): print('a line', number)\n"  # more than a pipe holds
    local.command(train=waiting_for(go) + many_lines)
    supervisor = started(local, until)
    resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (600, 600))
    go.touch()
    job = local.trained("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: OSError: [Errno 27] File too large")
    assert "ready" in local.lines("TrainingJobs", "job/"), "a log that was cut off can be read"
    assert local.trained("job")["FailureReason"] == job["FailureReason"]


def test_a_line_that_was_torn_is_left_out_of_the_log(tmp_path):
    log = LogWriter(tmp_path, "TrainingJobs", "job/algo-1")
    path = tmp_path / "logs/TrainingJobs/job/algo-1.jsonl"
    log.write("before")
    for limit, message in ((path.stat().st_size + 20, "torn"), (resource.RLIM_INFINITY, "after")):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        log.write(message)
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log._file.close()
    assert [event["message"] for _, event in events(path)] == ["before", "after"]


def test_one_of_four_racing_creators_wins(local):
    clients = [local_client("sagemaker", local.root) for _ in range(4)]
    barrier, outcomes = threading.Barrier(4), []

    def create(client, name):
        barrier.wait()
        try:
            client.create_training_job(**local.training_request(name))
            outcomes.append((name, "created"))
        except client.exceptions.ResourceInUse:
            outcomes.append((name, "refused"))

    names = [f"job-{number}" for number in range(10)]
    for name in names:
        threads = [threading.Thread(target=create, args=(client, name)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == sorted([(name, "created") for name in names] + [(name, "refused") for name in names] * 3)
    assert not list(local.root.glob(".new-*"))


def test_readers_never_take_a_living_job_for_a_dead_one(local):
    local.command(train="raise SystemExit(0)")
    stop, seen = threading.Event(), set()

    def read():
        client = local_client("sagemaker", local.root)
        while not stop.is_set():
            for job in client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]:
                seen.add(job["TrainingJobStatus"])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    ends = {local.train(f"job-{number}")["TrainingJobStatus"] for number in range(12)}
    stop.set()
    for reader in readers:
        reader.join()
    assert ends == {"Completed"}
    assert seen <= {"InProgress", "Completed"}


@pytest.fixture
def server(root):
    """Starts ``python -m resources.sagemaker.local.http``; gives the process and its URL."""
    running = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-m", "resources.sagemaker.local.http", "--root", root, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[4],
        )
        running.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def waiting_for(go):
    """A job that runs until a file is there."""
    return f"""
import pathlib, time
print('ready', flush=True)
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.02)
"""


def test_jobs_and_endpoints_outlive_the_server(server, local, until, echo):
    go = local.root / "go"
    local.command(train=waiting_for(go), serve=echo)
    first, url = server()

    def client(name):
        return boto3.session.Session("x", "x", region_name="us-east-1").client(name, endpoint_url=url)

    over_http = client("sagemaker")
    local.config("c")
    over_http.create_endpoint(EndpointName="e", EndpointConfigName="c")
    over_http.create_training_job(**local.training_request("job"))
    until((local.root / "logs/TrainingJobs").exists, "start")
    first.send_signal(signal.SIGKILL)
    first.wait()
    over_http.close()
    _, url = server()
    over_http, runtime = client("sagemaker"), client("sagemaker-runtime")
    assert over_http.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "InProgress"
    go.touch()
    waiter = over_http.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="job", WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})
    assert over_http.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "Completed"
    local.settled("e")
    answer = runtime.invoke_endpoint(EndpointName="e", Body=b"hello")
    assert b"hello" in answer["Body"].read()
    over_http.close()
    runtime.close()


def test_a_job_outlives_its_creator_and_holds_none_of_its_streams(local):
    go = local.root / "go"
    local.command(train=waiting_for(go))
    script = (
        "import sys, pathlib\nfrom resources.sagemaker.local.clients import local_client\nimport json\n"
        "local_client('sagemaker', pathlib.Path(sys.argv[1])).create_training_job(**json.loads(sys.argv[2]))\n"
    )
    import json

    # Reading to the end of the creator's output would wait for the job if the supervisor held the other end.
    done = subprocess.run(
        [sys.executable, "-c", script, str(local.root), json.dumps(local.training_request("job"))],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert local.sagemaker.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "InProgress"
    go.touch()
    assert local.trained("job")["TrainingJobStatus"] == "Completed"
