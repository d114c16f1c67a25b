"""The API's stack, read as CloudFormation reads it."""

import json
from typing import Any

import pytest
import yaml

from containers.gateway import invocation
from containers.gateway.request import NO_OBJECT
from resources.api.stack import named, template
from tests.world import ROOT


class _Loader(yaml.SafeLoader):
    """YAML in which `!Ref x` and its kin are `{"Ref": x}`."""


def _intrinsic(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {suffix: value}


_Loader.add_multi_constructor("!", _intrinsic)


@pytest.fixture(scope="module")
def read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(template(), _Loader)
    return found


def properties(read: dict[str, Any], kind: str) -> dict[str, Any]:
    [found] = [each["Properties"] for each in read["Resources"].values() if each["Type"] == kind]
    return dict(found)


def test_the_function_may_invoke_one_endpoint_and_write_one_log(read: dict[str, Any]) -> None:
    role = properties(read, "AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    assert role["PermissionsBoundary"]["Sub"].endswith(":policy/${AWS::StackName}-${AWS::Region}-boundary")
    [policy] = role["Policies"]
    invoke, log = policy["PolicyDocument"]["Statement"]
    assert (invoke["Action"], invoke["Resource"]) == ("sagemaker:InvokeEndpoint", {"Ref": "EndpointArn"})
    assert log["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"], "the group is made by the stack"
    assert log["Resource"]["Sub"].endswith(":log-group:${FunctionLog}:log-stream:*")
    assert json.dumps(read["Resources"]).count("*") == 3, "that star, and /* with * for the stage's only method"


def test_the_base_stack_bounds_the_function_to_what_it_needs(read: dict[str, Any]) -> None:
    base: dict[str, Any] = yaml.load((ROOT / "resources" / "cloudformation" / "base.yaml").read_text(), _Loader)
    boundary = base["Resources"]["ApiBoundary"]["Properties"]
    own = properties(read, "AWS::IAM::Role")["PermissionsBoundary"]["Sub"].rpartition("/")[2]
    assert own.replace("${AWS::StackName}", "${AWS::StackName}-api") == boundary["ManagedPolicyName"]["Sub"]
    bounded = [each["Action"] for each in boundary["PolicyDocument"]["Statement"]]
    [policy] = properties(read, "AWS::IAM::Role")["Policies"]
    assert bounded == [each["Action"] for each in policy["PolicyDocument"]["Statement"]]


def test_api_gateway_may_call_the_function_from_one_method_of_one_stage(read: dict[str, Any]) -> None:
    permission = properties(read, "AWS::Lambda::Permission")
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["SourceArn"]["Sub"].endswith(":${Api}/${StageName}/POST/forecast")


def test_the_method_wants_a_key_and_api_gateway_waits_longer_than_the_function(read: dict[str, Any]) -> None:
    method, function = properties(read, "AWS::ApiGateway::Method"), properties(read, "AWS::Lambda::Function")
    assert method["ApiKeyRequired"] is True
    assert method["Integration"]["Type"] == "AWS_PROXY"
    assert method["Integration"]["TimeoutInMillis"] == invocation.API_GATEWAY_S * 1000
    assert function["Timeout"] == invocation.API_GATEWAY_S


def test_a_body_that_api_gateway_refuses_is_refused_in_the_functions_words(read: dict[str, Any]) -> None:
    templates = properties(read, "AWS::ApiGateway::GatewayResponse")["ResponseTemplates"]
    assert json.loads(templates["application/json"]) == {"error": NO_OBJECT}


def test_whatever_changes_in_the_template_makes_a_new_snapshot_of_the_api(read: dict[str, Any]) -> None:
    [snapshot] = [name for name, each in read["Resources"].items() if each["Type"] == "AWS::ApiGateway::Deployment"]
    assert properties(read, "AWS::ApiGateway::Stage")["DeploymentId"] == {"Ref": snapshot}
    source = (ROOT / "resources" / "cloudformation" / "api.yaml").read_text()
    assert named(source) == template()
    changed: dict[str, Any] = yaml.load(named(source.replace("PathPart: forecast", "PathPart: other")), _Loader)
    assert snapshot not in changed["Resources"]


def test_nothing_outlives_the_stack(read: dict[str, Any]) -> None:
    policies = {each.get("DeletionPolicy", "Delete") for each in read["Resources"].values()}
    assert policies == {"Delete"}
    assert properties(read, "AWS::Logs::LogGroup")["RetentionInDays"] == {"Ref": "LogDays"}


def test_cloudformation_finds_no_fault_in_it() -> None:
    from cfnlint import api

    source = (ROOT / "resources" / "cloudformation" / "api.yaml").read_text()
    assert [str(each) for each in api.lint(source, regions=["us-east-1"])] == []
