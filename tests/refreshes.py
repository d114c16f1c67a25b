"""`forecast refresh` as a user starts it: a process, whose stages are read off what it prints."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.lake import Lake, content_digest
from resources.sagemaker.endpoint import ModelEndpoint
from resources.sagemaker.endpoint.configs import serverless
from resources.sagemaker.platform import SageMaker
from tests.world import ROOT, WEEK

SERIES = "WREUPUS2"
ENDPOINT = "petroleum-demand"
JOBS = {"counterfactual": "process", "tuning_trials": "train", "candidate_model": "train"}
LIMIT_S = 240.0
SMALL = {
    "FORECAST_SERIES": SERIES,
    "FORECAST_SEARCH": "quick",
    "FORECAST_STEP": "24",
    "FORECAST_MAX_HARMONICS": "2",
    "FORECAST_WORKERS": "1",
}
QUESTION = {"periods": 10, "conf": 0.9, "series": SERIES}
UNFINISHED = re.compile(r"\..*[0-9a-f]{32}")


def until(look: Callable[[], Any], what: str, limit_s: float = LIMIT_S, *, every_s: float = 0.005) -> Any:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(every_s)
    pytest.fail(f"no {what} within {limit_s:.0f} s")


def processes_of(folder: Path) -> dict[int, str]:
    """The processes that have a folder in their command line or environment: the command line by number."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            command, state = (entry / "cmdline").read_bytes(), (entry / "stat").read_text().rpartition(")")[2]
            if str(folder).encode() in command + (entry / "environ").read_bytes() and state.split()[0] != "Z":
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
    return found


def end(processes: Iterable[int]) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Refresh:
    """A `forecast refresh` that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def begins(self, stage: str) -> None:
        """Wait until a stage has begun."""
        until(lambda: f"• {stage}\n" in self.said() or self.process.poll() is not None, stage)
        assert f"• {stage}\n" in self.said(), self.said()

    def ends(self) -> int:
        return self.process.wait(LIMIT_S)

    def dies(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.ends() == -signal.SIGKILL, self.said()


class CommandLine:
    """The command line as processes of their own, with a small search.

    Args:
        logs: Folder for what they print.
        environment: The settings of the lake, and whatever else is to be in their environment.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._logs = logs, 0
        self._started: list[subprocess.Popen[bytes]] = []
        # Nor the history of another lake, which a command run in this process may have named.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
        self.environment = {**kept, **SMALL, **environment}

    def start(self, *arguments: str) -> Refresh:
        self._logs += 1
        log = self._folder / f"{self._logs}.log"
        command = [Path(sys.executable).with_name("forecast"), *arguments]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self._started.append(process)
        return Refresh(process, log)

    def end(self) -> None:
        """End what a test that failed left running."""
        for process in self._started:
            process.kill()
            process.wait()

    def refresh(self) -> Refresh:
        return self.start("refresh", "--week", WEEK.isoformat())

    def completes(self) -> Refresh:
        refresh = self.refresh()
        assert refresh.ends() == 0, refresh.said()
        return refresh


class Site(CommandLine):
    """A lake on this machine, and the command line that works on it."""

    def __init__(self, folder: Path, source: Path, *, logs: Path | None = None) -> None:
        self.lake = Lake(uri=str(folder / "lake"))
        super().__init__(logs or folder, {"FORECAST_LAKE_URI": self.lake.uri, "FORECAST_EIA_SOURCE": str(source)})

    def endpoint(self) -> ModelEndpoint:
        sagemaker = SageMaker(role_arn="arn:aws:iam::000000000000:role/forecast", lake=self.lake)
        return ModelEndpoint(
            sagemaker.client(),
            sagemaker.runtime(),
            name=ENDPOINT,
            role_arn=sagemaker.role_arn,
            capacity=serverless(memory_mb=1024, max_concurrency=20),
            keep=3,
            poll_s=0.1,
        )

    def asks(self) -> Any:
        """What the endpoint answers."""
        return self.endpoint().invoke(QUESTION)

    def close(self) -> None:
        if self.endpoint().status() is not None:
            self.endpoint().delete()
        until(lambda: not self.jobs(), "end of the jobs")
        end(self.processes())
        until(lambda: not self.processes(), "end of the gateway")

    # -- processes ---------------------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """What runs for this lake: the command line by number."""
        return processes_of(self.lake.root)

    def jobs(self) -> dict[int, str]:
        return {pid: command for pid, command in self.processes().items() if "_sagemaker/" in command}

    def supervisor(self, kind: str, name: str) -> int:
        return int((self.home(kind, name) / "lock").read_text())

    def gateway(self) -> int:
        """The process of the API."""
        return int((self.lake.root / "_api" / "lock").read_text().split()[0])

    def child(self, kind: str, name: str) -> int | None:
        """The process that a supervisor runs."""
        status = json.loads((self.home(kind, name) / "status.json").read_text())
        children = status.get("children", [])
        return children[0]["pid"] if children else None

    def home(self, kind: str, name: str) -> Path:
        return self.lake.root / "_sagemaker" / kind / name

    def running_job(self, stage: str) -> str:
        """The name of the job of a stage, once its container runs."""
        stem, kind = f"{stage.replace('_', '-')}-{WEEK}", JOBS[stage]

        def look() -> str | None:
            homes = (self.lake.root / "_sagemaker" / kind).glob(f"{stem}-*")
            return next((home.name for home in homes if self.child(kind, home.name) is not None), None)

        return str(until(look, f"job of {stage}"))

    # -- what there is -----------------------------------------------------------------------------------------------

    def unfinished(self) -> list[Path]:
        return [path for path in self.lake.root.rglob(".*") if UNFINISHED.fullmatch(path.name)]

    def unended_runs(self) -> list[dg.DagsterRun]:
        with dg.DagsterInstance.from_config(str(self.lake.root / "_dagster")) as instance:
            runs = instance.get_runs()
        return [run for run in runs if run.job_name == "weekly_refresh" and not run.is_finished]


def numbers(lake: Lake, keys: Iterable[str] | None = None) -> dict[str, str]:
    """The content of every table, file of the candidate and model; not when figures were fetched.

    Args:
        lake: A lake.
        keys: What is in it, where it is not on this machine.
    """
    found, models = {}, []
    for key in sorted(keys or (path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*"))):
        folder, *rest = key.split("/")
        if re.fullmatch(r"\w+/week=[^/]+/data\.parquet", key):
            table = lake.read(folder, WEEK)
            found[folder] = content_digest(table.drop(columns="fetched_at", errors="ignore"))
        elif folder == "candidates" and len(rest) == 2:
            found[rest[1]] = lake.storage.read(key).decode()
        elif folder == "models" and rest:
            models.append(rest[0])
    return found | {"models": str(sorted(set(models)))}
