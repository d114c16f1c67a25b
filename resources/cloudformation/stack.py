"""A CloudFormation stack, brought to a template by change sets."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from resources.aws import AwsError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

Progress = Callable[[str], None]


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


class Stack:
    """One stack.

    Args:
        client: boto3 client of CloudFormation.
        name: Of the stack.
    """

    def __init__(self, client: "CloudFormationClient", name: str) -> None:
        self._client, self.name = client, name

    def deploy(self, template: str, parameters: Mapping[str, str], *, max_wait_s: float, progress: Progress) -> bool:
        """Bring the stack to a template through a change set, making it where there is none.

        Returns:
            False where it was there already and nothing had to change.

        Raises:
            StackFailedError: It was rolled back.
        """
        raise NotImplementedError

    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name.

        Raises:
            StackMissingError: There is no such stack.
        """
        raise NotImplementedError

    def delete(self, *, max_wait_s: float, progress: Progress) -> bool:
        """Take the stack down; False where there was none.

        Raises:
            StackFailedError: A resource could not be deleted.
        """
        raise NotImplementedError
