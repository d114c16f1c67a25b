"""A machine that runs the platform: Dagster's daemon and webserver as processes, which tests start and kill.

Nothing here knows what is being proved; waiting is for what happened, never for an amount of time.
"""

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from resources.tags import PARTITION_TAG
from tests.refreshes import Site, end, processes_of, until
from tests.served import free_port
from tests.webserver import LOCATION, Webserver
from tests.world import ROOT

READY_S = 120.0

_START = """mutation ($selector: SensorSelector!) {
    startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } }
}"""


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping with changes; a value of None takes its key away."""
    result = {name: value for name, value in base.items() if name not in changes or changes[name] is not None}
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping):
            result[name] = merged(base[name], value)
        elif value is not None:
            result[name] = value
    return result


class Service:
    """One of Dagster's long-lived processes. What it prints is appended to one log over all its lives.

    Args:
        module: What Python runs.
        arguments: What it is told.
        environment: Where it runs.
        log: Path of its log.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = environment
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        assert not self.runs(), "it runs already"
        self.started_at = time.time()
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, "it was never started"
        return self.process.pid

    def kill(self) -> None:
        """`kill -9`: what it has started is left alone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, limit_s: float = 60.0) -> None:
        """As systemd stops it; it takes its own code server down."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(limit_s)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


class Machine(Site, Webserver):
    """A lake on this machine, and the daemon and the webserver that work on it.

    Args:
        folder: Where the lake, the logs and, unless told, Dagster's home in the lake are.
        source: Where figures come from: a path or a URL.
        home: Dagster's home.
        instance: Changes to the project's `dagster.yaml`, nested; None takes a section away.
        environment: Changes to the environment of all processes.
        logs: Folder of what the processes print.
    """

    def __init__(
        self,
        folder: Path,
        source: Path | str,
        *,
        home: Path | None = None,
        instance: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
    ) -> None:
        super().__init__(folder, Path(), logs=logs)
        self.home_folder = home or self.lake.root / "_dagster"
        self.home_folder.mkdir(parents=True, exist_ok=True)
        configured = yaml.safe_load((ROOT / "dagster.yaml").read_text())
        (self.home_folder / "dagster.yaml").write_text(yaml.safe_dump(merged(configured, instance or {})))
        self.environment |= {"FORECAST_EIA_SOURCE": str(source), "DAGSTER_HOME": str(self.home_folder)}
        self.environment |= environment or {}
        self._history = contextlib.ExitStack()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        logs = logs or folder
        self.daemon = Service(
            *("dagster._daemon", "run", "-w", "workspace.yaml"),
            environment=self.environment,
            log=logs / "daemon.log",
        )
        self.webserver = Service(
            *("dagster_webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(self.port)),
            environment=self.environment,
            log=logs / "webserver.log",
        )

    # -- its life ----------------------------------------------------------------------------------------------------

    def boots(self, *, watching: bool = True) -> None:
        """Start daemon and webserver, and wait until both are ready.

        Args:
            watching: Whether sensors and schedules are left running; stopped once, they stay so.
        """
        self.webserver.start()
        if watching:
            self.daemon.start()
        self.webserver_is_ready()
        if not watching:
            self.stops_watching()
            self.daemon.start()
        self.daemon_is_ready()

    def daemon_is_ready(self) -> None:
        """Wait until every daemon thread has been heard of since the daemon's start."""

        def look() -> bool:
            assert self.daemon.runs(), self.daemon.said()
            beats = self.instance.get_daemon_heartbeats()
            needed = self.instance.get_required_daemon_types()
            return all(name in beats and beats[name].timestamp >= self.daemon.started_at for name in needed)

        until(look, "daemon", READY_S)

    def webserver_is_ready(self) -> None:
        def look() -> bool:
            assert self.webserver.runs(), self.webserver.said()
            return self.answers()

        until(look, "webserver", READY_S)

    def dies(self) -> None:
        """Everything that runs here, at once: services, code servers, workers, supervisors, containers, gateway."""
        while running := processes_of(self.lake.root):
            end(running)
        for service in (self.daemon, self.webserver):
            service.kill()

    def close(self) -> None:
        for service in (self.daemon, self.webserver):
            service.kill()
        self._history.close()
        end(set(self.processes()) - set(self.jobs()) - self._api())  # code servers and workers: nobody waits for them
        super().close()

    def _api(self) -> set[int]:
        return {self.gateway()} if (self.lake.root / "_api" / "lock").exists() else set()

    # -- its parts ---------------------------------------------------------------------------------------------------

    def code_servers(self) -> set[int]:
        """The processes that hold the code location: one of the daemon, one of the webserver."""
        return {pid for pid, command in self.processes().items() if re.search(r"dagster api grpc|code-server", command)}

    def code_server_of(self, service: Service) -> int:
        """The code server that a service has started."""

        def look() -> int | None:
            return next((pid for pid in self.code_servers() if parent_of(pid) == service.pid), None)

        return int(until(look, "code server", READY_S))

    def worker(self, run_id: str) -> int:
        """The process of a run, once it has said that it started."""

        def look() -> int | None:
            for event in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
                said = event.dagster_event.message if event.dagster_event else None
                if found := re.match(r"Started process for run \(pid: (\d+)\)", said or ""):
                    return int(found[1])
            return None

        return int(until(look, f"process of run {run_id}"))

    def workers(self) -> set[int]:
        """The processes of runs."""
        return {pid for pid, command in self.processes().items() if "multiprocessing.spawn" in command}

    # -- its runs ----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def instance(self) -> dg.DagsterInstance:
        """Its history, read past the webserver; opened once, as opening it is slow."""
        return self._history.enter_context(dg.DagsterInstance.from_config(str(self.home_folder)))

    def runs(self, job: str | None = None, week: str | None = None) -> list[dg.DagsterRun]:
        """Its runs, the newest first."""
        filters = dg.RunsFilter(job_name=job, tags={PARTITION_TAG: week} if week else {})
        return list(self.instance.get_runs(filters))

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None, run_id
        return found

    def stops_watching(self) -> None:
        """Stop all sensors and schedules, as a person does in the UI."""
        for repository in self.repositories():
            for each in repository["sensors"]:
                self.ask("mutation ($id: String!) { stopSensor(id: $id) { __typename } }", id=each["sensorState"]["id"])
            for each in repository["schedules"]:
                state = each["scheduleState"]["id"]
                self.ask("mutation ($id: String!) { stopRunningSchedule(id: $id) { __typename } }", id=state)

    def watches(self, *names: str) -> None:
        """Start these sensors, as a person does in the UI."""
        for name in names:
            selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "sensorName": name}
            started = self.ask(_START, selector=selector)["startSensor"]
            assert started["__typename"] == "Sensor", started

    def ends(self, run_id: str) -> dg.DagsterRunStatus:
        """Wait until a run has ended, and say how."""
        found: dg.DagsterRun = until(
            lambda: run if (run := self.run(run_id)).is_finished else None, f"end of run {run_id}"
        )
        return found.status

    def begins(self, run_id: str, step: str) -> None:
        """Wait until a step of a run has begun."""

        def look() -> bool:
            started = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
            return any(event.step_key == step for event in started)

        until(look, f"{step} of run {run_id}")

    def retry_of(self, run_id: str) -> str:
        """The run that Dagster starts after a run that died."""

        def look() -> str | None:
            return self.run(run_id).tags.get("dagster/auto_retry_run_id")

        return str(until(look, f"another attempt after run {run_id}"))


def parent_of(pid: int) -> int | None:
    """The parent of a process; None where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def signalled(pids: set[int], number: signal.Signals) -> None:
    """Send processes a signal; those that have ended are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
