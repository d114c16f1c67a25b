"""Why a run failed, and whether another try may help: time heals what lies outside, not a failed check or bad data.

Errors are known by their names along the chain of causes, because that is what Dagster keeps of them. A name that is
not listed here is final: somebody has to look.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.events import JobFailureData
from dagster_shared.error import SerializableErrorInfo

from resources.aws import THROTTLED

# What keeps a run from its work and is none of its own doing: tried again for as long as the week is wanted.
_OUTSIDE = frozenset(
    {
        *("EiaUnreachableError", "EiaBusyError", "EiaTlsError"),
        *(
            "LakeWriteError",
            "LakeAccessError",
            "LakeMissingError",
            "WeekBusyError",
            "WeekLostError",
            "HistoryWriteError",
        ),
        *("AwsAccessError", "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError"),
        *("ConnectionClosedError", "OperationalError", "InterfaceError"),
        *("EndpointBusyError", "EndpointSlowError", "EndpointStuckError", "EndpointRollbackError"),
        *("ApiUnreachableError", "StackTimeoutError"),
        *("ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError", "TimeoutError"),
        *("DagsterExecutionInterruptedError", "DagsterUserCodeUnreachableError"),
    }
)
# A source that gave something else than a release: no fault of the figures that the run was asked for.
_UNREADABLE = frozenset(
    {
        *("EiaResponseError", "UnknownSeriesError", "ReleaseTooLargeError", "ReleaseFormatError", "WorkbookError"),
        *("UnitError", "SeriesMismatchError", "OlderReleaseError", "WeekNotReleasedError"),
    }
)
_FAULTS_OF_AWS = THROTTLED | {
    *("InternalServerError", "InternalServerException", "InternalFailure", "InternalError"),
    *("ServiceUnavailable", "ServiceUnavailableException", "RequestTimeout"),
}
_CODE = re.compile(r"An error occurred \((\w+)\)")
_OUT_OF_ROOM = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full|database is locked|disk I/O error"
)
_MODULE = re.compile(r"^(?:\w+\.)+(?=\w+:)")
_KILLED = re.compile(r"exit code: (137|143)\b")
_SEVERAL = 6
"""Tries that a dead process, or a job that SageMaker did not bring to its end, is worth: each of them costs."""


@dataclass(frozen=True)
class Failure:
    """Why a run failed.

    Attributes:
        error: The name of what was wrong, such as `EiaUnreachableError`; `Killed` where nothing was recorded.
        said: Its message.
        step: The asset; None where the run as a whole failed.
        tries: How many attempts it is worth: 1 where it is final, infinitely many where it is outside.
        unreadable: Whether the source gave no release of the kind that was asked for.
    """

    error: str
    said: str
    step: str | None
    tries: float
    unreadable: bool = False

    @property
    def passing(self) -> bool:
        """Whether another try may help."""
        return self.tries > 1


def judged(error: BaseException) -> Failure:
    """What an error of this process is, by its name and its causes."""
    return _judged(_recorded(error), None, {})


def why_failed(instance: dg.DagsterInstance, run_id: str) -> Failure:
    """The reason of a failed run: of several the one that is most final.

    Args:
        instance: Where it is recorded.
        run_id: The run.
    """
    events = instance.all_logs(run_id, of_type={dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE})
    found = [event for entry in events if (event := entry.dagster_event) is not None]
    failures = [_of_step(event) for event in found if event.is_step_failure]
    if not failures:
        failures = [_of_run(event) for event in found if event.is_run_failure]
    if not failures:
        return Failure("Killed", "nothing was recorded of its end", None, _SEVERAL)
    return min(failures, key=lambda failure: failure.tries)


def _of_step(event: dg.DagsterEvent) -> Failure:
    data = event.step_failure_data
    given = data.user_failure_data
    facts = {name: str(value.value) for name, value in (given.metadata if given else {}).items()}
    return _judged(data.error, event.step_key, facts)


def _of_run(event: dg.DagsterEvent) -> Failure:
    data = event.event_specific_data
    error = data.error if isinstance(data, JobFailureData) else None  # no data where others found that it had ended
    if error is None:  # the process ended without a word, or never began
        return Failure("Killed", event.message or "its process ended", None, _SEVERAL)
    return _judged(error, None, {})


def _judged(error: SerializableErrorInfo | None, step: str | None, facts: Mapping[str, Any]) -> Failure:
    chain = list(_chain(error))
    for each in chain:
        name, said = each.cls_name or "", _without_module(each.message)
        if name in _OUTSIDE or _OUT_OF_ROOM.search(said) or _is_fault_of_aws(said):
            return Failure(name, said, step, math.inf)
        if name in _UNREADABLE:
            return Failure(name, said, step, 1, unreadable=True)
        if name == "NoCapacityError":
            return Failure(name, said, step, _SEVERAL)
        if name == "JobFailedError":
            return Failure(name, said, step, _tries_of_job(facts))
    last = next((each for each in reversed(chain) if not (each.cls_name or "").startswith("Dagster")), None)
    last = last or (chain[-1] if chain else None)
    if last is None:
        return Failure("Killed", "nothing was recorded of its end", step, _SEVERAL)
    return Failure(last.cls_name or "Error", _without_module(last.message), step, 1)


def _tries_of_job(facts: Mapping[str, Any]) -> float:
    """What a SageMaker job that failed is worth: its own retries are spent by now."""
    status, reason = facts.get("status", ""), facts.get("reason", "")
    if _OUT_OF_ROOM.search(reason):
        return math.inf
    if status == "Stopped" or (reason.startswith(("AlgorithmError", "ClientError")) and not _KILLED.search(reason)):
        return 1
    return _SEVERAL


def _recorded(error: BaseException | None) -> SerializableErrorInfo | None:
    """An error as Dagster records it, without its trace."""
    if error is None:
        return None
    return SerializableErrorInfo(str(error), [], type(error).__name__, cause=_recorded(error.__cause__))


def _without_module(said: str) -> str:
    """What an error said, after its name without the module."""
    return _MODULE.sub("", said.strip())


def _is_fault_of_aws(said: str) -> bool:
    code = _CODE.search(said)
    return code is not None and code[1] in _FAULTS_OF_AWS


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    """An error and its causes, the outermost first."""
    while error is not None:
        yield error
        error = error.cause
