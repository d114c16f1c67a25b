"""Dagster's daemon and webserver at work: whatever dies, the week comes, once, and nothing is left behind."""

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from tests.daemon import Machine, parent_of
from tests.refreshes import numbers, until
from tests.world import WEEK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROMPT = {"run_monitoring": {"poll_interval_seconds": 2}}
"""The instance as it is configured, only asked more often."""


@pytest.fixture(scope="module")
def machine(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    made = Machine(folder, shared_data / "weekly", home=folder / "home", instance=PROMPT)
    yield made
    made.close()
    assert made.processes() == {}


def killed(*pids: int) -> None:
    """`kill -9` all of them at once."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_a_week_whose_worker_code_server_daemon_and_webserver_are_killed_comes_once(
    machine: Machine, undisturbed: dict[str, str]
) -> None:
    machine.boots(watching=False)
    first = machine.launch("weekly_refresh", week=WEEK.isoformat())
    machine.begins(first, "observations")
    killed(machine.worker(first))

    second = machine.retry_of(first)
    job = machine.running_job("tuning_trials")
    worker = machine.worker(second)
    server = parent_of(worker)
    assert server in machine.code_servers()
    killed(worker, server)  # so that nobody is left who watched the worker

    third = machine.retry_of(second)
    worker = machine.worker(third)
    machine.begins(third, "candidate_model")
    abandoned = {machine.code_server_of(machine.daemon)}
    machine.daemon.kill()
    machine.webserver.kill()
    assert worker in machine.workers(), "a run goes on without daemon and webserver"
    machine.boots()
    assert machine.ends(third) is DagsterRunStatus.SUCCESS

    assert [run.status for run in machine.runs("weekly_refresh", WEEK.isoformat())] == [
        DagsterRunStatus.SUCCESS,
        DagsterRunStatus.FAILURE,
        DagsterRunStatus.FAILURE,
    ]
    assert numbers(machine.lake) == undisturbed
    assert machine.unfinished() == []
    assert [home.name for home in (machine.lake.root / "_sagemaker" / "train").glob("tuning-trials-*")] == [job]
    until(lambda: not abandoned & machine.code_servers(), "end of the code server that its daemon left")


@contextlib.contextmanager
def locked(machine: Machine) -> Iterator[None]:
    """Dagster's databases, in the hands of another process, as by a backup or a file manager that looks inside."""
    names = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
    with contextlib.ExitStack() as stack:
        for name in names:
            held = stack.enter_context(contextlib.closing(sqlite3.connect(machine.home_folder / name, timeout=60)))
            held.isolation_level = None
            held.execute("BEGIN EXCLUSIVE")
        yield


def test_a_week_comes_though_dagsters_databases_are_locked_at_its_launch_and_in_its_middle(
    machine: Machine, undisturbed: dict[str, str]
) -> None:
    if not machine.daemon.runs():
        machine.boots(watching=False)
    run = machine.launch("weekly_refresh", week=WEEK.isoformat())
    said = machine.daemon.said().count("database is locked")
    with locked(machine):
        until(lambda: machine.daemon.said().count("database is locked") > said, "refused write of the daemon")

    machine.begins(run, "release")
    worker = machine.worker(run)
    with locked(machine):
        until(lambda: worker not in machine.workers(), "end of a worker that cannot write its events")
    assert machine.ends(run) is DagsterRunStatus.FAILURE
    assert machine.ends(machine.retry_of(run)) is DagsterRunStatus.SUCCESS
    assert numbers(machine.lake) == undisturbed
    until(lambda: len(machine.code_servers()) == 2, "end of code servers that nobody needs")
