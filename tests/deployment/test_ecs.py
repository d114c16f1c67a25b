"""The ECS form: taken by CloudFormation, closed to the outside, least privilege, the processes of one machine."""

import re
import shlex
from typing import Any

import pytest
from cfnlint.api import lint_file
from cfnlint.config import ManualArgs
from cfnlint.decode import cfn_yaml

from forecast_assets.settings import load_settings
from tests.deployment.units import DEPLOYMENT, SERVICES, read
from tests.policies import TEMPLATES, limits, listed
from tests.world import ROOT

TEMPLATE = DEPLOYMENT / "ecs.yaml"
# What AWS gives to all resources only: https://docs.aws.amazon.com/service-authorization/latest/reference/
ANY_RESOURCE = {"ecr:GetAuthorizationToken"} | {
    f"ssmmessages:{verb}{channel}Channel" for verb in ("Create", "Open") for channel in ("Control", "Data")
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return dict(cfn_yaml.load(str(TEMPLATE)))


def properties(template: dict[str, Any], name: str) -> Any:
    return template["Resources"][name]["Properties"]


def containers(template: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each for each in properties(template, "Task")["ContainerDefinitions"]}


def test_cloudformation_takes_the_template() -> None:
    assert [str(match) for match in lint_file(TEMPLATE, config=ManualArgs(regions=["us-east-1"]))] == []


def test_the_processes_are_those_of_one_machine(template: dict[str, Any]) -> None:
    """The same commands as the units', which are run by tests."""
    told = {}
    for service in SERVICES:
        [command] = read(f"{service}.service")["Service"]["ExecStart"]
        words = shlex.split(command.replace("/opt/petroleum/.venv/bin/", "").replace("/opt/petroleum", "/app"))
        told[service.removeprefix("petroleum-")] = words
    assert {
        name: [word for part in each["Command"] for word in (part.split("=", 1) if part.startswith("--") else [part])]
        for name, each in containers(template).items()
    } == told


def test_nothing_is_let_in_and_one_daemon_runs_at_a_time(template: dict[str, Any]) -> None:
    assert "SecurityGroupIngress" not in properties(template, "TaskGroup")
    [rule] = properties(template, "DatabaseGroup")["SecurityGroupIngress"]
    assert rule["SourceSecurityGroupId"] == {"Ref": "TaskGroup"}
    assert properties(template, "Database")["PubliclyAccessible"] is False
    service = properties(template, "Service")
    assert service["DesiredCount"] == service["DeploymentConfiguration"]["MaximumPercent"] / 100 == 1


def test_the_history_is_encrypted_saved_and_not_deleted_by_mistake(template: dict[str, Any]) -> None:
    database = properties(template, "Database")
    assert (database["StorageEncrypted"], database["DeletionProtection"]) == (True, True)
    assert database["BackupRetentionPeriod"] >= 7
    assert template["Resources"]["Database"]["DeletionPolicy"] == "Snapshot"


def test_every_process_has_all_settings_and_no_secret_is_among_them(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    [environment] = {str(each["Environment"]): each["Environment"] for each in containers(template).values()}.values()
    variables = {each["Name"]: each["Value"] for each in environment}
    secret = {each["Name"] for each in containers(template)["code"]["Secrets"] if "Name" in each}
    named = set(re.findall(r"env: (\w+)", (DEPLOYMENT / "dagster.postgres.yaml").read_text()))
    assert named <= set(variables) | secret
    assert secret == {"DAGSTER_PG_PASSWORD"}
    assert not [name for name in variables if re.search("PASSWORD|SECRET|KEY|URLS", name)]
    values = {
        "FORECAST_REGION": "us-east-1",
        "FORECAST_LAKE_URI": "s3://bucket/lake",
        "FORECAST_ROLE_ARN": "arn:aws:iam::123456789012:role/job",
        "FORECAST_ENDPOINT_ROLE_ARN": "arn:aws:iam::123456789012:role/endpoint",
        "FORECAST_IMAGES": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x/{image}:1",
        "FORECAST_ALERTS__TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
        "FORECAST_WATCH__LANDING": "https://sqs.us-east-1.amazonaws.com/123456789012/landing",
    }
    monkeypatch.chdir(ROOT)
    for name, value in variables.items():
        if name.startswith("FORECAST_"):
            monkeypatch.setenv(name, value if isinstance(value, str) and "${" not in value else values[name])
    assert load_settings().compute == "aws"


def test_what_the_base_stack_gives_is_asked_for_by_its_names(template: dict[str, Any]) -> None:
    outputs = set(cfn_yaml.load(str(TEMPLATES / "base.yaml"))["Outputs"])
    said = {name: each.get("Description", "") for name, each in template["Parameters"].items()}
    asked = {name for name, text in said.items() if text == "Output of the base stack."}
    asked |= {found[1] for text in said.values() if (found := re.fullmatch(r"Output (\w+) of the base stack\.", text))}
    assert len(asked) == 6
    assert asked <= outputs


def test_every_statement_names_what_aws_lets_it_name(template: dict[str, Any]) -> None:
    documents = [each["PolicyDocument"] for each in properties(template, "ExecutionRole")["Policies"]]
    documents.append(properties(template, "Sessions")["PolicyDocument"])
    statements = [each for document in documents for each in document["Statement"]]
    assert len(statements) == 5
    for statement in statements:
        for action in listed(statement["Action"]):
            assert limits(action) is not None, f"{action} is no action"
            assert (statement["Resource"] == "*") == (action in ANY_RESOURCE), action


def test_the_processes_have_the_role_of_the_platform(template: dict[str, Any]) -> None:
    task = properties(template, "Task")
    assert task["TaskRoleArn"] == {"Ref": "PlatformRoleArn"}
    trusted = cfn_yaml.load(str(TEMPLATES / "base.yaml"))["Resources"]["PlatformRole"]["Properties"]
    principals = [each["Principal"] for each in trusted["AssumeRolePolicyDocument"]["Statement"]]
    assert {"Service": "ecs-tasks.amazonaws.com"} in principals


def test_logs_are_kept_for_a_while(template: dict[str, Any]) -> None:
    assert properties(template, "Log")["RetentionInDays"] == {"Ref": "LogDays"}
    for container in containers(template).values():
        assert container["LogConfiguration"]["Options"]["awslogs-group"] == {"Ref": "Log"}
