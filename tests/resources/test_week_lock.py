"""The lock of a week: one run at a time, let go however the run ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from resources.clock import Clock
from resources.lake import Lake, LakeWriteError
from resources.week_lock import Holder, WeekBusyError, WeekLock, hold

ROOT = Path(__file__).parents[2]
WEEK = date(2023, 11, 10)
ME = Holder("mine", os.getpid(), "2023-11-16T00:00:00+00:00")
WEEKS = dg.WeeklyPartitionsDefinition(start_date="2023-01-06", day_offset=5)

# A process that holds the week and says so; it ends when its input does.
HOLDER = """
import os, sys
from datetime import date
from pathlib import Path
from resources.week_lock import Holder, hold
with hold(Path(sys.argv[1]), date(2023, 11, 10), Holder("theirs", os.getpid(), "2023-11-15T10:30:00+00:00")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lake" / "_locks" / "week=2023-11-10"


@pytest.fixture
def other(path: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_week_that_another_process_makes_is_refused_by_the_name_of_its_run(
    path: Path, other: "subprocess.Popen[bytes]"
) -> None:
    with pytest.raises(WeekBusyError) as caught, hold(path, WEEK, ME):
        pass
    other.communicate()
    assert caught.value.holder == Holder("theirs", other.pid, "2023-11-15T10:30:00+00:00")
    message = str(caught.value)
    for words in ("week 2023-11-10", "run theirs", f"process {other.pid}", "since 2023-11-15T10:30", "changed nothing"):
        assert words in message
    with hold(path, WEEK, ME) as lost:
        assert lost is None, "it ended in order"


def test_the_week_of_a_killed_process_is_free_and_its_run_is_named(
    path: Path, other: "subprocess.Popen[bytes]"
) -> None:
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with hold(path, WEEK, ME) as lost:
        assert lost is not None
        assert (lost.run_id, lost.pid) == ("theirs", other.pid)
        assert json.loads(path.read_text())["run_id"] == "mine"
    with hold(path, WEEK, ME) as lost:
        assert lost is None


def test_two_runs_of_one_process_exclude_each_other_too(path: Path) -> None:
    with hold(path, WEEK, ME), pytest.raises(WeekBusyError, match="run mine"), hold(path, WEEK, ME):
        pass


def test_a_holder_that_has_not_said_who_it_is_still_holds(path: Path) -> None:
    with hold(path, WEEK, ME):
        path.write_text("")
        with pytest.raises(WeekBusyError, match="made by another run; this run changed nothing"), hold(path, WEEK, ME):
            pass


@pytest.mark.parametrize("left", ["{", "[1]", '{"run_id": "x"}'])
def test_what_else_stands_in_a_lock_names_nobody(path: Path, left: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(left)
    with hold(path, WEEK, ME) as lost:
        assert lost is None


def test_a_lock_that_cannot_be_written_is_a_named_error(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("a file where a folder should be")
    with pytest.raises(LakeWriteError, match="cannot write .*_locks"), hold(path, WEEK, ME):
        pass


# -- in a run -------------------------------------------------------------------------------------------------------


def run(lake: Lake, body: Callable[[], None], *, instance: dg.DagsterInstance, week: date = WEEK) -> object:
    @dg.asset(partitions_def=WEEKS)
    def table(week_lock: WeekLock) -> None:
        body()

    @dg.asset(deps=["table"], partitions_def=WEEKS)
    def further(week_lock: WeekLock) -> None:
        body()

    lock = WeekLock(lake=lake, clock=Clock(fixed=ME.since))
    return dg.materialize(
        [table, further],
        resources={"week_lock": lock},
        partition_key=week.isoformat(),
        instance=instance,
        raise_on_error=False,
    )


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(uri=str(tmp_path / "lake"))


def refused(path: Path, week: date) -> bool:
    try:
        with hold(path.with_name(f"week={week}"), week, ME):
            return False
    except WeekBusyError:
        return True


def test_a_run_holds_its_week_and_no_other_through_all_its_steps(lake: Lake, path: Path) -> None:
    seen = []
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(
            lake, lambda: seen.append((refused(path, WEEK), refused(path, date(2023, 11, 3)))), instance=instance
        )
    assert isinstance(done, dg.ExecuteInProcessResult)
    assert done.success
    assert seen == [(True, False)] * 2
    assert not refused(path, WEEK)


def test_a_run_that_fails_lets_go_of_its_week(lake: Lake, path: Path) -> None:
    def fails() -> None:
        assert refused(path, WEEK)
        raise ValueError("no")

    with dg.DagsterInstance.ephemeral() as instance:
        done = run(lake, fails, instance=instance)
    assert isinstance(done, dg.ExecuteInProcessResult)
    assert not done.success
    assert not refused(path, WEEK)


def test_a_run_that_finds_its_week_busy_fails_before_its_first_step_and_is_not_retried(lake: Lake, path: Path) -> None:
    steps: list[int] = []
    with dg.DagsterInstance.ephemeral() as instance:
        with hold(path, WEEK, ME):
            done = run(lake, lambda: steps.append(1), instance=instance)
        assert isinstance(done, dg.ExecuteInProcessResult)
        record = instance.get_run_by_id(done.run_id)
    assert not done.success
    assert steps == []
    assert record is not None
    assert record.tags["dagster/max_retries"] == "0", "Dagster retries runs that fail outside of their steps"
    [failure] = [event for event in done.all_events if event.is_run_failure]
    error = failure.job_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert "run mine" in error.cause.message


def test_a_run_that_follows_a_dead_one_ends_its_record_and_clears_its_leftovers(lake: Lake, path: Path) -> None:
    lake.write_bytes(f"observations/week={WEEK}/.data.parquet.{'0' * 32}", b"half a table")
    lake.write_bytes(f"observations/week=2023-11-03/.data.parquet.{'0' * 32}", b"somebody may be writing this")
    with dg.DagsterInstance.ephemeral() as instance:
        dead = instance.create_run_for_job(dg.GraphDefinition(name="weekly").to_job())
        instance.report_run_canceling(dead)  # any status that is not an end
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run_id": dead.run_id, "pid": 2**22 + 1, "since": ME.since}))
        assert run(lake, lambda: None, instance=instance)
        record = instance.get_run_by_id(dead.run_id)
    assert record is not None
    assert record.status is dg.DagsterRunStatus.FAILURE
    left = [str(path.parent.name) for path in lake.root.rglob(".*")]
    assert left == ["week=2023-11-03"]


def test_a_dead_run_keeps_no_place_in_a_pool(lake: Lake, path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("sagemaker", 1)
        dead = instance.create_run_for_job(dg.GraphDefinition(name="weekly").to_job())
        storage.claim_concurrency_slot("sagemaker", dead.run_id, "tuning_trials")
        assert storage.get_concurrency_info("sagemaker").active_slot_count == 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run_id": dead.run_id, "pid": 2**22 + 1, "since": ME.since}))
        assert run(lake, lambda: None, instance=instance)
        assert storage.get_concurrency_info("sagemaker").active_slot_count == 0


def test_a_lake_that_is_gone_is_not_begun_anew(lake: Lake, path: Path) -> None:
    """A volume that is not mounted leaves an empty folder, in which a run would take every week for new."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(lake, lambda: lake.write_bytes("lake.json", b"{}"), instance=instance)
        lake.root.rename(lake.root.with_name("away"))
        lake.root.mkdir()
        done = run(lake, lambda: lake.write_bytes("lake.json", b"{}"), instance=instance)
        assert isinstance(done, dg.ExecuteInProcessResult)
        [failure] = [event for event in done.all_events if event.is_run_failure]
        error = failure.job_failure_data.error
        assert error is not None
        assert error.cause is not None
        assert error.cause.cls_name == "LakeMissingError"
        assert "not mounted" in error.cause.message
        record = instance.get_run_by_id(done.run_id)
        assert record is not None
        assert record.tags["dagster/max_retries"] == "0", "it is asked for again once the lake is back, not before"
        assert list(lake.root.iterdir()) == []

        lake.root.rmdir()
        lake.root.with_name("away").rename(lake.root)
        done = run(lake, lambda: lake.write_bytes("lake.json", b"{}"), instance=instance)
        assert isinstance(done, dg.ExecuteInProcessResult)
        assert done.success
    other = Lake(uri=str(path.parents[2] / "other"))
    with dg.DagsterInstance.ephemeral() as instance:
        done = run(other, lambda: other.write_bytes("table", b"1"), instance=instance)
        assert isinstance(done, dg.ExecuteInProcessResult)
        assert done.success, "another lake is begun"
