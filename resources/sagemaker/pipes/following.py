"""Following one job to its end: its state, its log, what it says through Pipes, and the longest wait."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from resources.sagemaker.pipes.control import JobControl
from resources.sagemaker.pipes.errors import JobFailedError, JobTimeoutError
from resources.sagemaker.pipes.kinds import FINAL, Request
from resources.sagemaker.pipes.log import LogFollower
from resources.sagemaker.pipes.messages import JobMessageReader
from resources.sagemaker.pipes.states import StateLog

# A container has 120 s to end by itself after it is told to; then outputs are uploaded.
_STOPS_WITHIN_S = 900
_SPOT_ENDS_WITHIN_S = 300


@dataclass(frozen=True)
class Following:
    """What is looked at while a job runs.

    Attributes:
        control: Describes and stops it.
        log: Its log.
        states: Its states.
        reader: Its messages; None where no process of ours runs in it.
        poll_interval_s: Seconds between two looks.
        log_delay_s: Seconds that the last lines of a log take to arrive.
    """

    control: JobControl
    log: LogFollower
    states: StateLog
    reader: JobMessageReader | None
    poll_interval_s: float
    log_delay_s: float

    def to_the_end(self, name: str, *, max_wait_s: float | None) -> Request:
        """Follow a job.

        Args:
            name: The job.
            max_wait_s: Seconds from its creation to its end; a job that takes longer is stopped.

        Returns:
            Its final description.

        Raises:
            JobTimeoutError: It took longer.
            JobFailedError: It is gone.
        """
        kind = self.control.kind
        told_at: float | None = None
        late, ran = "", False
        while True:
            description = self.control.describe(name)
            if description is None:
                raise JobFailedError(name=name, status="Failed", reason="the job is gone")
            self.states.look(description)
            self.log.follow()
            status, age = kind.status(description), _age_s(description)
            if status in FINAL:
                break
            ran = True
            if self.reader is not None:
                self.reader.read()
            if told_at is None and age > (limit := _limit_s(description, max_wait_s)):
                told_at, late = time.monotonic(), kind.state(description)
                self.control.warn(f"SageMaker job {name} has not ended in {limit:.0f} s: stopping it")
                self.control.stop(name)
            if told_at is not None and time.monotonic() > told_at + _STOPS_WITHIN_S:
                raise JobTimeoutError(name=name, waited_s=age, state=late, status=status)
            time.sleep(self.poll_interval_s)
        if self.reader is not None:
            self.reader.finish()
        if ran and self.log_delay_s:
            time.sleep(self.log_delay_s)
            self.log.follow()
        if late and status != "Completed":
            raise JobTimeoutError(name=name, waited_s=age, state=late, status=status)
        return description


def _age_s(description: Request) -> float:
    """Seconds since a job was created."""
    created: datetime = description["CreationTime"]
    return (datetime.now(UTC) - created).total_seconds()


def _limit_s(description: Request, max_wait_s: float | None) -> float:
    """The longest wait for a job. A spot job has a limit of its own, which is SageMaker's to keep: it says more."""
    own = description.get("StoppingCondition", {}).get("MaxWaitTimeInSeconds", -math.inf)
    return math.inf if max_wait_s is None else max(max_wait_s, own + _SPOT_ENDS_WITHIN_S)
