"""What can go wrong with a stack."""

from resources.aws import AwsError


class StackError(AwsError):
    """A stack is not as asked."""


class StackMissingError(StackError):
    """There is no such stack."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no stack {name}: make it with `forecast aws bootstrap`, or the job `deploy`")


class StackFailedError(StackError):
    """A stack did not come to its template; CloudFormation has rolled it back.

    Attributes:
        status: CloudFormation's word for how it stands now.
        reasons: What failed first, resource by resource.
    """

    def __init__(self, name: str, *, status: str, reasons: tuple[str, ...]) -> None:
        self.status, self.reasons = status, reasons
        super().__init__(f"stack {name} ended as {status}: {'; '.join(reasons) or 'CloudFormation gives no reason'}")


class StackRefusedError(StackError):
    """CloudFormation refuses the request; the stack is as it was."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"CloudFormation refuses to change stack {name}, which is as it was: {reason}")


class StackTimeoutError(StackError):
    """An operation takes longer than its wait; CloudFormation goes on with it.

    Attributes:
        status: CloudFormation's word for how it stands now.
    """

    def __init__(self, name: str, *, status: str, max_wait_s: float) -> None:
        self.status = status
        super().__init__(
            f"stack {name} is still {status} after {max_wait_s:g} s: CloudFormation goes on; ask again later, the "
            "same command takes it up"
        )
