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
    """An operation takes longer than its wait; AWS goes on with it.

    Attributes:
        status: AWS's word for how it stands now.
    """

    def __init__(self, what: str, *, status: str, max_wait_s: float) -> None:
        self.status = status
        super().__init__(
            f"{what} is still {status} after {max_wait_s:g} s: AWS goes on with it; the same command takes it up later"
        )


class BucketNotEmptiedError(AwsError):
    """An object cannot be deleted, so its bucket cannot either; what was deleted before it is gone."""

    def __init__(self, bucket: str, key: str, said: str) -> None:
        super().__init__(
            f"cannot delete {key} from bucket {bucket}: {said}. What came before it is deleted, the rest is there; "
            "`forecast aws teardown --delete-data` goes on from here"
        )
