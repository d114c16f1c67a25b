"""The API's stack on MiniStack: the Lambda function is run, and asks this machine's SageMaker over HTTP.

MiniStack gives a function no image, so its code is a zip file of what the image holds.
"""

import io
import json
import threading
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resources.api.spec import ApiSpec
from resources.api.stack import StackApi, named, template
from resources.cloudformation.stack import Stack, StackFailedError
from resources.sagemaker.local.clients import local_client
from resources.sagemaker.local.http import LocalServer
from resources.sagemaker.local.operations import LocalSageMaker
from tests import twin_endpoint
from tests.aws.ministack import MiniStack, ministack
from tests.world import ROOT

pytestmark = pytest.mark.slow

TEMPLATE = ROOT / "resources" / "cloudformation" / "api.yaml"
ENDPOINT = "Petroleum-Demand"
SPEC = ApiSpec(endpoint=ENDPOINT, stage="v1", rate_per_s=100, burst=200, quota_per_month=5000)
PAYLOAD = {"series": "WGFUPUS2", "periods": 3, "conf": 0.9}

# Answers FAILED to whatever CloudFormation asks of it but its end.
FAILING = """
import json, urllib.request
def handler(event, context):
    status = "SUCCESS" if event["RequestType"] == "Delete" else "FAILED"
    body = {"Status": status, "Reason": "the canary died", "PhysicalResourceId": "one"}
    body |= {each: event[each] for each in ("StackId", "RequestId", "LogicalResourceId")}
    request = urllib.request.Request(event["ResponseURL"], data=json.dumps(body).encode(), method="PUT")
    urllib.request.urlopen(request)
"""


class Account:
    """MiniStack's account, with the API's code in a bucket and SageMaker of this machine behind it."""

    def __init__(self, aws: MiniStack, sagemaker: Path) -> None:
        self.aws, self.sagemaker = aws, sagemaker
        self.stack = Stack(aws.client("cloudformation"), "demand-api", poll_interval_s=0.05)

    def api(self, spec: ApiSpec = SPEC) -> StackApi:
        return StackApi(
            self.stack,
            self.aws.client("apigateway"),
            local_client("sagemaker", self.sagemaker),
            spec,
            code={"CodeBucket": "code", "CodeKey": "gateway.zip"},
        )

    def address(self) -> str:
        """Where MiniStack answers for the API: AWS's host name leads nowhere here."""
        host, stage, path = self.api().url().removeprefix("https://").split("/")
        return f"{self.aws.url}/restapis/{host.partition('.')[0]}/{stage}/_user_request_/{path}"

    def ask(self, key: str | None, payload: object = PAYLOAD) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"x-api-key": key})
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        request = urllib.request.Request(self.address(), data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def resources(self) -> dict[str, list[Any]]:
        """Everything in the account that the stack makes or that its use leaves, but the custom resource's own."""
        gateway, functions = self.aws.client("apigateway"), self.aws.client("lambda")
        names = {
            "apis": [each["name"] for each in gateway.get_rest_apis()["items"]],
            "keys": [each["name"] for each in gateway.get_api_keys()["items"]],
            "plans": [each["name"] for each in gateway.get_usage_plans()["items"]],
            "functions": [each["FunctionName"] for each in functions.list_functions()["Functions"]],
            "roles": [each["RoleName"] for each in self.aws.client("iam").list_roles()["Roles"]],
            "logs": [each["logGroupName"] for each in self.aws.client("logs").describe_log_groups()["logGroups"]],
        }
        return {kind: [name for name in found if "canary" not in name] for kind, found in names.items()}


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("api")
    sagemaker = folder / "sagemaker"
    twin_endpoint.deploy(sagemaker, ENDPOINT)
    with LocalServer(LocalSageMaker(sagemaker), 0) as twin:
        thread = threading.Thread(target=twin.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        variables = {"LAMBDA_EXECUTOR": "local", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": twin.url}
        with ministack(folder / "aws", AWS_DEFAULT_REGION="us-east-1", **variables) as aws:
            files = [ROOT / "containers" / "__init__.py", *(ROOT / "containers" / "gateway").glob("*.py")]
            code = zipped({str(path.relative_to(ROOT)): path.read_text() for path in files})
            aws.client("s3").create_bucket(Bucket="code")
            aws.client("s3").put_object(Bucket="code", Key="gateway.zip", Body=code)
            yield Account(aws, sagemaker)
        twin.shutdown()
        thread.join()
    twin_endpoint.remove(sagemaker, ENDPOINT)


@pytest.fixture
def deployed(account: Account) -> Iterator[Account]:
    account.api().deploy(lambda _: None)
    yield account
    account.api().delete(lambda _: None)


def test_the_stack_answers_with_its_key_what_the_endpoint_answers(deployed: Account) -> None:
    runtime = local_client("sagemaker-runtime", deployed.sagemaker)
    direct = runtime.invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="application/json", Body=json.dumps(PAYLOAD).encode()
    )
    key = deployed.api().key()
    assert deployed.ask(key) == (200, json.load(direct["Body"]))
    assert deployed.ask(None) == (403, {"message": "Forbidden"})
    assert deployed.ask("x" * 40) == (403, {"message": "Forbidden"})
    assert deployed.ask(key, b"[1]") == (400, {"error": "the body is not a JSON object"})
    status, said = deployed.ask(key, PAYLOAD | {"periods": 1000})
    assert (status, said["field"]) == (400, "periods")
    with deployed.api().probe() as probe:
        assert probe == key


def test_nothing_changed_is_no_deployment(deployed: Account) -> None:
    assert deployed.api().is_deployed()
    assert not deployed.api().deploy(lambda _: None)


def test_every_request_leaves_a_line_and_no_key_in_the_functions_own_log(deployed: Account) -> None:
    key = deployed.api().key()
    assert deployed.ask(key)[0] == 200
    logs = deployed.aws.client("logs")
    [group] = logs.describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/lambda/demand-api", 30)
    said = [event["message"] for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]]
    assert [json.loads(line)["status"] for line in said if line.startswith("{")] == [200]
    assert key not in "".join(said)


def test_an_update_keeps_address_and_key_and_its_rate_is_enforced(deployed: Account) -> None:
    url, key = deployed.api().url(), deployed.api().key()
    slower = replace(SPEC, rate_per_s=0.01, burst=3)
    assert not deployed.api(slower).is_deployed()
    assert deployed.api(slower).deploy(lambda _: None)
    assert deployed.api(slower).is_deployed()
    assert (deployed.api().url(), deployed.api().key()) == (url, key)
    answers = [deployed.ask(key) for _ in range(20)]
    assert Counter(status for status, _ in answers) == {200: 3, 429: 17}
    assert answers[-1][1] == {"message": "Too Many Requests"}


def test_a_changed_template_is_a_new_snapshot_of_the_api(deployed: Account) -> None:
    gateway = deployed.aws.client("apigateway")
    [api] = gateway.get_rest_apis()["items"]
    [before] = gateway.get_deployments(restApiId=api["id"])["items"]
    changed = named(TEMPLATE.read_text().replace("is not a JSON object", "is no JSON object"))
    deployed.stack.deploy(changed, deployed.stack.parameters(), max_wait_s=60, progress=lambda _: None)
    [after] = gateway.get_deployments(restApiId=api["id"])["items"]
    assert before["id"] != after["id"]
    assert gateway.get_stage(restApiId=api["id"], stageName="v1")["deploymentId"] == after["id"]


def test_a_failed_update_is_rolled_back_and_the_api_answers_on(deployed: Account) -> None:
    functions, key = deployed.aws.client("lambda"), deployed.api().key()
    role = deployed.aws.client("iam").create_role(RoleName="canary", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    canary = functions.create_function(
        FunctionName="canary",
        Runtime="python3.11",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": zipped({"index.py": FAILING})},
    )["FunctionArn"]
    custom = {"Type": "Custom::Canary", "DependsOn": ["UsagePlan", "Stage"], "Properties": {"ServiceToken": canary}}
    failing = template().replace("\nResources:\n", f"\nResources:\n  Canary: {json.dumps(custom)}\n", 1)
    parameters = deployed.stack.parameters() | {"Burst": "7", "Revision": "failed"}
    with pytest.raises(StackFailedError, match="the canary died") as failure:
        deployed.stack.deploy(failing, parameters, max_wait_s=60, progress=lambda _: None)
    assert failure.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert deployed.api().is_deployed(), "as it was before"
    [plan] = deployed.aws.client("apigateway").get_usage_plans()["items"]
    assert plan["throttle"] == {"rateLimit": 100.0, "burstLimit": 200}
    assert deployed.ask(key)[0] == 200


def test_teardown_leaves_nothing_and_can_be_repeated(account: Account) -> None:
    account.api().deploy(lambda _: None)
    account.ask(account.api().key())
    assert all(account.resources().values())
    assert account.api().delete(lambda _: None)
    assert account.resources() == {kind: [] for kind in account.resources()}
    assert not account.api().delete(lambda _: None)
    assert not account.api().is_deployed()


def test_the_function_may_invoke_its_endpoint_and_write_its_log_and_nothing_else(deployed: Account) -> None:
    iam = deployed.aws.client("iam")
    [role] = [each["RoleName"] for each in iam.list_roles()["Roles"] if each["RoleName"].startswith("demand-api-")]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["invoke-and-log"]
    document = iam.get_role_policy(RoleName=role, PolicyName="invoke-and-log")["PolicyDocument"]
    [endpoint] = {local_client("sagemaker", deployed.sagemaker).describe_endpoint(EndpointName=ENDPOINT)["EndpointArn"]}
    group = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/demand-api:log-stream:*"
    assert [(each["Action"], each["Resource"]) for each in document["Statement"]] == [
        ("sagemaker:InvokeEndpoint", endpoint),
        (["logs:CreateLogStream", "logs:PutLogEvents"], group),
    ]
    policy = json.loads(deployed.aws.client("lambda").get_policy(FunctionName="demand-api")["Policy"])
    [statement] = policy["Statement"]
    assert statement["Condition"]["ArnLike"]["AWS:SourceArn"].endswith("/v1/POST/forecast")
