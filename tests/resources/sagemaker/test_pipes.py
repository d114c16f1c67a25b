"""The Pipes client against the control plane on this machine: real jobs, real processes, a real Dagster instance."""

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.sagemaker.local.clients import local_client, register_image
from resources.sagemaker.pipes import FORCE_TAG, PipesSageMakerClient
from resources.sagemaker.pipes.messages import FileMessages

REPORTING = """
    import time
    from dagster_pipes import open_dagster_pipes
    print("mean_mse: 42.5", flush=True)
    time.sleep({delay})
    with open_dagster_pipes() as pipes:
        pipes.log.info("from inside")
        pipes.report_asset_materialization(metadata={{"loss": 1.5}}, data_version="v1")
"""
SILENT = 'print("nothing to report")'
FAILING = """
    import os, pathlib, sys
    pathlib.Path(os.environ["SM_ML_ROOT"], "output", "failure").write_text("the series is too short")
    sys.exit(1)
"""


class Compute:
    """A control plane with one image, whose program a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.client = local_client("sagemaker", root)
        self.logs = local_client("logs", root)

    def program(self, source: str) -> None:
        script = self.root / "program.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(textwrap.dedent(source))
        register_image(self.root, "test", {"train": [sys.executable, str(script)]})

    def pipes(self) -> PipesSageMakerClient:
        return PipesSageMakerClient(
            client=self.client,
            logs=self.logs,
            messages=FileMessages(self.root / "pipes"),
            poll_interval_s=0.05,
            log_delay_s=0,
        )

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"])


def request(max_runtime_s: int = 60) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "test",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "mean_mse", "Regex": "mean_mse: ([0-9.]+)"}],
        },
        "RoleArn": "arn:aws:iam::000000000000:role/forecast",
        "OutputDataConfig": {"S3OutputPath": "s3://out/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": max_runtime_s},
    }


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[Compute]:
    made = Compute(tmp_path / "twin")
    yield made
    for job in made.jobs():
        if job["TrainingJobStatus"] == "InProgress":
            made.client.stop_training_job(TrainingJobName=job["TrainingJobName"])


def model_asset(compute: Compute, **options: Any) -> dg.AssetsDefinition:
    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        pipes = compute.pipes()
        return pipes.run(context=context, kind="training", request=request(**options)).materialization()

    return model


def materialize(compute: Compute, *, force: bool = False, **options: Any) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [model_asset(compute, **options)],
            instance=instance,
            tags={FORCE_TAG: "true"} if force else {},
            raise_on_error=False,
        )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    data = result.get_step_failure_events()[0].step_failure_data
    assert data.user_failure_data is not None
    return str(data.user_failure_data.description)


def test_what_a_job_reports_and_what_it_is_reach_the_asset(compute: Compute, capfd: pytest.CaptureFixture[str]) -> None:
    compute.program(REPORTING.format(delay=0))
    result = materialize(compute)
    [event] = result.asset_materializations_for_node("model")
    assert event.metadata["loss"].value == 1.5
    assert event.metadata["mean_mse"].value == 42.5
    assert event.metadata["taken_up"].value is False
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == "v1"
    assert "mean_mse: 42.5" in capfd.readouterr().out, "the job's log is copied to the run's standard output"


def test_a_completed_job_is_taken_up_not_repeated_unless_forced(compute: Compute) -> None:
    compute.program(REPORTING.format(delay=0))
    assert materialize(compute).success
    again = materialize(compute)
    assert again.asset_materializations_for_node("model")[0].metadata["taken_up"].value is True
    assert len(compute.jobs()) == 1
    forced = materialize(compute, force=True)
    assert forced.asset_materializations_for_node("model")[0].metadata["taken_up"].value is False
    assert len(compute.jobs()) == 2


def test_another_request_is_another_job(compute: Compute) -> None:
    compute.program(REPORTING.format(delay=0))
    assert materialize(compute).success
    assert materialize(compute, max_runtime_s=61).success
    assert len(compute.jobs()) == 2


def test_a_failed_job_fails_the_asset_with_its_reason_and_is_tried_anew_next_time(compute: Compute) -> None:
    compute.program(FAILING)
    assert "the series is too short" in failure_of(materialize(compute))
    compute.program(REPORTING.format(delay=0))
    assert materialize(compute).success
    assert sorted(job["TrainingJobStatus"] for job in compute.jobs()) == ["Completed", "Failed"]


def test_a_job_killed_from_outside_fails_the_asset_at_once_and_says_what_that_means(compute: Compute) -> None:
    compute.program("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "exit code: 137 (its process was killed from outside, mostly for want of memory" in failure_of(
        materialize(compute)
    )
    assert len(compute.jobs()) == 1, "where memory is short another attempt helps nobody"


def test_a_job_that_reports_nothing_is_a_failure(compute: Compute) -> None:
    compute.program(SILENT)
    assert "reported no materialization" in failure_of(materialize(compute))


def test_a_job_over_its_time_is_a_failure_that_says_so(compute: Compute) -> None:
    compute.program("import time; time.sleep(60)")
    assert "longer than its MaxRuntimeInSeconds" in failure_of(materialize(compute, max_runtime_s=1))


RUN_IN_A_PROCESS_OF_ITS_OWN = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("pipes_tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
sys.exit(0 if tests.materialize(tests.Compute(pathlib.Path(sys.argv[2]))).success else 1)
"""


def start(compute: Compute) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", RUN_IN_A_PROCESS_OF_ITS_OWN, __file__, str(compute.root)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_a_job(compute: Compute, status: str, *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not any(job["TrainingJobStatus"] == status for job in compute.jobs()):
        assert time.monotonic() < deadline, f"no job became {status}: {compute.jobs()}"
        time.sleep(0.05)


def test_a_killed_dagster_process_neither_loses_nor_repeats_its_job(compute: Compute) -> None:
    compute.program(REPORTING.format(delay=4))
    first = start(compute)
    wait_for_a_job(compute, "InProgress")
    first.send_signal(signal.SIGKILL)
    first.wait()
    result = materialize(compute)
    [event] = result.asset_materializations_for_node("model")
    assert event.metadata["taken_up"].value is True
    assert event.metadata["loss"].value == 1.5, "what the job said is heard in full"
    assert [job["TrainingJobStatus"] for job in compute.jobs()] == ["Completed"]


def test_a_terminated_run_stops_its_job(compute: Compute) -> None:
    compute.program("import time; time.sleep(60)")
    run = start(compute)
    wait_for_a_job(compute, "InProgress")
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    assert run.wait(30) != 0
    wait_for_a_job(compute, "Stopped")


def test_a_failure_of_sagemaker_itself_is_tried_again(compute: Compute) -> None:
    marker = compute.root / "first"
    compute.program(
        f"""
        import os, pathlib, signal, time
        from dagster_pipes import open_dagster_pipes
        if not pathlib.Path({str(marker)!r}).exists():
            pathlib.Path({str(marker)!r}).touch()
            os.kill(os.getppid(), signal.SIGKILL)  # the supervisor: what an instance that dies looks like
            time.sleep(60)
        with open_dagster_pipes() as pipes:
            pipes.report_asset_materialization(metadata={{}})
        """
    )

    @dg.asset
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        run = compute.pipes().run(context=context, kind="training", request=request(), retries=1)
        return run.materialization()

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([model], instance=instance).success
    assert sorted(job["TrainingJobStatus"] for job in compute.jobs()) == ["Completed", "Failed"]
