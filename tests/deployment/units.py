"""The systemd units of docs/deployment, read as systemd reads them, and started where there is no systemd."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.refreshes import until
from tests.served import free_port
from tests.webserver import Webserver, patiently
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


class Machine(Webserver):
    """A machine on which the units are installed: their commands, with its own folders and ports for theirs.

    Attributes:
        state: Stands for /var/lib/petroleum.
        environment: Stands for /etc/petroleum/environment.
    """

    def __init__(self, state: Path, environment: Mapping[str, str], *, config: str) -> None:
        self.state, self.environment = state, dict(environment)
        self._ports = {"4266": str(free_port()), "3000": str(free_port())}
        self.url = f"http://127.0.0.1:{self._ports['3000']}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for folder in ("dagster", "tmp", "deployment"):
            (state / folder).mkdir(parents=True)
        (state / "dagster" / "dagster.yaml").write_text((ROOT / config).read_text())
        workspace = (DEPLOYMENT / "workspace.yaml").read_text().replace("4266", self._ports["4266"])
        (state / "deployment" / "workspace.yaml").write_text(workspace)

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
        process = self._running[service]
        process.send_signal(signal.SIGTERM)
        process.wait(float(read(f"{service}.service")["Service"]["TimeoutStopSec"][0]))
        del self._running[service]

    def kill(self, service: str) -> None:
        process = self._running.pop(service)
        process.kill()
        process.wait()

    def start_all(self) -> None:
        for service in SERVICES:
            self.start(service)
        self.is_up()

    def close(self) -> None:
        """Take down the services, then whatever a code server has left in its session."""
        with ExitStack() as left:
            for process in self._running.values():
                left.callback(_kill_session, process)
            for service in tuple(self._running):
                self.stop(service)

    def log(self, service: str) -> str:
        return (self.state / f"{service}.log").read_text()

    def is_up(self) -> None:
        """Wait until its webserver answers, and has loaded the code."""

        def look() -> bool:
            for service, process in self._running.items():
                assert process.poll() is None, self.log(service)
            return self.answers() and bool(patiently(self.repositories))

        until(look, "webserver", every_s=0.3)

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


def _kill_session(leader: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    leader.wait()
