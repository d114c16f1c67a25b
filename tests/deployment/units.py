"""The systemd units of docs/deployment, read as systemd reads them, and started where there is no systemd."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.served import free_port
from tests.world import ROOT

DEPLOYMENT = ROOT / "docs" / "deployment"
SERVICES = ("petroleum-code", "petroleum-daemon", "petroleum-webserver")
Unit = dict[str, dict[str, list[str]]]


def read(name: str) -> Unit:
    """A unit's settings by section and key, every value of a key in order."""
    unit: Unit = {}
    for line in (DEPLOYMENT / name).read_text().splitlines():
        if (heading := re.fullmatch(r"\[(\w+)\]", line)) is not None:
            section = unit.setdefault(heading[1], {})
        elif line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return unit


def until(look: Callable[[], Any], *, what: str, seconds: float = 300) -> Any:
    """The first answer that is neither None nor False."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.3)
    return found


class UnansweredError(Exception):
    """The webserver answers with an error."""


def patiently(ask: Callable[[], Any]) -> Any:
    """An answer, in spite of the errors that each connection gives once after its database was restarted."""

    def answer() -> list[Any]:
        try:
            return [ask()]
        except UnansweredError:
            return []

    return until(answer, what="an answer")[0]


class Machine:
    """A machine on which the units are installed: their commands, with its own folders and ports for theirs.

    Attributes:
        state: Stands for /var/lib/petroleum.
        environment: Stands for /etc/petroleum/environment.
    """

    def __init__(self, state: Path, environment: Mapping[str, str], *, config: str) -> None:
        self.state, self.environment = state, dict(environment)
        self._ports = {"4266": str(free_port()), "3000": str(free_port())}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for folder in ("dagster", "tmp", "deployment"):
            (state / folder).mkdir(parents=True)
        (state / "dagster" / "dagster.yaml").write_text((ROOT / config).read_text())
        workspace = (DEPLOYMENT / "workspace.yaml").read_text().replace("4266", self._ports["4266"])
        (state / "deployment" / "workspace.yaml").write_text(workspace)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['3000']}"

    def here(self, text: str) -> str:
        """What a unit says, for this machine."""
        text = text.replace("/opt/petroleum/docs/deployment/workspace.yaml", f"{self.state}/deployment/workspace.yaml")
        text = text.replace("/opt/petroleum/.venv/bin/", f"{Path(sys.executable).parent}/")
        text = text.replace("/opt/petroleum", str(ROOT)).replace("/var/lib/petroleum", str(self.state))
        return re.sub(r"\b(4266|3000)\b", lambda match: self._ports[match[1]], text)

    def variables(self, service: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
        said = (each.partition("=") for each in read(f"{service}.service")["Service"]["Environment"])
        return kept | {key: self.here(value) for key, _, value in said} | self.environment

    def start(self, service: str) -> None:
        unit = read(f"{service}.service")["Service"]
        [command] = unit["ExecStart"]
        for before in unit.get("ExecStartPre", []):
            subprocess.run(
                shlex.split(self.here(before)),
                env=self.variables(service),
                capture_output=True,
                timeout=float(unit["TimeoutStartSec"][0]),
                check=True,
            )
        with (self.state / f"{service}.log").open("ab") as log:
            self._running[service] = subprocess.Popen(
                shlex.split(self.here(command)),
                cwd=ROOT,
                env=self.variables(service),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, service: str) -> None:
        """As `systemctl stop` with KillMode=process, or a mode that finds nobody else to end."""
        process = self._running.pop(service)
        process.send_signal(signal.SIGTERM)
        process.wait(float(read(f"{service}.service")["Service"]["TimeoutStopSec"][0]))

    def kill(self, service: str) -> None:
        process = self._running.pop(service)
        process.kill()
        process.wait()

    def start_all(self) -> None:
        for service in SERVICES:
            self.start(service)
        until(self.answers, what="the webserver")
        until(self.repositories, what="the code location")

    def close(self) -> None:
        """Take down the services, then whatever a code server has left in its session."""
        groups = [process.pid for process in self._running.values()]
        for service in tuple(self._running):
            self.stop(service)
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def log(self, service: str) -> str:
        return (self.state / f"{service}.log").read_text()

    def answers(self) -> bool:
        for service, process in self._running.items():
            assert process.poll() is None, self.log(service)
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            raise UnansweredError(str(error)) from error
        if "errors" in content:
            raise UnansweredError(str(content["errors"]))
        return dict(content["data"])

    def repositories(self) -> list[dict[str, Any]]:
        """What is loaded, with its sensors and schedules."""
        found = self.ask(
            """{ repositoriesOrError { ... on RepositoryConnection { nodes {
                sensors { name sensorState { status } } schedules { name scheduleState { status } } } } } }"""
        )
        return list(found["repositoriesOrError"]["nodes"])

    def launch(self, job: str, **tags: str) -> str:
        """Queue a job; its run's id."""
        launched = self.ask(
            """mutation ($parameters: ExecutionParams!) {
                launchPipelineExecution(executionParams: $parameters) {
                    __typename
                    ... on LaunchRunSuccess { run { runId } }
                    ... on PythonError { message }
                }
            }""",
            parameters={
                "selector": {
                    "repositoryLocationName": "petroleum_demand",
                    "repositoryName": "__repository__",
                    "pipelineName": job,
                },
                "runConfigData": {},
                "mode": "default",
                "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
            },
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def status(self, run: str) -> str:
        asked = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.ask(asked, id=run)["runOrError"]["status"])

    def ended(self, run: str, *, seconds: float = 400) -> str:
        def end() -> str | None:
            status = patiently(lambda: self.status(run))
            return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None

        try:
            return str(until(end, what=f"the end of run {run}", seconds=seconds))
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.events(run)[-5:]}") from None

    def events(self, run: str) -> list[str]:
        """What a run has said."""
        asked = """query ($id: ID!) { logsForRun(runId: $id) {
            ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
        return [each.get("message", "") for each in self.ask(asked, id=run)["logsForRun"]["events"]]

    def well(self) -> bool:
        """Whether every daemon that is needed says that it is."""
        asked = self.ask("{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }")
        statuses = asked["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses if status["required"])

    def forecast(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`forecast`, as somebody types it on this machine."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("forecast")), *arguments],
            cwd=ROOT,
            env=self.variables("petroleum-daemon") | {"COLUMNS": "300"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
