"""An operation of CloudFormation, followed by its events to its end."""

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from resources.aws import THROTTLED, error_code
from resources.cloudformation.errors import StackFailedError, StackTimeoutError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

Progress = Callable[[str], None]
R = TypeVar("R")

_MAX_REASONS = 5


class Wait:
    """How long the operations on something may take together.

    Args:
        what: On what, as the words before "is still".
        max_wait_s: From now on.
        poll_interval_s: Seconds between two looks.
    """

    def __init__(self, what: str, *, max_wait_s: float, poll_interval_s: float) -> None:
        self._what, self._max_wait_s, self._poll_interval_s = what, max_wait_s, poll_interval_s
        self._deadline = time.monotonic() + max_wait_s

    def pause(self, status: str) -> None:
        """Wait until the next look.

        Raises:
            StackTimeoutError: There is no time left.
        """
        if time.monotonic() > self._deadline:
            raise StackTimeoutError(self._what, status=status, max_wait_s=self._max_wait_s)
        time.sleep(self._poll_interval_s)

    def patiently(self, ask: Callable[[], R]) -> R:
        """What an account answers, asked again while it is too busy to."""
        from botocore.exceptions import ClientError

        while True:
            try:
                return ask()
            except ClientError as error:
                if error_code(error) not in THROTTLED:
                    raise
            self.pause("too busy to answer")


class Operation:
    """The next operation on a stack: made before it is asked for, so that none of its events is missed.

    Args:
        client: boto3 client of CloudFormation.
        name: Of the stack.
        arn: Of the stack, by which it is known even when it is deleted.
        wait: How long it may take.
    """

    def __init__(self, client: "CloudFormationClient", name: str, arn: str, wait: Wait) -> None:
        self._client, self._name, self._arn, self._wait = client, name, arn, wait
        newest = wait.patiently(lambda: client.describe_stack_events(StackName=arn)["StackEvents"][:1])
        self._seen = newest[0]["EventId"] if newest else ""

    def follow(self, progress: Progress, *, wanted: Collection[str]) -> None:
        """Follow the operation to the event that ends it.

        The stack's own status is no guide: right after the request it may still be that of the operation before.

        Args:
            progress: Told of every resource that is done.
            wanted: States of the stack in which all is well.

        Raises:
            StackFailedError: It ended otherwise.
            StackTimeoutError: It takes too long.
        """
        told: set[tuple[str, str]] = set()
        failed: list[str] = []
        status = "about to begin"
        while True:
            for event in self._wait.patiently(self._new_events):
                self._seen = event["EventId"]
                state, reason = event.get("ResourceStatus", ""), event.get("ResourceStatusReason", "")
                resource = event.get("LogicalResourceId", "")
                if event.get("PhysicalResourceId") == self._arn:
                    status = state
                    if "ROLLBACK" in state and reason and not failed:  # the template's outputs, or a person
                        failed.append(reason)
                    if under_way(state):
                        continue
                    if state not in wanted:
                        raise StackFailedError(self._name, status=state, reasons=tuple(failed[:_MAX_REASONS]))
                    return
                if state.endswith("FAILED") and "cancelled" not in reason.lower():  # for another one's failure
                    failed.append(f"{resource} ({event.get('ResourceType')}): {reason}")
                if not under_way(state) and (resource, state) not in told:
                    told.add((resource, state))
                    progress(f"{resource}: {state}{f' ({reason})' if state.endswith('FAILED') else ''}")
            self._wait.pause(status)

    def _new_events(self) -> "list[StackEventTypeDef]":
        """The events after the last one seen, oldest first."""
        events: list[StackEventTypeDef] = []
        for page in self._client.get_paginator("describe_stack_events").paginate(StackName=self._arn):
            for event in page["StackEvents"]:  # newest first
                if event["EventId"] == self._seen:
                    return events[::-1]
                events.append(event)
        return events[::-1]


def under_way(status: str) -> bool:
    """Whether a stack or a resource of it is being worked on."""
    return status.endswith("_IN_PROGRESS")
