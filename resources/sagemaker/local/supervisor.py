"""The process behind one job or endpoint: it holds the lock, writes the status, owns the children.

Standard library only: it runs without the site packages.
"""

import contextlib
import os
import time
from pathlib import Path

from resources.sagemaker.local import processing, serving, training
from resources.sagemaker.local.processes import kill_group
from resources.sagemaker.local.store import (
    ENDPOINT,
    PROCESSING_JOB,
    TRAINING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    introduce,
    leave_words,
)
from resources.sagemaker.local.supervision import LONGEST_REASON, Supervised


def _transform(job: Supervised) -> None:
    from resources.sagemaker.local import transform  # an HTTP client and threads, which other jobs need not wait for

    transform.supervise(job)


def _tuning(job: Supervised) -> None:
    from resources.sagemaker.local import tuning  # a search, which other jobs need not wait for either

    tuning.supervise(job)


_SUPERVISORS = {
    TRAINING_JOB.folder: (TRAINING_JOB, training.supervise),
    PROCESSING_JOB.folder: (PROCESSING_JOB, processing.supervise),
    TRANSFORM_JOB.folder: (TRANSFORM_JOB, _transform),
    TUNING_JOB.folder: (TUNING_JOB, _tuning),
    ENDPOINT.folder: (ENDPOINT, serving.supervise),
}


def main(folder: str, lock: int) -> None:
    """Supervise the resource in a folder to its end.

    Args:
        folder: The resource's folder.
        lock: Inherited descriptor of its lock, held. No child gets it: it would keep a dead supervisor's resource
            looking alive.
    """
    os.set_inheritable(lock, False)
    home = Path(folder)
    kind, supervise = _SUPERVISORS[home.parent.name]
    resource = Supervised(home)
    try:
        introduce(lock)
        supervise(resource)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the status must say so
        import traceback  # costs time at the start of every job otherwise

        for child in resource.status.get("children", []):
            kill_group(child["pid"], child["started"])
        reason = f"InternalServerError: {type(error).__name__}: {error}"
        times = {
            TRAINING_JOB: "TrainingEndTime",
            PROCESSING_JOB: "ProcessingEndTime",
            TRANSFORM_JOB: "TransformEndTime",
            TUNING_JOB: "HyperParameterTuningEndTime",
        }
        ended = {times[kind]: time.time()} if kind in times else {}
        secondary = {"SecondaryStatus": "Failed"} if kind == TRAINING_JOB else {}
        with contextlib.suppress(OSError):  # a full disk, most likely the error itself
            traceback.print_exc()  # into the supervisor's log, before the status says that there is nothing more
        try:
            resource.save(
                **{f"{kind.name}Status": "Failed"}, FailureReason=reason[:LONGEST_REASON], **ended, **secondary
            )
        except OSError:
            leave_words(lock, reason)
        raise SystemExit(1) from None
