"""The stack client where moto answers, and where AWS is too busy, refuses, or another deployment is faster."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from resources.aws import AwsAccessError
from resources.cloudformation.stack import Stack, StackMissingError, StackRefusedError, StackTimeoutError


class Faults:
    """A CloudFormation client of which the next answers to an operation can be told."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "cloudformation", region_name="us-east-1", config=Config(retries={"max_attempts": 0})
        )
        self.asked: list[str] = []
        self._answers: dict[str, list[tuple[str, str]]] = {}
        self.client.meta.events.register("before-call.cloudformation", self._before)

    def answer(self, operation: str, code: str, message: str = "", *, times: int = 1) -> None:
        self._answers.setdefault(operation, []).extend([(code, message)] * times)

    def _before(self, model: Any, **_: object) -> Any:
        self.asked.append(model.name)
        waiting = self._answers.get(model.name)
        if not waiting:
            return None
        code, message = waiting.pop(0)
        return AWSResponse("", 400, {}, None), {"Error": {"Code": code, "Message": message}}


@pytest.fixture
def aws() -> Iterator[Faults]:
    with mock_aws():
        yield Faults()


@pytest.fixture
def stack(aws: Faults) -> Stack:
    return Stack(aws.client, "petroleum-demand", tags={"application": "petroleum-demand"}, poll_interval_s=0)


def template(*resources: str) -> str:
    return json.dumps(
        {
            "Resources": {name: {"Type": "AWS::SNS::Topic"} for name in resources},
        }
    )


def deploy(stack: Stack, *resources: str) -> tuple[bool, list[str]]:
    said: list[str] = []
    changed = stack.deploy(template(*resources), {}, max_wait_s=20, progress=said.append)
    return changed, said


def test_a_stack_is_made_then_left_alone_then_changed(aws: Faults, stack: Stack) -> None:
    topics = boto3.client("sns", region_name="us-east-1").get_paginator("list_topics")
    assert deploy(stack, "Alerts")[0]
    assert not deploy(stack, "Alerts")[0]
    assert deploy(stack, "Alerts", "Landings")[0]
    assert len(topics.paginate().build_full_result()["Topics"]) == 2
    described = aws.client.describe_stacks(StackName=stack.name)["Stacks"][0]
    assert described["Tags"] == [{"Key": "application", "Value": "petroleum-demand"}]


def test_an_empty_change_set_is_not_left_behind(aws: Faults, stack: Stack) -> None:
    deploy(stack, "Alerts")
    before = aws.client.list_change_sets(StackName=stack.name)["Summaries"]
    deploy(stack, "Alerts")
    assert len(aws.client.list_change_sets(StackName=stack.name)["Summaries"]) == len(before)


def test_a_change_set_says_what_it_will_do(stack: Stack) -> None:
    _, said = deploy(stack, "Alerts", "Landings")
    assert said[0] == "stack petroleum-demand: 2 to add, 0 to change, 0 to remove"


def test_a_stack_is_deleted_once(aws: Faults, stack: Stack) -> None:
    deploy(stack, "Alerts")
    assert stack.delete(max_wait_s=20, progress=lambda _: None)
    assert not stack.delete(max_wait_s=20, progress=lambda _: None)
    assert boto3.client("sns", region_name="us-east-1").list_topics()["Topics"] == []
    with pytest.raises(StackMissingError, match=r"no stack petroleum-demand: .*forecast aws bootstrap"):
        stack.outputs()


def test_a_stack_in_review_is_no_stack_and_is_deleted_without_waiting(aws: Faults, stack: Stack) -> None:
    aws.client.create_change_set(
        StackName=stack.name, ChangeSetName="mine", ChangeSetType="CREATE", TemplateBody=template("Alerts")
    )
    with pytest.raises(StackMissingError):
        stack.outputs()
    assert stack.delete(max_wait_s=20, progress=lambda _: None)
    assert aws.client.describe_stacks()["Stacks"] == []


def test_a_template_that_a_request_cannot_carry_is_refused_before_anything_is_asked(aws: Faults, stack: Stack) -> None:
    with pytest.raises(StackRefusedError, match=r"the template has 5\d,\d{3} bytes, 51,200 are allowed"):
        stack.deploy("#" * 51_201, {}, max_wait_s=1, progress=lambda _: None)
    assert aws.asked == []


def test_throttled_looks_are_repeated(aws: Faults, stack: Stack) -> None:
    for operation in ("DescribeStacks", "DescribeStackEvents", "DescribeChangeSet"):
        aws.answer(operation, "Throttling", "Rate exceeded", times=3)
    assert deploy(stack, "Alerts")[0]
    assert aws.asked.count("DescribeChangeSet") == 4


def test_an_account_that_never_answers_ends_the_wait(aws: Faults, stack: Stack) -> None:
    aws.answer("DescribeStacks", "Throttling", "Rate exceeded", times=10_000)
    with pytest.raises(StackTimeoutError, match=r"petroleum-demand is still too busy to answer after 0.05 s"):
        stack.deploy(template("Alerts"), {}, max_wait_s=0.05, progress=lambda _: None)
    assert "CreateChangeSet" not in aws.asked


@pytest.mark.parametrize("operation", ["DescribeStacks", "CreateChangeSet", "ExecuteChangeSet"])
def test_a_refusal_says_what_to_do(aws: Faults, stack: Stack, operation: str) -> None:
    aws.answer(operation, "AccessDenied", "User: x is not authorized to perform")
    with pytest.raises(AwsAccessError, match=r"cannot deploy stack petroleum-demand \(AccessDenied\).*docs/aws.md"):
        deploy(stack, "Alerts")


def test_what_nobody_foresaw_is_not_hidden(aws: Faults, stack: Stack) -> None:
    aws.answer("ExecuteChangeSet", "InternalFailure", "oops")
    with pytest.raises(ClientError, match="oops"):
        deploy(stack, "Alerts")


def test_a_faster_deployment_makes_it_look_again(aws: Faults, stack: Stack) -> None:
    deploy(stack, "Alerts")
    aws.answer("ExecuteChangeSet", "InvalidChangeSetStatus", "ChangeSet cannot be executed in its current status")
    changed, said = deploy(stack, "Alerts", "Landings")
    assert changed
    assert "stack petroleum-demand: another deployment was faster; looking again" in said


def test_a_protected_stack_is_not_deleted(aws: Faults, stack: Stack) -> None:
    deploy(stack, "Alerts")
    aws.answer("DeleteStack", "ValidationError", "Stack cannot be deleted while TerminationProtection is enabled")
    with pytest.raises(StackRefusedError, match="TerminationProtection"):
        stack.delete(max_wait_s=20, progress=lambda _: None)
