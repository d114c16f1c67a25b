"""A disk that is full: named errors, nothing half-written, no job that hangs, and all is well once there is room.

The disk is a real one: a small tmpfs in a namespace of its own, where this machine lets its users mount, in which this
file runs again as a script. Everywhere else a limit on the size of files stands in for it.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from resources.lake import Lake, LakeWriteError
from resources.sagemaker.local.clients import local_client, register_image
from tests.refreshes import Site, end, numbers, processes_of, until

ROOT = Path(__file__).parents[2]
WEEK = date(2023, 11, 10)
MOUNTED = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'


def mounting_works() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-Urm", "sh", "-c", MOUNTED, "sh", "1m", "/mnt", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def on_a_small_disk(
    name: str, folder: Path, *, size: str, arguments: tuple[str, ...] = (), script: str = __file__
) -> None:
    """Run a function of this file, or of another, on a disk of its own."""
    if not mounting_works():
        pytest.skip("this machine lets nobody mount a tmpfs in a namespace")
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", script, name, str(folder), *arguments]
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", MOUNTED, "sh", size, str(folder), *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    end(processes_of(folder))  # what a failed test left
    assert done.returncode == 0, done.stdout + done.stderr


def fill(folder: Path) -> None:
    """Take all room that is left, to the last byte."""
    with (folder / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": "WGFUPUS2", "y": [float(number) * 1.1 for number in range(rows)]})


# -- tables ---------------------------------------------------------------------------------------------------------


def refuses_and_recovers(lake: Lake, *, full: Callable[[], None], room: Callable[[], None], said: str) -> None:
    """A table that cannot be written is refused by name and leaves the old one; with room it is written."""
    lake.write("observations", WEEK, frame(10))
    full()
    for write in (
        lambda: lake.write("observations", WEEK, frame(100_000)),
        lambda: lake.write_bytes("blobs/large", b"\0" * 1_000_000),
    ):
        with pytest.raises(LakeWriteError, match=said) as caught:
            write()
        assert "Nothing is half-written" in str(caught.value)
        assert "run `forecast refresh` again" in str(caught.value)
    assert len(lake.read("observations", WEEK)) == 10
    assert list(lake.root.rglob(".*")) == []
    room()
    lake.write("observations", WEEK, frame(100_000))
    assert len(lake.read("observations", WEEK)) == 100_000


def tables(folder: Path) -> None:
    refuses_and_recovers(
        Lake(uri=str(folder / "lake")),
        full=lambda: fill(folder),
        room=(folder / "ballast").unlink,
        said="No space left on device.*free space on its volume",
    )


def tables_under_a_limit(folder: Path) -> None:
    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    refuses_and_recovers(
        Lake(uri=str(folder / "lake")),
        full=lambda: limit(10_000),
        room=lambda: limit(resource.RLIM_INFINITY),
        said="File too large.*raise the limit on the size of files",
    )


def test_a_table_that_a_full_disk_refuses_leaves_the_old_one(tmp_path: Path) -> None:
    on_a_small_disk("tables", tmp_path / "disk", size="3m")


def test_a_table_over_the_limit_on_files_leaves_the_old_one(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", __file__, "tables_under_a_limit", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- jobs and endpoints ---------------------------------------------------------------------------------------------

WRITES = """
import os, pathlib, sys
print("writing", flush=True)
large = pathlib.Path(os.environ["SM_ML_ROOT"], "model", "large")
try:
    large.write_bytes(b"0" * 10_000_000)
finally:
    large.unlink()
"""
WAITS = """
import os, pathlib, time
while not pathlib.Path(os.environ["GO"]).exists():
    time.sleep(0.02)
for number in range(5000):
    print("a line that a full disk has no room for", number)
"""
SERVES = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("x" * 10_000, flush=True)  # soon more than a pipe holds
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        print("x" * 10_000, flush=True)
        body = os.environ.get("VERSION", "").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


class Compute:
    """A control plane whose state is on the small disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "sm"
        self.client: Any = local_client("sagemaker", self.root)
        self.runtime: Any = local_client("sagemaker-runtime", self.root)

    def train(self, name: str, program: str, **environment: str) -> None:
        register_image(self.root, "test", {"train": [sys.executable, "-S", "-c", program]})
        self.client.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": "test", "TrainingInputMode": "File"},
            RoleArn="arn:aws:iam::000000000000:role/forecast",
            OutputDataConfig={"S3OutputPath": "s3://out/jobs"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
            Environment=environment,
        )

    def ended(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job: dict[str, Any] = self.client.describe_training_job(TrainingJobName=name)
            return job if job["TrainingJobStatus"] != "InProgress" else None

        found: dict[str, Any] = until(look, f"end of {name}", 30)
        return found

    def config(self, version: str) -> None:
        register_image(self.root, "test", {"serve": [sys.executable, "-S", "-c", SERVES]})
        self.client.create_model(
            ModelName=version,
            ExecutionRoleArn="arn:aws:iam::000000000000:role/forecast",
            PrimaryContainer={"Image": "test", "Environment": {"VERSION": version}},
        )
        serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
        variant = {"VariantName": "AllTraffic", "ModelName": version, "ServerlessConfig": serverless}
        self.client.create_endpoint_config(EndpointConfigName=version, ProductionVariants=[variant])

    def settled(self) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.describe_endpoint(EndpointName="e")
            return found if found["EndpointStatus"] in {"InService", "Failed"} else None

        found: dict[str, Any] = until(look, "end of the changes", 30)
        return found

    def invoke(self) -> str:
        return str(self.runtime.invoke_endpoint(EndpointName="e", Body=b"{}")["Body"].read().decode())


def jobs(folder: Path) -> None:
    compute = Compute(folder)

    compute.train("greedy", WRITES)
    job = compute.ended("greedy")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: OSError: [Errno 28] No space left on device, exit code: 1", job

    compute.train("squeezed", WAITS, GO=str(folder / "go"))
    until(
        lambda: compute.client.describe_training_job(TrainingJobName="squeezed")["SecondaryStatus"] == "Training", "it"
    )
    (folder / "go").touch()
    fill(folder)
    job = compute.ended("squeezed")
    assert job["TrainingJobStatus"] == "Failed", "its last status could not be written, and still it has one"
    assert job["FailureReason"].startswith("InternalServerError: OSError: [Errno 28] No space left on device"), job
    with pytest.raises(
        compute.client.exceptions.ClientError, match="SageMaker on this machine cannot write.*Free space"
    ):
        compute.train("late", WAITS)

    (folder / "ballast").unlink()
    assert compute.ended("squeezed")["TrainingJobStatus"] == "Failed"
    compute.train("after", "print('done')")
    assert compute.ended("after")["TrainingJobStatus"] == "Completed"
    assert list(compute.root.glob(".*")) == [], "a refused creation leaves nothing"


def endpoints(folder: Path) -> None:
    compute = Compute(folder)
    compute.config("one")
    compute.config("two")
    compute.client.create_endpoint(EndpointName="e", EndpointConfigName="one")
    assert compute.settled()["EndpointStatus"] == "InService"
    compute.client.update_endpoint(EndpointName="e", EndpointConfigName="two")
    assert compute.settled()["EndpointConfigName"] == "two"
    fill(folder)
    for _ in range(40):
        assert compute.invoke() == "two", "it answers, though its log has no room"
    child = json.loads((compute.root / "endpoint/e/status.json").read_text())["children"][-1]["pid"]
    (folder / "ballast").unlink()
    fill(folder)
    os.kill(child, signal.SIGKILL)
    time.sleep(0.3)
    (folder / "ballast").unlink()
    assert until(lambda: answer_of(compute), "answer", 30) == "two", "it is started again once there is room"
    compute.client.update_endpoint(EndpointName="e", EndpointConfigName="one")
    assert compute.settled()["EndpointConfigName"] == "one"
    compute.client.delete_endpoint(EndpointName="e")
    compute.client.get_waiter("endpoint_deleted").wait(EndpointName="e", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def answer_of(compute: Compute) -> str | None:
    try:
        return compute.invoke()
    except compute.runtime.exceptions.ClientError:
        return None


@pytest.mark.parametrize("what", ["jobs", "endpoints"])
def test_on_a_full_disk_jobs_fail_by_name_and_endpoints_go_on(tmp_path: Path, what: str) -> None:
    on_a_small_disk(what, tmp_path / "disk", size="3m")


# -- a refresh ------------------------------------------------------------------------------------------------------


def refresh(folder: Path, source: str, found: str, history: str) -> None:
    if history != "in the lake":
        os.environ["DAGSTER_HOME"] = history
    site = Site(folder, Path(source), logs=Path(found).parent)
    refused = site.refresh()
    assert refused.ends() == 1, refused.said()
    said = refused.said()
    assert "Error: " in said, said
    assert any(words in said for words in ("No space left on device", "database or disk is full")), said
    assert "Traceback" not in said, said
    until(lambda: not site.jobs(), "end of the jobs")
    subprocess.run(["mount", "-o", "remount,size=300m", str(folder)], check=True)
    site.completes()
    Path(found).write_text(json.dumps(numbers(site.lake)))
    site.close()
    assert site.processes() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "apart"),
    [
        ("100k", False),
        ("600k", False),
        ("2500k", False),
        ("100k", True),
        ("400k", True),
        ("700k", True),
        ("500k", True),
    ],
)
def test_a_refresh_that_a_full_disk_ended_is_completed_once_there_is_room(
    shared_data: Path, tmp_path: Path, undisturbed: dict[str, str], size: str, *, apart: bool
) -> None:
    """Wherever the room ends, in Dagster's history or, with that elsewhere, in the lake."""
    history = tmp_path / "history"
    history.mkdir()
    found = tmp_path / "found.json"
    arguments = (str(shared_data / "weekly"), str(found), str(history) if apart else "in the lake")
    on_a_small_disk("refresh", tmp_path / "disk", size=size, arguments=arguments)
    assert json.loads(found.read_text()) == undisturbed


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    sys.stdout.flush()
    os._exit(0)  # Arrow's threads may abort an interpreter that ends while they still write to a full disk
