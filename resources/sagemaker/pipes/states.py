"""The states of a job, told as they change."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from resources.sagemaker.pipes.kinds import JobKind, Request


class StateLog:
    """Tells each change of a job's state once, however often it is looked at.

    Args:
        kind: Of the job.
        name: The job.
        say: Told of each change.
    """

    def __init__(self, kind: JobKind, name: str, *, say: Callable[[str], object]) -> None:
        self._kind, self._name, self._say = kind, name, say
        self._told: set[str] = set()

    def look(self, description: Request) -> None:
        """Tell what has changed since the last description."""
        for change in self._changes(description):
            if change not in self._told:
                self._told.add(change)
                self._say(f"SageMaker job {self._name}: {change}")

    def _changes(self, description: Request) -> Iterator[str]:
        steps = description.get("SecondaryStatusTransitions", [])
        for step in steps:
            message = f" ({step['StatusMessage']})" if step.get("StatusMessage") else ""
            yield f"{step['Status']} since {_time(step['StartTime'])}{message}"
        state = self._kind.state(description)
        if not steps or steps[-1]["Status"] != state:  # Stopping is no step of its own
            yield state
        counters = description.get("TrainingJobStatusCounters")
        if counters:
            yield _progress(counters)


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S} UTC"


def _progress(counters: Request) -> str:
    """How far a tuning job is."""
    failed = counters.get("NonRetryableError", 0)
    stopped = counters.get("Stopped", 0)
    parts = [
        f"{counters.get('Completed', 0)} completed",
        f"{counters.get('InProgress', 0)} in progress",
        *([f"{failed} failed"] if failed else []),
        *([f"{stopped} stopped"] if stopped else []),
    ]
    return f"training jobs: {', '.join(parts)}"
