"""The platform of the year: a machine, its clock, its disk and its settings, and what is read off it."""

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._grpc.client import DagsterGrpcClient
from sqlalchemy.exc import SQLAlchemyError

from forecast_assets.definitions import build_defs
from forecast_assets.refresh import Platform
from resources import clock
from resources.lake import LakeError
from resources.sagemaker.local.clients import register_image
from tests.daemon import Machine, Service
from tests.served import free_port
from tests.webserver import LOCATION
from tests.world import ROOT

SERIES = "WDIUPUS2"
MOUNTED = 'mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@"'
ROOMY = "6g"
DISK = "PETROLEUM_YEAR_DISK"
"""The environment variable that says where the small disk is mounted, if one is."""
LIMIT_S = 300.0

SETTINGS = {
    "FORECAST_SERIES": SERIES,
    "FORECAST_SEARCH": "quick",
    "FORECAST_STEP": "48",
    "FORECAST_MAX_HARMONICS": "2",
    "FORECAST_WORKERS": "1",
    "FORECAST_GATE_TOLERANCE": "1.25",
    "FORECAST_WATCH__INTERVAL_S": "1",
    "FORECAST_WATCH__RETRY_S": "5",
    "FORECAST_WATCH__SAFETY_NET": "* * * * *",  # every minute: what the week is, the platform's clock says
    "FORECAST_RETENTION__CRON": "*/3 * * * *",
    "FORECAST_RETENTION__RUNS_WEEKS": "4",
    "FORECAST_RETENTION__FAILED_RUNS_WEEKS": "2",
    "FORECAST_RETENTION__JOBS_WEEKS": "2",
    "FORECAST_RETENTION__MODELS": "4",
    "FORECAST_RETENTION__LOGS_WEEKS": "2",
}
INSTANCE: dict[str, Any] = {
    "run_monitoring": {"poll_interval_seconds": 3, "free_slots_after_run_end_seconds": 3},
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1},
    },
}
"""What is quicker than in production: how often the daemon looks, never what it does."""


class YearError(Exception):
    """The year cannot go on."""


def wait(look: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """What a look finds once it finds something.

    Raises:
        YearError: It never does.
    """
    end, last = time.monotonic() + limit_s, ""
    while time.monotonic() < end:
        try:
            if found := look():
                return found
        except (OSError, LakeError, SQLAlchemyError) as error:  # the disk may be full, a database locked
            last = f"; the last look failed: {error}"
        time.sleep(0.05)
    raise YearError(f"no {what} within {limit_s:.0f} s{last}")


def in_time(look: Callable[[], Any], limit_s: float) -> None:
    """Give something time; whether it came is asked after."""
    with contextlib.suppress(YearError):
        wait(look, "", limit_s)


def mounting_works() -> bool:
    """Whether this machine lets its users mount a file system of their own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-Urm", "sh", "-c", MOUNTED, "sh", "1m", "/mnt", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Disk:
    """The file system that lake and history are on, where it is one of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_own(self) -> bool:
        return os.environ.get(DISK) == str(self.folder)

    def fill(self) -> str:
        """Leave no room; gives what a write says then.

        Raises:
            YearError: A write still succeeds.
        """
        state = os.statvfs(self.folder)
        used = (state.f_blocks - state.f_bfree) * state.f_frsize
        self._resize(f"{used // 1024}k")
        probe = self.folder / "probe"
        try:
            probe.write_bytes(b"\0" * (1 << 20))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return f"ENOSPC ({error.strerror})"
        finally:
            probe.unlink(missing_ok=True)
        raise YearError("the disk was to be full and takes a megabyte")

    def empty(self) -> None:
        """Give room again."""
        self._resize(ROOMY)

    def _resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.folder)], check=True, capture_output=True)


@dataclass(frozen=True)
class Step:
    """A step of a run that has just begun."""

    run_id: str
    pid: int
    name: str


class YearMachine(Machine):
    """The machine of the year: code server, daemon and webserver apart, by the commands of the systemd units.

    Args:
        disk: Where lake and Dagster's history are.
        folder: Where the rest is: clock, logs.
        source: The address of the release.
        channel: The address that alerts are sent to.
    """

    def __init__(self, disk: Path, folder: Path, source: str, channel: str) -> None:
        self.now_file = folder / "now"
        super().__init__(
            disk,
            source,
            instance=INSTANCE,
            environment={**SETTINGS, "FORECAST_NOW": str(self.now_file), "PETROLEUM_ALERT_URLS": channel},
            logs=folder,
        )
        self.environment["FORECAST_ALERTS__UI"] = self.url
        self._code_port = free_port()
        workspace = folder / "workspace.yaml"
        server = {"host": "127.0.0.1", "port": self._code_port, "location_name": LOCATION}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
        self.code_server = Service(
            *("dagster", "code-server", "start", "--host", "127.0.0.1", "--port", str(self._code_port)),
            *("--module-name", "forecast_assets.definitions", "--working-directory", str(ROOT)),
            *("--location-name", LOCATION),
            environment=self.environment,
            log=folder / "code_server.log",
        )
        self.daemon = Service(
            *("dagster._daemon", "run", "-w", str(workspace)), environment=self.environment, log=folder / "daemon.log"
        )
        self.webserver = Service(
            *("dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(self.port)),
            environment=self.environment,
            log=folder / "webserver.log",
        )
        # This process reads the lake with the same settings.
        os.environ.update({name: value for name, value in self.environment.items() if name.startswith("FORECAST_")})
        self.platform = Platform(build_defs())

    def boots(self, *, watching: bool = True) -> None:
        """Start the code server, and once it answers the two that ask it."""
        self.code_server.start()
        wait(self._code_server_serves, "code server")
        super().boots(watching=watching)

    def _code_server_serves(self) -> bool:
        if not self.code_server.runs():
            raise YearError(f"the code server has ended: {self.code_server.said()}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._code_port)):
                return False
        return DagsterGrpcClient(host="127.0.0.1", port=self._code_port).health_check_query() == "SERVING"

    @property
    def services(self) -> list[Service]:
        """In the order in which they are stopped."""
        return [self.daemon, self.webserver, self.code_server]

    def close(self) -> None:
        self.code_server.kill()
        super().close()

    def set_clock(self, now: datetime) -> None:
        clock.step(self.now_file, now)

    # -- its runs ----------------------------------------------------------------------------------------------------

    def runs_of(self, week: date, job: str | None = None) -> list[dg.DagsterRun]:
        return self.runs(job, week.isoformat())

    def is_idle(self) -> bool:
        """Whether no run waits or runs."""
        unfinished = [
            status for status in dg.DagsterRunStatus if status not in dg._core.storage.dagster_run.FINISHED_STATUSES
        ]
        return not self.instance.get_runs(dg.RunsFilter(statuses=unfinished), limit=1)

    def in_step(self, week: date, step: str, *, limit_s: float = LIMIT_S) -> Step:
        """Wait until a step has begun in a run that lives, and stop that process there.

        Raises:
            YearError: It does not begin, or was over before it could be stopped.
        """
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            found = self._deploying() if step == "forecast_endpoint" else self._refreshing(week)
            if found is None:
                time.sleep(0.02)
                continue
            run_id, pid = found
            if self._steps(run_id, step) == ["STEP_START"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    if self._steps(run_id, step) == ["STEP_START"]:
                        return Step(run_id, pid, step)
                    os.kill(pid, signal.SIGCONT)
                raise YearError(f"{step} of {week} was over before its process could be stopped")
            time.sleep(0.002)
        raise YearError(f"{step} of {week} did not begin within {limit_s:.0f} s")

    def _refreshing(self, week: date) -> tuple[str, int] | None:
        """The run that holds a week, and its process."""
        try:
            holder = json.loads((self.lake.root / "_locks" / f"week={week}").read_text())
        except (OSError, ValueError):
            return None
        return str(holder["run_id"]), int(holder["pid"])

    def _deploying(self) -> tuple[str, int] | None:
        filters = dg.RunsFilter(job_name="deploy", statuses=[dg.DagsterRunStatus.STARTED])
        found = self.instance.get_runs(filters, limit=1)
        return (found[0].run_id, self.worker(found[0].run_id)) if found else None

    def _steps(self, run_id: str, step: str) -> list[str]:
        """The events of a step, as the database of its run has them now."""
        path = self.home_folder / "history" / "runs" / f"{run_id}.db"
        question = (
            "SELECT dagster_event_type FROM event_logs WHERE step_key = ? AND dagster_event_type IN "
            "('STEP_START', 'STEP_SUCCESS', 'STEP_FAILURE') ORDER BY id"
        )
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as database:
                return [row[0] for row in database.execute(question, (step,))]
        except sqlite3.Error:  # not made yet, or being written
            return []

    # -- its training image ------------------------------------------------------------------------------------------

    def take_image(self, script: Path) -> None:
        """Have a script of the tests stand for the training image."""
        sagemaker = self.platform.sagemaker
        command = [sys.executable, "-P", str(script), "train"]
        register_image(sagemaker.root, sagemaker.image("training"), {"train": command})

    # -- commands of an operator -------------------------------------------------------------------------------------

    def operator(self, *arguments: str) -> str:
        """A command of `forecast`; gives what it printed.

        Raises:
            YearError: It failed.
        """
        done = self.start(*arguments)
        code = done.process.wait(LIMIT_S)
        if code:
            raise YearError(f"`forecast {' '.join(arguments)}` failed: {done.said()}")
        return done.said()

    # -- sizes -------------------------------------------------------------------------------------------------------

    def sizes(self) -> Mapping[str, int]:
        """Bytes of what grows: the tables, which are kept, and the state on the way, which retention bounds."""
        found = {"tables": 0, "dagster": 0, "sagemaker": 0, "alerts": 0, "models": 0, "other": 0}
        names = {"_dagster": "dagster", "_sagemaker": "sagemaker", "_alerts": "alerts", "models": "models"}
        for folder, _, files in os.walk(self.lake.root):
            relative = Path(folder).relative_to(self.lake.root).parts
            kind = names.get(relative[0] if relative else "", "tables" if relative else "other")
            for file in files:
                with contextlib.suppress(OSError):
                    state = (Path(folder) / file).lstat()
                    found[kind] += state.st_blocks * 512
        return found


def inside_a_disk(folder: Path, arguments: list[str]) -> None:
    """Run this program again, its lake on a disk of its own; does not return."""
    os.environ[DISK] = str(folder)
    script = [sys.executable, "-W", "ignore", "-m", "tests.year", *arguments]
    os.chdir(ROOT)
    os.execvp("unshare", ["unshare", "-Urm", "sh", "-c", MOUNTED, "sh", ROOMY, str(folder), *script])
