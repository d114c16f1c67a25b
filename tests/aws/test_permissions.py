"""The weekly refresh asks AWS for nothing that the stack's policies do not give: every call, judged as IAM would."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from forecast_assets.serving import model_endpoint
from resources import aws as clients
from tests.aws.site import sagemaker
from tests.aws.world import BUCKET, Aws
from tests.policies import ACCOUNT, REGION, Statement, Template, allowed, load
from tests.refreshes import QUESTION, SERIES
from tests.world import WEEK, World

STACK = "petroleum-demand"
_KINDS = {
    "ProcessingJob": "processing-job",
    "TrainingJob": "training-job",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "ModelPackageGroup": "model-package-group",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "Model": "model",
}
# Operations whose permission has another name. https://docs.aws.amazon.com/service-authorization/latest/reference/
_S3 = {
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
Call = tuple[str, str, Mapping[str, Any]]
Question = tuple[str, str, dict[str, str]]


@contextmanager
def recorded() -> Iterator[list[Call]]:
    """Every call of a boto3 client that is made within the block."""
    calls: list[Call] = []

    def note(params: Mapping[str, Any], model: Any, **_: object) -> None:
        calls.append((model.service_model.endpoint_prefix, model.name, dict(params)))

    boto3.setup_default_session()
    clients.client.cache_clear()
    session = boto3.DEFAULT_SESSION
    assert session is not None
    session.events.register("provide-client-params", note)
    try:
        yield calls
    finally:
        session.events.unregister("provide-client-params", note)
        clients.client.cache_clear()


def questions(call: Call) -> Iterator[Question]:
    """What IAM is asked for a call: action, resource, context."""
    service, operation, params = call
    if service == "s3":
        where = f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "")
        yield f"s3:{_S3.get(operation, operation)}", where, {}
    elif service in {"api.sagemaker", "runtime.sagemaker"}:
        yield from _of_sagemaker(operation, params, f"arn:aws:sagemaker:{REGION}:{ACCOUNT}")
    elif service == "glue":
        base = f"arn:aws:glue:{REGION}:{ACCOUNT}"
        database = params.get("DatabaseName") or params.get("Name")
        yield f"glue:{operation}", f"{base}:database/{database}", {}
    elif service == "cloudformation":
        # Whatever is named by an ARN is the stack's too, its change sets among it.
        name = params.get("StackName", "arn:")
        name = f"{STACK}-api" if name.startswith("arn:") else name
        yield f"cloudformation:{operation}", f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/1", {}
    elif service == "apigateway":
        assert operation == "GetApiKey"
        yield "apigateway:GET", f"arn:aws:apigateway:{REGION}::/apikeys/{params['apiKey']}", {}
    elif service == "logs":
        yield f"logs:{operation}", _log(params, f"arn:aws:logs:{REGION}:{ACCOUNT}"), {}
    elif service != "sts":  # everybody may ask who they are
        raise AssertionError(f"{service} {operation} is new: what does IAM ask?")


def _of_sagemaker(operation: str, params: Mapping[str, Any], base: str) -> Iterator[Question]:
    action = f"sagemaker:{operation}"
    given = next((kind for kind in _KINDS if f"{kind}Name" in params and operation.endswith(kind)), None)
    given = given or next((kind for kind in _KINDS if f"{kind}Name" in params), None)
    if operation == "ListModelPackages":
        where = f"{base}:model-package/*"
    elif operation.startswith("List") and operation in {"ListModels", "ListEndpointConfigs", "ListEndpoints"}:
        where = "*"
    elif operation.endswith("ModelPackage"):
        name = params.get("ModelPackageArn") or params.get("ModelPackageName")
        where = str(name) if name else f"{base}:model-package/{params['ModelPackageGroupName']}/1"
    elif "ResourceArn" in params:
        where = str(params["ResourceArn"])
    else:
        assert given is not None, (operation, params)
        where = f"{base}:{_KINDS[given]}/{params[f'{given}Name']}"
    yield action, where, {}
    if params.get("Tags"):
        yield "sagemaker:AddTags", where, {}
    role = params.get("RoleArn") or params.get("ExecutionRoleArn")
    if role:
        yield "iam:PassRole", str(role), {"iam:PassedToService": "sagemaker.amazonaws.com"}


def _log(params: Mapping[str, Any], base: str) -> str:
    group = f"{base}:log-group:{params['logGroupName']}"
    return f"{group}:log-stream:{params['logStreamName']}" if "logStreamName" in params else f"{group}:*"


@pytest.mark.slow
def test_every_call_of_a_refresh_is_one_that_the_platform_may_make(
    shared_data: Path, whole: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = load(
        "base.yaml", STACK, EndpointName="petroleum-demand", ModelGroup="petroleum-demand", Database="petroleum_demand"
    )
    roles = {
        "FORECAST_ROLE_ARN": stack.resolve({"Fn::GetAtt": ["JobRole", "Arn"]}),
        "FORECAST_ENDPOINT_ROLE_ARN": stack.resolve({"Fn::GetAtt": ["EndpointRole", "Arn"]}),
    }
    for name, value in {**whole.settings, **roles}.items():
        monkeypatch.setenv(name, value)
    whole.client("glue").create_database(DatabaseInput={"Name": "petroleum_demand"})  # the stack's
    with recorded() as calls:
        world = World(
            whole.lake_uri, shared_data / "weekly", series=(SERIES,), resources={"sagemaker": sagemaker(whole.lake_uri)}
        )
        for job, week in (("weekly_refresh", WEEK), ("deploy", None)):
            outcome = world.run(job, week)
            assert outcome.succeeded, outcome.reasons
        model_endpoint(world.settings, world.platform.sagemaker).invoke(QUESTION)
        world.close()
    asked = [translated(question, stack) for call in calls for question in questions(call)]
    made = {action for action, _, _ in asked}
    assert made >= {"sagemaker:CreateTrainingJob", "sagemaker:CreateEndpoint", "iam:PassRole", "s3:PutObject"}
    assert refused(stack.role("PlatformRole"), asked) == []
    assert len(refused(stack.role("EndpointRole"), asked)) > len(made), "the calls are more than any role may make"


def refused(statements: list[Statement], asked: list[Question]) -> list[tuple[str, str]]:
    return sorted(
        {(action, where) for action, where, context in asked if not allowed(statements, action, where, context)}
    )


def translated(question: Question, stack: Template) -> Question:
    """A question about what the servers have, as one about what the stack has."""
    action, where, context = question
    bucket = stack.resolve({"Fn::GetAtt": ["Bucket", "Arn"]})
    where = where.replace(f"arn:aws:s3:::{BUCKET}", bucket)
    return action, re.sub(r":[a-z]+-[a-z]+-\d:\d{12}:", f":{REGION}:{ACCOUNT}:", where), context
