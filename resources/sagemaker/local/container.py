"""Running the container of a job: its command, its log, its metrics, its limits.

Standard library only: supervisors import this without the site packages.
"""

import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resources.sagemaker.local.logs import LogWriter
from resources.sagemaker.local.processes import (
    container_environment,
    signal_group,
    start_child,
    started_at,
)
from resources.sagemaker.local.store import Wire
from resources.sagemaker.local.supervision import ClientFaultError, Supervised, setting

_LOOK_S = 0.5
_DRAIN_S = 5.0


class MetricScan:
    """The last value of each metric that a container prints, found by the request's regular expressions."""

    def __init__(self, definitions: list[Wire]) -> None:
        self._expressions = [(item["Name"], re.compile(item["Regex"])) for item in definitions]
        self._last: dict[str, Wire] = {}

    def read(self, line: str) -> None:
        """Look for metrics in one line of output; what is not a number is none."""
        for name, expression in self._expressions:
            for match in expression.finditer(line):
                try:
                    value = float(match[1])
                except (ValueError, TypeError):
                    continue
                self._last[name] = {"MetricName": name, "Value": value, "Timestamp": time.time()}

    @property
    def final(self) -> list[Wire]:
        """What DescribeTrainingJob calls FinalMetricDataList."""
        return list(self._last.values())


Cut = Literal["Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "Interrupted"]


@dataclass(frozen=True)
class Ended:
    """How a container ended.

    Attributes:
        code: Exit code, as a shell gives it: 128 + n after signal n.
        cut: Why it was ended, or None where it ended by itself.
        seconds: How long it ran.
        last_line: The last it printed, where it failed by itself: on a full disk it can say why nowhere else.
    """

    code: int
    cut: Cut | None
    seconds: float
    last_line: str


def run(
    job: Supervised,
    command: list[str],
    *,
    environment: Mapping[str, str],
    log_group: str,
    limit_s: float,
    metrics: MetricScan,
    wait_until: float = float("inf"),
) -> Ended:
    """Run a job's container to its end, or to the end of its time.

    It is asked to stop with SIGTERM, has 120 s (``SAGEMAKER_LOCAL_STOP_GRACE_S``) and is then killed; whatever else
    is left of its process group is killed too.

    Args:
        job: Whose it is.
        command: What stands for starting it.
        environment: What the request has for it.
        log_group: Where its output goes.
        limit_s: How long it may run.
        metrics: Looks for metrics in its output.
        wait_until: When a job on spot instances must have ended, in seconds since 1970.

    Raises:
        ClientFaultError: The command cannot be started.
    """
    began = time.time()
    log = LogWriter(job.root, log_group, f"{job.home.name}/algo-1-{int(began)}")
    try:
        process, output = start_child(command, environment=container_environment(environment), folder=job.home)
    except OSError as error:
        raise ClientFaultError(f"The command of the image cannot be started: {error}") from error
    job.save(children=[{"pid": process.pid, "started": started_at(process.pid)}])

    said = [""]

    def read() -> None:
        for line in log.copy(output):
            metrics.read(line)
            said[0] = line

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    cut: Cut | None = None
    kill_at = float("inf")
    while process.poll() is None:
        job.pause(_LOOK_S)
        now = time.time()
        if cut is None and (cut := _cut(job, ran=now - began > limit_s, waited=now > wait_until)):
            kill_at = now + setting("STOP_GRACE_S", 120)
            process.terminate()
        if now > kill_at:
            signal_group(process.pid, signal.SIGKILL)
    signal_group(process.pid, signal.SIGKILL)  # what it left behind holds its output open, and must not outlive it
    reader.join(_DRAIN_S)
    job.save(children=[])
    code = process.returncode
    return Ended(code if code >= 0 else 128 - code, cut, time.time() - began, said[0] if 0 < code < 128 else "")


def _cut(job: Supervised, *, ran: bool, waited: bool) -> Cut | None:
    if job.stopping:
        return "Stopped"
    if waited:
        return "MaxWaitTimeExceeded"
    if ran:
        return "MaxRuntimeExceeded"
    return "Interrupted" if job.interrupted() else None


def text_of(path: Path) -> str:
    """What a container wrote into a file for its readers, or an empty text."""
    try:
        return path.read_text(errors="replace").strip()
    except (FileNotFoundError, IsADirectoryError):
        return ""
