"""How a SageMaker job can fail its asset, by name.

Dagster retries none of these: retries are spent by the client, where the reason is known.
"""

from collections.abc import Mapping

import dagster as dg


class JobFailedError(dg.Failure):
    """A SageMaker job did not complete, or completed without what it promised.

    Attributes:
        job_name: The job.
        status: As SageMaker calls it.
        reason: Why, in words.
    """

    def __init__(self, *, name: str, status: str, reason: str, description: str | None = None) -> None:
        self.job_name, self.status, self.reason = name, status, reason
        super().__init__(
            description=description or f"SageMaker job {name} ended as {status}: {reason}",
            metadata={"job": name, "status": status, "reason": reason},
            allow_retries=False,
        )


class JobTimeoutError(JobFailedError):
    """A job had not ended after the longest wait, and was stopped."""

    def __init__(self, *, name: str, waited_s: float, state: str, status: str) -> None:
        ended = "it was stopped" if status == "Stopped" else f"it was told to stop and is {status} still"
        super().__init__(
            name=name,
            status=status,
            reason=f"not ended {waited_s:.0f} s after its creation, when it was {state}; {ended}",
            description=f"SageMaker job {name} had not ended {waited_s:.0f} s after its creation (max_wait_s), when it "
            f"was {state}: {ended}. Raise max_wait_s, or take an instance type that is faster or easier to get",
        )


class NoCapacityError(JobFailedError):
    """No instance type of the list is to be had.

    Attributes:
        said: By instance type, what SageMaker said.
    """

    def __init__(self, *, name: str, said: Mapping[str, str]) -> None:
        self.said = dict(said)
        each = "; ".join(f"{instance_type}: {reason}" for instance_type, reason in said.items())
        super().__init__(
            name=name,
            status="Failed",
            reason=each,
            description=f"no instance type can be had for SageMaker job {name}. {each}. Try again later, add "
            "instance_types, or ask AWS for a higher quota",
        )


class JobRequestError(JobFailedError):
    """SageMaker refused the request of a job; nothing was started."""

    def __init__(self, *, name: str, said: str) -> None:
        super().__init__(
            name=name,
            status="Refused",
            reason=said,
            description=f"SageMaker refused to create job {name}: {said}. Nothing was started; mend the request",
        )


class EnvironmentTooLongError(JobRequestError):
    """A variable of a job's environment is longer than SageMaker takes.

    Attributes:
        variable: Its name.
        length: Characters of its value.
        longest: Characters that SageMaker takes.
    """

    def __init__(self, *, name: str, variable: str, length: int, longest: int) -> None:
        self.variable, self.length, self.longest = variable, length, longest
        shorter = (
            "take a shorter bucket or prefix for the messages"
            if variable.startswith("DAGSTER_PIPES_")
            else "pass it as a file"
        )
        super().__init__(
            name=name,
            said=f"its environment variable {variable} has {length} characters, at most {longest} go: {shorter}",
        )
