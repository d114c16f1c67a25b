"""Whether the process of a run lives: asked of real processes and of a real history."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from resources.launcher import MACHINE_TAG, WatchedRunLauncher, age_of, answers
from resources.machine import machine
from tests.refreshes import until
from tests.served import free_port
from tests.world import ROOT

NOBODY = 2**22 + 1
"""The number of no process: above what Linux hands out."""


def served_by(**server: str | int) -> dict[str, str]:
    """The tags of a run that a code server has started."""
    return {".dagster/grpc_info": json.dumps({"host": "localhost", **server})}


SERVER = served_by(socket="/nonexistent/code")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A history that the project's own configuration describes."""
    home = tmp_path_factory.mktemp("history")
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(home)) as found:
        assert found.run_launcher is not None  # made when first asked for
        yield found


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as found:
        yield found
        found.kill()


@pytest.fixture(scope="module")
def code_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A code server that answers, as the tags of its runs name it."""
    code = tmp_path_factory.mktemp("code") / "definitions.py"
    code.write_text("import dagster as dg\ndefs = dg.Definitions()\n")
    port = free_port()
    command = [sys.executable, "-m", "dagster", "api", "grpc", "-f", str(code), "-p", str(port), "-h", "localhost"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        until(lambda: answers({"host": "localhost", "port": port}), "code server")
        yield served_by(port=port)
        server.terminate()


def started(instance: dg.DagsterInstance, pid: int | None, **tags: str) -> dg.DagsterRun:
    """A run that a process has taken up."""
    run = create_run_for_test(
        instance, "weekly_refresh", status=DagsterRunStatus.STARTED, tags={MACHINE_TAG: machine(), **tags}
    )
    if pid is not None:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    return run


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[WorkerStatus, str]:
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    assert launcher.supports_check_run_worker_health
    found = launcher.check_run_worker_health(run)
    return found.status, found.msg or ""


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: now)


def test_a_run_is_running_while_its_process_lives(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    assert health(instance, started(instance, sleeper.pid, **SERVER))[0] is WorkerStatus.RUNNING


def test_a_run_is_gone_with_its_process_even_before_that_is_waited_for(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes], code_server: dict[str, str]
) -> None:
    run = started(instance, sleeper.pid, **code_server)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    for _ in range(2):
        assert health(instance, run) == (WorkerStatus.NOT_FOUND, f"its process ({sleeper.pid}) is gone")
        sleeper.wait()


def test_a_later_process_of_the_same_number_is_not_taken_for_it(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time() - 3600
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: before)
        run = started(instance, sleeper.pid, **SERVER)
    status, said = health(instance, run)
    assert status is WorkerStatus.NOT_FOUND
    assert said == f"its process ({sleeper.pid}) is gone, and another one has its number"


def test_a_run_that_died_with_its_code_server_is_given_up_when_there_is_another_one(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster tries to start it again at once and no second time: who says so too early loses it."""
    run = started(instance, NOBODY, **SERVER)
    for elapsed_s in (0, 60):
        with monkeypatch.context() as patch:
            later(patch, elapsed_s)
            assert health(instance, run) == (
                WorkerStatus.RUNNING,
                f"its process ({NOBODY}) is gone with its code server: another one is waited for",
            )
    later(monkeypatch, 100)
    assert health(instance, run) == (WorkerStatus.NOT_FOUND, f"its process ({NOBODY}) is gone")


def test_a_run_that_an_earlier_daemon_began_waits_for_no_code_server(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon that is asked has one of its own."""
    with monkeypatch.context() as patch:
        later(patch, -3600)
        run = started(instance, NOBODY, **SERVER)
    assert health(instance, run) == (WorkerStatus.NOT_FOUND, f"its process ({NOBODY}) is gone")


def test_a_code_server_apart_is_waited_for_by_every_daemon(
    instance: dg.DagsterInstance, code_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started again by itself, and answers where it did."""
    with monkeypatch.context() as patch:
        later(patch, -3600)
        away = started(instance, NOBODY, **served_by(port=free_port()))
        back = started(instance, NOBODY, **code_server)
    assert health(instance, away)[0] is WorkerStatus.RUNNING
    assert health(instance, back)[0] is WorkerStatus.NOT_FOUND


def test_a_run_from_before_the_machine_was_started_again_is_gone(instance: dg.DagsterInstance) -> None:
    before = f"{os.uname().nodename} 1c0ffee5-0000-4000-8000-000000000000 pid:[1]"
    run = started(instance, os.getpid(), **SERVER, **{MACHINE_TAG: before})
    assert health(instance, run) == (WorkerStatus.NOT_FOUND, "its machine was started again")


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param({MACHINE_TAG: "elsewhere 1 2"}, id="machine"),
        pytest.param({".dagster/grpc_info": json.dumps({"host": "code.example", "port": 4266})}, id="code server"),
    ],
)
def test_what_runs_elsewhere_is_not_judged_by_the_processes_of_this_machine(
    instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    status, said = health(instance, started(instance, NOBODY, **{**SERVER, **tags}))
    assert status is WorkerStatus.RUNNING
    assert "cannot be asked" in said


def test_a_run_that_has_not_named_its_process_is_given_time(instance: dg.DagsterInstance) -> None:
    assert health(instance, started(instance, None, **SERVER))[0] is WorkerStatus.RUNNING


def test_a_command_that_died_is_not_started_again_behind_its_users_back(instance: dg.DagsterInstance) -> None:
    run = started(instance, NOBODY)
    assert health(instance, run)[0] is WorkerStatus.NOT_FOUND
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    instance.report_run_failed(found)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.tags["dagster/will_retry"] == "false"


def test_the_age_of_a_process_is_read_off_the_machine() -> None:
    assert age_of(NOBODY) is None
    age_s = age_of(os.getpid())
    assert age_s is not None
    assert 0 < age_s < 86_400


def test_daemon_and_webserver_find_the_launcher_wherever_they_are_started(tmp_path: Path) -> None:
    """It is a module of this distribution, not of the folder that a process is started in."""
    configured = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_launcher"]
    code = f"import importlib; print(importlib.import_module({configured['module']!r}).{configured['class']}.__name__)"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == WatchedRunLauncher.__name__


def test_where_one_machine_follows_another_a_run_of_the_one_before_is_gone(instance: dg.DagsterInstance) -> None:
    run = started(instance, os.getpid(), **SERVER, **{MACHINE_TAG: "elsewhere boot pid:[1]"})
    assert health(instance, run)[0] is WorkerStatus.RUNNING
    launcher = WatchedRunLauncher(only_machine=True)
    launcher.register_instance(instance)
    found = launcher.check_run_worker_health(run)
    assert (found.status, found.msg) == (
        WorkerStatus.NOT_FOUND,
        "it was on another machine (elsewhere), which this one has replaced",
    )
    here = started(instance, os.getpid(), **SERVER)
    assert launcher.check_run_worker_health(here).status is WorkerStatus.RUNNING
