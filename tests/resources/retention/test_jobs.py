"""Retention of what the SageMaker of this machine made, by a clock that steps from week to week."""

import fcntl
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.clock import Clock, step
from resources.lake import Lake
from resources.retention import Ages
from resources.retention.jobs import old_jobs, old_streams
from resources.sagemaker.local.logs import stream_path
from resources.sagemaker.local.store import PROCESSING_JOB, TRAINING_JOB, TUNING_JOB, Kind, Store
from resources.sagemaker.platform import SageMaker

FIRST = datetime(2023, 1, 4, 15, 30, tzinfo=UTC)
ROLE = "arn:aws:iam::000000000000:role/forecast"
RECORDS = {
    TRAINING_JOB: {"RoleArn": ROLE},
    PROCESSING_JOB: {"RoleArn": ROLE},
    TUNING_JOB: {"HyperParameterTuningJobConfig": {"Strategy": "Random", "ResourceLimits": {}}},
}


class Twin:
    """A lake with jobs of the past, which never ran."""

    def __init__(self, folder: Path) -> None:
        self._now = folder / "now"
        self.lake = Lake(uri=str(folder / "lake"))
        self.sagemaker = SageMaker(role_arn=ROLE, lake=self.lake)
        self.sagemaker.client()
        self.root = self.sagemaker.root
        self.go_to(0)

    def go_to(self, week: float) -> None:
        step(self._now, FIRST + timedelta(weeks=week))

    @property
    def ages(self) -> Ages:
        return Ages(Clock(fixed=str(self._now)))

    def job(self, kind: Kind, name: str, status: str = "Completed") -> None:
        """A job that stands so, with its log, its messages and its outputs."""
        home, now = Store(self.root).folder(kind, name), time.time()
        home.mkdir(parents=True)
        born = {f"{kind.name}Name": name, f"{kind.name}Arn": kind.arn(name), "CreationTime": now}
        (home / "request.json").write_text(json.dumps(RECORDS[kind] | born))
        (home / "status.json").write_text(json.dumps({f"{kind.name}Status": status, "LastModifiedTime": now}))
        (home / "lock").touch()
        self.log({TRAINING_JOB: "TrainingJobs"}.get(kind, "ProcessingJobs"), f"{name}/algo-1")
        for path in (self.root / "pipes" / name / "messages.jsonl", self.lake.root / "jobs" / name / "out" / "model"):
            path.parent.mkdir(parents=True)
            path.write_text("x" * 100)

    def log(self, group: str, stream: str) -> None:
        path, now = stream_path(self.root, group, stream), int(time.time() * 1000)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"timestamp": now, "message": "hello", "ingestionTime": now}) + "\n")

    def tidy(self, *busy: str, weeks: int = 4) -> list[str]:
        gone = [
            *old_jobs(self.sagemaker, self.ages, weeks=weeks, busy=busy),
            *old_streams(self.sagemaker, self.ages, weeks=weeks),
        ]
        for removal in gone:
            removal.remove()
        return [removal.name for removal in gone]

    def found(self, name: str) -> set[str]:
        """What there is of a job."""
        return {
            path.relative_to(self.lake.root).parts[-2 if path.name != "algo-1.jsonl" else -3]
            for path in self.lake.root.rglob("*")
            if path.name == name and not path.is_symlink()
        }


@pytest.fixture
def twin(tmp_path: Path) -> Twin:
    return Twin(tmp_path)


ALL = {"train", "TrainingJobs", "pipes", "jobs"}


def test_what_ended_long_ago_goes_with_its_log_and_a_week_later_with_its_files(twin):
    twin.job(TRAINING_JOB, "candidate-model-2022-12-30-0")
    twin.go_to(3.9)
    assert twin.tidy() == []
    twin.job(TRAINING_JOB, "candidate-model-2023-01-27-0")
    twin.go_to(4.1)
    assert twin.tidy() == ["candidate-model-2022-12-30-0"]
    assert twin.found("candidate-model-2022-12-30-0") == {"pipes", "jobs"}
    twin.go_to(5.1)
    assert len(twin.tidy()) == 2
    assert twin.found("candidate-model-2022-12-30-0") == set()
    assert twin.found("candidate-model-2023-01-27-0") == ALL
    assert twin.tidy() == []


@pytest.mark.parametrize("kind", [TRAINING_JOB, PROCESSING_JOB, TUNING_JOB], ids=lambda kind: kind.path)
def test_every_kind_of_job_goes(twin, kind):
    twin.job(kind, "one")
    twin.go_to(5)
    assert twin.tidy() == ["one"]
    assert not Store(twin.root).folder(kind, "one").exists()


def test_a_job_that_runs_stays(twin):
    twin.job(TRAINING_JOB, "one", "InProgress")
    with (Store(twin.root).folder(TRAINING_JOB, "one") / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as its supervisor does
        twin.go_to(500)
        assert [removal.kind for removal in old_jobs(twin.sagemaker, twin.ages, weeks=4, busy=())] == [
            "files of jobs"
        ] * 2


def test_a_week_at_work_keeps_what_its_run_may_take_up(twin):
    twin.job(TRAINING_JOB, "candidate-model-2022-12-30-0")
    twin.go_to(500)
    assert twin.tidy("2022-12-30") == []
    assert twin.found("candidate-model-2022-12-30-0") == ALL


def test_checkpoints_go_one_by_one(twin):
    for name, weeks in (("tuning-2022-12-30-a", 0), ("tuning-2023-03-03-b", 9)):
        twin.go_to(weeks)
        (twin.lake.root / "jobs" / "checkpoints" / name).mkdir(parents=True)
        (twin.lake.root / "jobs" / "checkpoints" / name / "state").write_text("x")
    twin.go_to(10)
    assert twin.tidy() == ["tuning-2022-12-30-a"]
    kept = (twin.lake.root / "jobs" / "checkpoints").iterdir()
    assert [path.name for path in kept] == ["tuning-2023-03-03-b"]


def test_an_endpoint_keeps_its_newest_log_however_quiet(twin):
    for name in ("AllTraffic/i-1", "AllTraffic/i-2"):
        twin.log("Endpoints/demand", name)
        time.sleep(0.002)  # a later millisecond
    twin.go_to(100)
    assert twin.tidy() == ["/aws/sagemaker/Endpoints/demand AllTraffic/i-1"]
    assert [path.name for path in (twin.root / "logs").rglob("*.jsonl")] == ["i-2.jsonl"]


def test_a_killed_removal_leaves_nothing_that_is_found_half(twin, monkeypatch):
    twin.job(TRAINING_JOB, "one")
    twin.go_to(6)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr("shutil.rmtree", killed)
        for removal in list(old_jobs(twin.sagemaker, twin.ages, weeks=4, busy=())):
            with pytest.raises(KeyboardInterrupt):
                removal.remove()
    assert twin.found("one") == {"train", "TrainingJobs"}
    assert twin.tidy() == ["one"]
    twin.lake.storage.sweep(abandoned_s=0)
    assert twin.found("one") == set()
    assert not list(twin.lake.root.rglob(".gone-*"))


@pytest.mark.slow
def test_jobs_level_off(twin):
    counts = []
    for number in range(20):
        twin.go_to(number)
        twin.job(TRAINING_JOB, f"candidate-{number}")
        twin.job(PROCESSING_JOB, f"counterfactual-{number}")
        twin.tidy()
        counts.append(sum(path.is_file() for path in twin.lake.root.rglob("*")))
    assert set(counts[8:]) == {counts[8]}
