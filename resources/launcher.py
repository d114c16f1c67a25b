"""The launcher of runs: Dagster's own, which also tells whether the process of a run still lives.

Dagster's counts a run as running until somebody says otherwise, and nobody does once its process and the code server
that watched it have died together: with a machine, for one. The run would block the queue for its week for ever.
`dagster.yaml` names this class; the daemon then asks it about every run, ends those whose process is gone and starts
them again.
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.client import DagsterGrpcClient
from dagster._serdes import ConfigurableClassData

from resources.machine import machine
from resources.tags import NO_RETRY

MACHINE_TAG = "forecast/machine"
"""Where the process of a run is: see `machine`."""

_CODE_SERVER_TAG = ".dagster/grpc_info"
_HERE = {"localhost", "127.0.0.1", "::1"}
_CLOCK_SLACK_S = 60.0
_NEW_SERVER_S = 90.0
"""Within which the daemon has another code server: it looks for one once a minute, and a process starts."""
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, asked whether runs still live.

    Args:
        inst_data: As Dagster hands it over.
        only_machine: Whether this history is of one machine at a time, so that a run of another one died with it: a
            task of ECS, which a new version replaces, or a machine that was restored elsewhere.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None, *, only_machine: bool = False) -> None:
        super().__init__(inst_data)
        self._only_machine = only_machine
        self._made_at = time.time()
        self._gone_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """What `dagster.yaml` may say."""
        return {"only_machine": dg.Field(bool, default_value=False, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """The launcher that `dagster.yaml` describes."""
        return cls(inst_data, only_machine=config_value["only_machine"])

    @property
    def supports_check_run_worker_health(self) -> bool:
        """So that the daemon asks."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run, and note on which machine that is."""
        self._instance.add_run_tags(context.dagster_run.run_id, {MACHINE_TAG: machine()})
        super().launch_run(context)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run that has started is alive.

        What runs elsewhere cannot be asked and counts as alive, until `max_runtime_seconds` ends it. What died with its
        code server counts as alive until there is another one: Dagster tries to start a dead run again in the next
        seconds, and once only.
        """
        elsewhere = self._elsewhere(run)
        if elsewhere is not None:
            return elsewhere
        process = self._process(run.run_id)
        if process is None:  # it has not said yet who it is
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        pid, said_at = process
        age_s = age_of(pid)
        if age_s is None:
            return self._gone(run, said_at, f"its process ({pid}) is gone")
        if age_s < time.time() - said_at - _CLOCK_SLACK_S:
            return self._gone(run, said_at, f"its process ({pid}) is gone, and another one has its number")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _elsewhere(self, run: dg.DagsterRun) -> CheckRunHealthResult | None:
        """What can be said of a run that is not on this machine, as it was started; None of one that is."""
        place, here = run.tags.get(MACHINE_TAG), machine()
        if place == here and _is_local(run):
            return None
        name, _, _ = (place or "").partition(" ")
        if place is not None and self._only_machine and name != here.split()[0]:
            return self._dead(run, f"it was on another machine ({name}), which this one has replaced")
        if place is None or not _is_local(run) or name != here.split()[0]:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process is not on this machine: it cannot be asked")
        return self._dead(run, "its machine was started again")

    def _gone(self, run: dg.DagsterRun, began_at: float, why: str) -> CheckRunHealthResult:
        """A run of this machine whose process is gone: dead as soon as it can be started again."""
        server = _code_server(run)
        now = time.time()
        waited_s = now - self._gone_since.setdefault(run.run_id, now)
        of_an_earlier_daemon = "socket" in server and began_at < self._made_at
        if server and not of_an_earlier_daemon and waited_s < _NEW_SERVER_S and not answers(server):
            return CheckRunHealthResult(WorkerStatus.RUNNING, f"{why} with its code server: another one is waited for")
        del self._gone_since[run.run_id]
        return self._dead(run, why)

    def _dead(self, run: dg.DagsterRun, why: str) -> CheckRunHealthResult:
        if not _code_server(run):  # a command ran it: nobody but its user can start it again
            self._instance.add_run_tags(run.run_id, NO_RETRY)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, why)

    def _process(self, run_id: str) -> tuple[int, float] | None:
        """The process of a run by number, and the time at which it said so."""
        for entry in self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            pid = event.engine_event_data.metadata.get("pid") if event is not None else None
            if pid is not None:
                return int(str(pid.value)), entry.timestamp
        return None


def _code_server(run: dg.DagsterRun) -> Mapping[str, Any]:
    """Where the code server is that started a run: host and port, or socket; nothing where a command did."""
    found: Mapping[str, Any] = json.loads(run.tags.get(_CODE_SERVER_TAG, "{}"))
    return found


def _is_local(run: dg.DagsterRun) -> bool:
    """Whether the code server that started a run, if one did, is on the machine of the daemon."""
    server = _code_server(run)
    return "socket" in server or server.get("host", "localhost") in {*_HERE, os.uname().nodename}


def answers(server: Mapping[str, Any]) -> bool:
    """Whether a code server is there, by host and port or by socket."""
    try:
        DagsterGrpcClient(**server).ping("")
    except DagsterUserCodeUnreachableError:
        return False
    return True


def age_of(pid: int) -> float | None:
    """Seconds since a process started; None where it has ended."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return None if fields[0] in "ZX" else uptime_s - int(fields[19]) / _TICKS_A_SECOND
    shown = subprocess.run(
        ["/bin/ps", "-o", "stat=,etime=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, elapsed = shown.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else _seconds(elapsed.strip())


def _seconds(elapsed: str) -> float:
    """What `ps` means by `[[days-]hours:]minutes:seconds`."""
    days, _, clock = elapsed.rpartition("-")
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(86_400 * int(days or 0) + total)
