"""A code server looks after its runs again once the history can be written."""

import logging
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Self

import dagster as dg
import pytest
from dagster._grpc.server import DagsterApiServer

from resources.code_server import LOOK, patient

DEAD = "5d1c"


class FullDiskError(Exception):
    pass


class History:
    """A history on a disk that may be full."""

    def __init__(self) -> None:
        self.is_full, self.failed = True, list[str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_run_by_id(self, run_id: str) -> SimpleNamespace:
        return SimpleNamespace(run_id=run_id, is_finished=False)

    def report_engine_event(self, *_: object, **__: object) -> None:
        if self.is_full:
            raise FullDiskError

    def report_run_failed(self, run: SimpleNamespace) -> None:
        self.failed.append(run.run_id)


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    found = History()
    monkeypatch.setattr(dg.DagsterInstance, "from_ref", lambda _: found)
    return found


@pytest.fixture
def server() -> DagsterApiServer:
    """A code server of which a run has just died, and which was asked to end."""
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    made = object.__new__(DagsterApiServer)
    made._logger = logging.getLogger("server")
    made._execution_lock = threading.Lock()
    made._executions = {DEAD: (process, None)}
    made._termination_events, made._termination_times = {DEAD: threading.Event()}, {}
    made._shutdown_once_executions_finish_event, made._server_termination_event = threading.Event(), threading.Event()
    made._shutdown_once_executions_finish_event.set()
    return made


def test_dagsters_own_look_ends_with_the_first_error(server: DagsterApiServer, history: History) -> None:
    """Once it does not any more, there is nothing to mend."""
    with pytest.raises(FullDiskError):
        LOOK(server)


def test_the_code_location_mends_the_server_that_loads_it() -> None:
    command = """
from dagster._grpc.server import DagsterApiServer
from forecast_assets.definitions import defs
defs()
print(DagsterApiServer._check_for_orphaned_runs.__module__, DagsterApiServer._check_for_orphaned_runs.__qualname__)
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["resources.code_server", "patient.<locals>.look_again"], done.stderr


def test_the_death_of_a_run_is_noted_once_the_disk_has_room_and_the_server_ends(
    server: DagsterApiServer, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DagsterApiServer, "_check_for_orphaned_runs", patient(LOOK))
    ticks = threading.Thread(target=server._cleanup_thread, daemon=True)
    ticks.start()
    ticks.join(1.5)
    assert ticks.is_alive(), "an error ended it"
    assert not history.failed
    history.is_full = False
    ticks.join(20)
    assert not ticks.is_alive()
    assert history.failed == [DEAD]
