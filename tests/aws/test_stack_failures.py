"""Stacks that fail: CloudFormation of MiniStack rolls back what a custom resource answers FAILED to.

A custom resource, because MiniStack creates most other things whatever is asked.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from resources.cloudformation.stack import Stack, StackFailedError, StackRefusedError
from tests.aws.ministack import MiniStack, ministack

pytestmark = pytest.mark.slow

# Fails where its properties say so; `rollback` fails when it is brought back to what it was.
HANDLER = """
import json, urllib.request
def handler(event, context):
    now, before = (event.get(each, {}).get("Mood") for each in ("ResourceProperties", "OldResourceProperties"))
    failed = event["RequestType"] != "Delete" and (now == "bad" or "stuck" in (now, before))
    body = {"Status": "FAILED" if failed else "SUCCESS", "Reason": "the index is on fire", "PhysicalResourceId": "one"}
    body |= {each: event[each] for each in ("StackId", "RequestId", "LogicalResourceId")}
    request = urllib.request.Request(event["ResponseURL"], data=json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request)
"""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with ministack(tmp_path_factory.mktemp("ministack"), LAMBDA_EXECUTOR="local") as running:
        role = running.client("iam").create_role(RoleName="custom", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        running.client("lambda").create_function(
            FunctionName="custom",
            Runtime="python3.11",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": zipped(HANDLER)},
        )
        yield running


@pytest.fixture
def stack(aws: MiniStack, request: pytest.FixtureRequest) -> Stack:
    return Stack(aws.client("cloudformation"), f"s{abs(hash(request.node.name))}", poll_interval_s=0.05)


def zipped(source: str) -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.py", source)
    return buffer.getvalue()


def template(mood: str, *, topic: str = "a topic") -> str:
    resources: dict[str, Any] = {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Name"}}},
        "Index": {
            "Type": "Custom::Index",
            "DependsOn": "Topic",
            "Properties": {
                "ServiceToken": "arn:aws:lambda:us-east-1:000000000000:function:custom",
                "Mood": mood,
            },
        },
    }
    return json.dumps(
        {
            "Parameters": {"Name": {"Type": "String", "Default": topic}},
            "Resources": resources,
            "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
        }
    )


def deploy(stack: Stack, body: str) -> tuple[bool, list[str]]:
    said: list[str] = []
    return stack.deploy(body, {}, max_wait_s=60, progress=said.append), said


def status(aws: MiniStack, stack: Stack) -> str:
    return aws.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"][0]["StackStatus"]


def test_a_stack_that_does_not_come_up_says_what_failed_first_and_leaves_nothing(aws: MiniStack, stack: Stack) -> None:
    with pytest.raises(StackFailedError) as failure:
        deploy(stack, template("bad"))
    assert failure.value.status == "ROLLBACK_COMPLETE"
    assert failure.value.reasons == ("Index (Custom::Index): the index is on fire",)
    assert aws.client("sns").list_topics()["Topics"] == []


def test_a_stack_that_never_came_up_is_made_anew(aws: MiniStack, stack: Stack) -> None:
    with pytest.raises(StackFailedError):
        deploy(stack, template("bad"))
    changed, said = deploy(stack, template("good"))
    assert changed
    assert f"stack {stack.name} is ROLLBACK_COMPLETE: deleting it, to make it anew" in said
    assert status(aws, stack) == "CREATE_COMPLETE"


def test_each_resource_is_told_once(stack: Stack) -> None:
    _, said = deploy(stack, template("good"))
    assert said[1:] == ["Topic: CREATE_COMPLETE", "Index: CREATE_COMPLETE"]


def test_parameters_and_outputs_are_those_of_the_last_deployment(stack: Stack) -> None:
    deploy(stack, template("good"))
    assert stack.parameters() == {"Name": "a topic"}
    assert stack.deploy(template("good"), {"Name": "given"}, max_wait_s=60, progress=lambda _: None)
    assert stack.parameters() == {"Name": "given"}
    assert stack.outputs()["Topic"].startswith("arn:aws:sns:us-east-1:")


def test_a_failed_update_is_rolled_back_and_the_next_one_goes_through(aws: MiniStack, stack: Stack) -> None:
    deploy(stack, template("good", topic="first"))
    topic = stack.outputs()["Topic"]
    with pytest.raises(StackFailedError, match="the index is on fire") as failure:
        deploy(stack, template("bad", topic="second"))
    assert failure.value.status == "UPDATE_ROLLBACK_COMPLETE"
    attributes = aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["DisplayName"] == "first"
    assert deploy(stack, template("better", topic="second"))[0]
    assert status(aws, stack) == "UPDATE_COMPLETE"


def test_a_rollback_that_got_stuck_is_continued_by_the_next_deployment(aws: MiniStack, stack: Stack) -> None:
    deploy(stack, template("good"))
    with pytest.raises(StackFailedError) as failure:
        deploy(stack, template("stuck"))
    assert failure.value.status == "UPDATE_ROLLBACK_FAILED"
    with pytest.raises(StackFailedError, match="the index is on fire"):  # what holds it up has not been mended
        deploy(stack, template("better"))
    function = aws.client("lambda")
    function.update_function_code(FunctionName="custom", ZipFile=zipped(HANDLER.replace("stuck", "calm")))
    try:
        changed, said = deploy(stack, template("better"))
    finally:
        function.update_function_code(FunctionName="custom", ZipFile=zipped(HANDLER))
    assert changed
    assert f"stack {stack.name} is UPDATE_ROLLBACK_FAILED: going on with the rollback" in said
    assert status(aws, stack) == "UPDATE_COMPLETE"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("Resources: [", "Template format error"),
        ('{"Resources": {"Thing": {"Type": "AWS::No::Thing"}}}', "AWS::No::Thing"),
        ('{"Parameters": {"P": {"Type": "String"}}, "Resources": {"T": {"Type": "AWS::SNS::Topic"}}}', "P"),
    ],
    ids=["not YAML", "unknown resource", "parameter without a value"],
)
def test_a_wrong_template_is_refused_and_makes_no_stack(aws: MiniStack, stack: Stack, body: str, said: str) -> None:
    with pytest.raises(StackRefusedError, match=said):
        deploy(stack, body)
    assert stack.name not in str(aws.client("cloudformation").describe_stacks()["Stacks"])
    deploy(stack, template("good"))
    with pytest.raises(StackRefusedError, match=said):
        deploy(stack, body)
    assert status(aws, stack) == "CREATE_COMPLETE"
