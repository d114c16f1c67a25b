"""A CloudFormation stack, brought to a template by change sets."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from resources.aws import asking, error_code
from resources.cloudformation.errors import (
    StackError,
    StackFailedError,
    StackMissingError,
    StackRefusedError,
    StackTimeoutError,
)
from resources.cloudformation.operation import Operation, Progress, Wait, under_way

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

__all__ = [
    "Progress",
    "Stack",
    "StackError",
    "StackFailedError",
    "StackMissingError",
    "StackRefusedError",
    "StackTimeoutError",
]

_MAX_TEMPLATE_BYTES = 51_200  # of a template in a request; a larger one has to be in a bucket

# What CloudFormation says, in words only, of a change set without a change.
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")
_OVERTAKEN = {"InvalidChangeSetStatus", "InvalidChangeSetStatusException", "ChangeSetNotFound"}

# A stack that never came up, or was to go: nothing but to delete it is possible.
_ONLY_DELETABLE = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}


class _ChangeSet(NamedTuple):
    """The ARNs of a change set and of its stack."""

    arn: str
    stack: str


class Stack:
    """One stack.

    Args:
        client: boto3 client of CloudFormation.
        name: Of the stack.
        tags: Of the stack and of everything in it.
        poll_interval_s: Seconds between two looks at an operation.
    """

    def __init__(
        self,
        client: "CloudFormationClient",
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        poll_interval_s: float = 3,
    ) -> None:
        self._client, self.name = client, name
        self._tags = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        self._poll_interval_s = poll_interval_s

    def deploy(self, template: str, parameters: Mapping[str, str], *, max_wait_s: float, progress: Progress) -> bool:
        """Bring the stack to a template through a change set, making it where there is none.

        An operation that is under way is waited for, and what a failed one left is mended first: a stack that never
        came up is deleted, a rollback that got stuck is continued.

        Args:
            template: As YAML or JSON, at most 51,200 bytes.
            parameters: By name; one that is not given takes the default of the template.
            max_wait_s: Longest wait for all of it.
            progress: Told of every resource that is done.

        Returns:
            False where it was there already and nothing had to change.

        Raises:
            StackFailedError: It was rolled back.
            StackRefusedError: The template or a parameter is wrong; nothing was begun.
            StackTimeoutError: It takes longer than `max_wait_s`.
            AwsAccessError: The account refuses.
        """
        size = len(template.encode())
        if size > _MAX_TEMPLATE_BYTES:
            raise StackRefusedError(self.name, f"the template has {size:,} bytes, {_MAX_TEMPLATE_BYTES:,} are allowed")
        wait = self._wait(max_wait_s)
        with asking(f"deploy stack {self.name}"):
            while True:
                is_new = self._mended(wait, progress) is None
                change_set = self._change_set("CREATE" if is_new else "UPDATE", template, parameters, wait)
                if not self._holds_changes(change_set, is_new=is_new, wait=wait, progress=progress):
                    return False
                if self._executed(change_set, wait, progress):
                    return True
                progress(f"stack {self.name}: another deployment was faster; looking again")

    def adopt(
        self, resource: str, kind: str, identifier: Mapping[str, str], *, max_wait_s: float, progress: Progress
    ) -> bool:
        """Make the stack of one thing that is there already, such as a bucket that an earlier stack left behind.

        The next deployment gives it the properties of the template, and the stack everything else.

        Args:
            resource: Its logical name in the template.
            kind: Its type, such as `AWS::S3::Bucket`.
            identifier: The properties by which CloudFormation finds it.
            max_wait_s: Longest wait for all of it.
            progress: Told when it is done.

        Returns:
            False where there is a stack already.

        Raises:
            StackFailedError: It was rolled back; what was to be adopted is as it was.
            StackRefusedError: It belongs to another stack.
            StackTimeoutError: It takes longer than `max_wait_s`.
            AwsAccessError: The account refuses.
        """
        template = {"Resources": {resource: {"Type": kind, "DeletionPolicy": "Retain", "Properties": dict(identifier)}}}
        imports = [{"ResourceType": kind, "LogicalResourceId": resource, "ResourceIdentifier": dict(identifier)}]
        wait = self._wait(max_wait_s)
        with asking(f"take {resource} up into stack {self.name}"):
            if self._mended(wait, progress) is not None:
                return False
            change_set = self._change_set("IMPORT", json.dumps(template), {}, wait, imports=imports)
            self._holds_changes(change_set, is_new=True, wait=wait, progress=progress)
            return self._executed(change_set, wait, progress)

    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name.

        Raises:
            StackMissingError: There is no such stack.
        """
        return {each["OutputKey"]: each["OutputValue"] for each in self._existing().get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """The parameters that the stack was made with, by name.

        Raises:
            StackMissingError: There is no such stack.
        """
        return {each["ParameterKey"]: each["ParameterValue"] for each in self._existing().get("Parameters", [])}

    def delete(self, *, max_wait_s: float, progress: Progress) -> bool:
        """Take the stack down; False where there was none.

        Raises:
            StackFailedError: A resource could not be deleted.
            StackRefusedError: It is protected.
            StackTimeoutError: It takes longer than `max_wait_s`.
            AwsAccessError: The account refuses.
        """
        wait = self._wait(max_wait_s)
        with asking(f"delete stack {self.name}"):
            found = self._settled(wait, progress)
            if found is None:
                return False
            if found["StackStatus"] == "REVIEW_IN_PROGRESS":  # it holds nothing, so there is nothing to wait for
                self._client.delete_stack(StackName=found["StackId"])
            else:
                self._delete(found["StackId"], wait, progress)
        return True

    def _wait(self, max_wait_s: float) -> Wait:
        return Wait(f"stack {self.name}", max_wait_s=max_wait_s, poll_interval_s=self._poll_interval_s)

    def _existing(self) -> "StackTypeDef":
        with asking(f"look at stack {self.name}"):
            found = self._find()
        if found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS":
            raise StackMissingError(self.name)
        return found

    def _find(self) -> "StackTypeDef | None":
        from botocore.exceptions import ClientError

        try:
            return self._client.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return None
            raise

    def _settled(self, wait: Wait, progress: Progress) -> "StackTypeDef | None":
        """The stack once no operation of anybody is under way."""
        told = False
        while True:
            found = wait.patiently(self._find)
            # A stack in review has a change set that nobody has executed: nothing is under way.
            if found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS" or not under_way(found["StackStatus"]):
                return found
            if not told:
                progress(f"stack {self.name} is {found['StackStatus']}: waiting for its end")
                told = True
            wait.pause(found["StackStatus"])

    def _mended(self, wait: Wait, progress: Progress) -> "StackTypeDef | None":
        """The stack in a state from which it can be updated; None where it has to be made."""
        found = self._settled(wait, progress)
        if found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS":
            return None
        arn, status = found["StackId"], found["StackStatus"]
        if status in _ONLY_DELETABLE:
            progress(f"stack {self.name} is {status}: deleting it, to make it anew")
            self._delete(arn, wait, progress)
            return None
        if status == "UPDATE_ROLLBACK_FAILED":
            progress(f"stack {self.name} is {status}: going on with the rollback")
            operation = Operation(self._client, self.name, arn, wait)
            self._client.continue_update_rollback(StackName=arn)
            operation.follow(progress, wanted=("UPDATE_ROLLBACK_COMPLETE",))
        return found

    def _change_set(
        self,
        kind: Literal["CREATE", "UPDATE", "IMPORT"],
        template: str,
        parameters: Mapping[str, str],
        wait: Wait,
        *,
        imports: Sequence[Mapping[str, Any]] | None = None,
    ) -> _ChangeSet:
        from botocore.exceptions import ClientError

        try:
            made = wait.patiently(
                lambda: self._client.create_change_set(
                    StackName=self.name,
                    ChangeSetName=f"forecast-{uuid.uuid4().hex[:12]}",
                    ChangeSetType=kind,
                    Description=f"to template {hashlib.sha256(template.encode()).hexdigest()[:12]}",
                    TemplateBody=template,
                    Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                    Capabilities=["CAPABILITY_NAMED_IAM"],
                    Tags=[] if imports else self._tags,  # type: ignore[arg-type] # an import may not add any
                    **({"ResourcesToImport": imports} if imports else {}),  # type: ignore[arg-type]
                )
            )
        except ClientError as error:
            if error_code(error) != "ValidationError":
                raise
            raise StackRefusedError(self.name, error.response["Error"]["Message"]) from error
        return _ChangeSet(made["Id"], made["StackId"])

    def _holds_changes(self, change_set: _ChangeSet, *, is_new: bool, wait: Wait, progress: Progress) -> bool:
        """Whether a change set, once it is made, changes anything; one that cannot be executed is deleted."""
        while True:
            found = wait.patiently(lambda: self._client.describe_change_set(ChangeSetName=change_set.arn))
            if found["Status"] == "CREATE_COMPLETE":
                progress(f"stack {self.name}: {_counted(found.get('Changes', []))}")
                return True
            if found["Status"] == "FAILED":
                break
            wait.pause(f"without a change set ({found['Status']})")
        if is_new:  # the change set made an empty stack, which goes with it
            self._client.delete_stack(StackName=change_set.stack)
        else:
            self._client.delete_change_set(ChangeSetName=change_set.arn)
        reason = found.get("StatusReason", "CloudFormation gives no reason")
        if any(words in reason for words in _UNCHANGED):
            return False
        raise StackRefusedError(self.name, reason)

    def _executed(self, change_set: _ChangeSet, wait: Wait, progress: Progress) -> bool:
        """Execute a change set and follow it to its end; False where another deployment made it obsolete."""
        from botocore.exceptions import ClientError

        operation = Operation(self._client, self.name, change_set.stack, wait)
        try:
            self._client.execute_change_set(ChangeSetName=change_set.arn)
        except ClientError as error:
            if error_code(error) in _OVERTAKEN:
                return False
            raise
        operation.follow(progress, wanted=("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"))
        return True

    def _delete(self, arn: str, wait: Wait, progress: Progress) -> None:
        from botocore.exceptions import ClientError

        operation = Operation(self._client, self.name, arn, wait)
        try:
            self._client.delete_stack(StackName=arn)
        except ClientError as error:
            if error_code(error) != "ValidationError":
                raise
            raise StackRefusedError(self.name, error.response["Error"]["Message"]) from error
        operation.follow(progress, wanted=("DELETE_COMPLETE",))


def _counted(changes: Sequence[Any]) -> str:
    """What a change set will do, in words."""
    changed = [each["ResourceChange"] for each in changes if "ResourceChange" in each]
    number = {action: sum(change["Action"] == action for change in changed) for action in ("Add", "Modify", "Remove")}
    replaced = [change["LogicalResourceId"] for change in changed if change.get("Replacement") == "True"]
    words = f"{number['Add']} to add, {number['Modify']} to change, {number['Remove']} to remove"
    return words + (f"; replaced: {', '.join(replaced)}" if replaced else "")
