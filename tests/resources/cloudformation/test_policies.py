"""Who may do what on AWS, judged from the templates as IAM would."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.policies import (
    ACCOUNT,
    REGION,
    Statement,
    Template,
    allowed,
    limits,
    listed,
    load,
    matches,
    pseudo,
    reference,
)

STACK = "petroleum-demand"
BUCKET = f"arn:aws:s3:::{STACK}-{ACCOUNT}-{REGION}"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
IAM = f"arn:aws:iam::{ACCOUNT}"
ECR = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{STACK}"
BOUNDARY = f"{IAM}:policy/{STACK}-api-{REGION}-boundary"

# Actions that AWS can limit, and that these policies do not limit by an ARN: why, and by what else.
NOT_BY_ARN = {
    # https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html: metrics of jobs belong to no dataset.
    "cloudwatch:PutMetricData": "cloudwatch:namespace",
}
# Stars that stand for all of a kind: AWS, or SageMaker, makes up the names.
ALL_OF_A_KIND = {
    f"{SAGEMAKER}:model-package/*": "the versions are listed by group, but judged by version",
    f"{LOGS}:/aws/sagemaker/ProcessingJobs:log-stream:*": "streams begin with the job's name, jobs with the asset's",
    f"{LOGS}:/aws/sagemaker/TrainingJobs:log-stream:*": "the same",
    **{
        f"arn:aws:apigateway:{REGION}::/{kind}/*": "API Gateway makes up the ids"
        for kind in ("restapis", "apikeys", "usageplans", "tags")
    },
}
OURS = (STACK, "pipelines-", "counterfactual-", "tuning-", "candidate-model-", "petroleum_demand", "/aws/sagemaker/")


@pytest.fixture(scope="module")
def base() -> Template:
    return load(
        "base.yaml", STACK, EndpointName="petroleum-demand", ModelGroup="petroleum-demand", Database="petroleum_demand"
    )


@pytest.fixture(scope="module")
def api() -> Template:
    arn = f"{SAGEMAKER}:endpoint/petroleum-demand"
    return load("api.yaml", f"{STACK}-api", EndpointName="petroleum-demand", EndpointArn=arn)


def may(template: Template, role: str, action: str, resource: str, **context: str) -> bool:
    return allowed(
        template.role(role), action, resource, {key.replace("__", ":"): each for key, each in context.items()}
    )


# -- the endpoint ----------------------------------------------------------------------------------------------------


def test_the_endpoint_reads_models_and_pulls_its_image(base: Template) -> None:
    assert may(base, "EndpointRole", "s3:GetObject", f"{BUCKET}/lake/models/abc/model.tar.gz")
    assert may(base, "EndpointRole", "s3:ListBucket", BUCKET, s3__prefix="lake/models/abc")
    assert may(base, "EndpointRole", "ecr:BatchGetImage", f"{ECR}/serving")
    assert may(base, "EndpointRole", "ecr:GetAuthorizationToken", "*")
    stream = f"{LOGS}:/aws/sagemaker/Endpoints/petroleum-demand:log-stream:AllTraffic/i-0"
    assert may(base, "EndpointRole", "logs:PutLogEvents", stream)


def test_the_endpoint_can_do_nothing_else_to_the_lake(base: Template) -> None:
    """Not only not write it: of all that S3 knows, it may get models and list them."""
    everything = [f"s3:{name}" for name in reference()["s3"]["Actions"]]
    assert len(everything) > 100
    places = [
        BUCKET,
        *(f"{BUCKET}/{key}" for key in ("lake/models/abc/model.tar.gz", "lake/forecast/data.parquet", "x")),
    ]
    found = {(action, place) for action in everything for place in places if may(base, "EndpointRole", action, place)}
    assert found == {("s3:getobject", f"{BUCKET}/lake/models/abc/model.tar.gz")}


def test_the_endpoint_reaches_no_other_service(base: Template) -> None:
    services = {action.partition(":")[0] for each in base.role("EndpointRole") for action in listed(each["Action"])}
    assert services == {"s3", "ecr", "logs", "cloudwatch"}


# -- jobs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "resource", "wanted"),
    [
        ("s3:GetObject", f"{BUCKET}/lake/observations/week=2023-11-10/data.parquet", True),
        ("s3:PutObject", f"{BUCKET}/lake/jobs/counterfactual-2023-11-10/data.parquet", True),
        ("s3:PutObject", f"{BUCKET}/lake/observations/week=2023-11-10/data.parquet", False),
        ("s3:PutObject", f"{BUCKET}/lake/models/abc/model.tar.gz", False),
        ("s3:DeleteObject", f"{BUCKET}/lake/jobs/counterfactual-2023-11-10/data.parquet", False),
        ("s3:GetObject", f"{BUCKET}/landing/secret.csv", False),
        ("s3:GetObject", "arn:aws:s3:::somebody-else/lake/x", False),
        ("s3:GetObject", f"{BUCKET}-of-somebody-else/lake/x", False),
        ("sagemaker:CreateEndpoint", f"{SAGEMAKER}:endpoint/petroleum-demand", False),
        ("sagemaker:CreateTrainingJob", f"{SAGEMAKER}:training-job/candidate-model-1", False),
        ("sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/petroleum-demand", False),
        ("iam:PassRole", f"{IAM}:role/{STACK}-{REGION}-job", False),
        ("ecr:BatchGetImage", f"{ECR}/training", True),
        ("ecr:BatchGetImage", f"{ECR}/serving", False),
        ("ecr:PutImage", f"{ECR}/training", False),
        ("logs:PutLogEvents", f"{LOGS}:/aws/sagemaker/TrainingJobs:log-stream:tuning-1/algo-1-1", True),
        ("logs:PutLogEvents", f"{LOGS}:/aws/lambda/other:log-stream:x", False),
    ],
)
def test_jobs_read_the_lake_and_write_their_files(base: Template, action: str, resource: str, wanted: bool) -> None:
    assert may(base, "JobRole", action, resource) is wanted


def test_jobs_list_the_lake_only(base: Template) -> None:
    assert may(base, "JobRole", "s3:ListBucket", BUCKET, s3__prefix="lake/observations/week=2023-11-10/")
    assert not may(base, "JobRole", "s3:ListBucket", BUCKET, s3__prefix="landing/")
    assert not may(base, "JobRole", "s3:ListBucket", BUCKET)


def test_metrics_are_sagemakers_own(base: Template) -> None:
    assert may(base, "JobRole", "cloudwatch:PutMetricData", "*", cloudwatch__namespace="/aws/sagemaker/TrainingJobs")
    assert not may(base, "JobRole", "cloudwatch:PutMetricData", "*", cloudwatch__namespace="Billing")


@pytest.mark.parametrize("role", ["JobRole", "EndpointRole", "PipelineRole"])
def test_only_sagemaker_for_this_account_takes_the_roles(base: Template, role: str) -> None:
    [trust] = base.resolve(base.resources[role]["Properties"]["AssumeRolePolicyDocument"])["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_the_pipeline_starts_its_own_jobs_with_the_role_of_jobs(base: Template) -> None:
    assert may(base, "PipelineRole", "sagemaker:CreateTrainingJob", f"{SAGEMAKER}:training-job/pipelines-1a-Search-2b")
    assert not may(base, "PipelineRole", "sagemaker:CreateTrainingJob", f"{SAGEMAKER}:training-job/candidate-model-1")
    assert not may(
        base, "PipelineRole", "sagemaker:UpdateModelPackage", f"{SAGEMAKER}:model-package/petroleum-demand/1"
    )
    for role, wanted in (("job", True), ("endpoint", False), ("platform", False)):
        arn, service = f"{IAM}:role/{STACK}-{REGION}-{role}", "sagemaker.amazonaws.com"
        assert may(base, "PipelineRole", "iam:PassRole", arn, iam__PassedToService=service) is wanted


# -- Dagster ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "service", "wanted"),
    [
        (f"{STACK}-{REGION}-job", "sagemaker.amazonaws.com", True),
        (f"{STACK}-{REGION}-endpoint", "sagemaker.amazonaws.com", True),
        (f"{STACK}-{REGION}-pipeline", "sagemaker.amazonaws.com", True),
        (f"{STACK}-{REGION}-job", "lambda.amazonaws.com", False),
        (f"{STACK}-{REGION}-job", "ec2.amazonaws.com", False),
        (f"{STACK}-{REGION}-platform", "sagemaker.amazonaws.com", False),
        (f"{STACK}-api-FunctionRole-1A2B3C", "lambda.amazonaws.com", True),
        (f"{STACK}-api-FunctionRole-1A2B3C", "sagemaker.amazonaws.com", False),
        ("Administrator", "sagemaker.amazonaws.com", False),
    ],
)
def test_the_platform_gives_a_role_to_its_service_only(base: Template, role: str, service: str, wanted: bool) -> None:
    assert may(base, "PlatformRole", "iam:PassRole", f"{IAM}:role/{role}", iam__PassedToService=service) is wanted


def test_a_role_that_the_platform_makes_can_do_no_more_than_the_boundary(base: Template) -> None:
    role = f"{IAM}:role/{STACK}-api-FunctionRole-1A2B3C"
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        assert may(base, "PlatformRole", action, role, iam__PermissionsBoundary=BOUNDARY)
        assert not may(base, "PlatformRole", action, role)
        assert not may(base, "PlatformRole", action, role, iam__PermissionsBoundary=f"{IAM}:policy/other")
    for action in ("iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy"):
        assert not may(base, "PlatformRole", action, role, iam__PermissionsBoundary=BOUNDARY)
    everything = [f"{service}:{name}" for service, each in reference().items() for name in each["Actions"]]
    boundary = base.resolve(base.resources["ApiBoundary"]["Properties"]["PolicyDocument"])["Statement"]
    granted = {action for each in boundary for action in everything if action in map(str.lower, listed(each["Action"]))}
    assert granted == {"sagemaker:invokeendpoint", "logs:createlogstream", "logs:putlogevents"}
    assert allowed(boundary, "sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/petroleum-demand")
    assert not allowed(boundary, "sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/petroleum-demand-2")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:DeleteBucket", BUCKET),
        ("s3:PutBucketPolicy", BUCKET),
        ("s3:DeleteObjectVersion", f"{BUCKET}/lake/forecast/data.parquet"),
        ("s3:DeleteObject", f"{BUCKET}/landing/a.csv"),
        ("sagemaker:DeleteEndpoint", f"{SAGEMAKER}:endpoint/of-somebody-else"),
        ("sagemaker:CreateTrainingJob", f"{SAGEMAKER}:training-job/of-somebody-else"),
        ("sagemaker:DeleteModelPackage", f"{SAGEMAKER}:model-package/of-somebody-else/1"),
        ("sagemaker:DeleteModelPackageGroup", f"{SAGEMAKER}:model-package-group/petroleum-demand"),
        ("cloudformation:DeleteStack", f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/1"),
        ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:other"),
        ("sns:Publish", f"arn:aws:sns:{REGION}:{ACCOUNT}:other"),
        ("glue:DeleteDatabase", f"arn:aws:glue:{REGION}:{ACCOUNT}:database/petroleum_demand"),
        ("athena:StartQueryExecution", f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/primary"),
        ("iam:CreateUser", f"{IAM}:user/x"),
        ("sts:AssumeRole", f"{IAM}:role/{STACK}-{REGION}-job"),
    ],
)
def test_what_the_platform_may_not_do(base: Template, action: str, resource: str) -> None:
    assert limits(action) is not None, "there is such an action"
    assert not may(base, "PlatformRole", action, resource)


def test_the_longest_names_of_the_settings_fit() -> None:
    """6,144 characters a managed policy, 64 the name of a role, 63 that of a bucket."""
    longest = load("base.yaml", "s" * 32, EndpointName="e" * 50, ModelGroup="g" * 63, Database="d" * 64)
    region = "ap-southeast-1"
    for name, resource in longest.resources.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            document = longest.resolve(properties["PolicyDocument"])
            assert len(json.dumps(document, separators=(",", ":"))) < 6144, name
        elif resource["Type"] == "AWS::IAM::Role":
            assert len(longest.resolve(properties["RoleName"]).replace(REGION, region)) <= 64, name
    bucket = longest.resolve(longest.resources["Bucket"]["Properties"]["BucketName"])
    assert len(bucket.replace(REGION, region)) <= 63


# -- the API's function ----------------------------------------------------------------------------------------------


def test_the_function_invokes_its_endpoint_and_logs_and_can_do_nothing_else(api: Template) -> None:
    """Of all that AWS knows."""
    granted = {action for each in api.role("FunctionRole") for action in listed(each["Action"])}
    assert granted == {"sagemaker:InvokeEndpoint", "logs:CreateLogStream", "logs:PutLogEvents"}
    assert may(api, "FunctionRole", "sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/petroleum-demand")
    assert not may(api, "FunctionRole", "sagemaker:InvokeEndpoint", f"{SAGEMAKER}:endpoint/petroleum-demand-2")
    assert may(api, "FunctionRole", "logs:PutLogEvents", f"{LOGS}:/aws/lambda/{STACK}-api:log-stream:2026/1")
    assert not may(api, "FunctionRole", "logs:PutLogEvents", f"{LOGS}:/aws/lambda/{STACK}:log-stream:2026/1")


def test_the_function_has_the_boundary_that_lets_the_platform_make_it(base: Template, api: Template) -> None:
    role = api.resources["FunctionRole"]["Properties"]
    assert api.resolve(role["PermissionsBoundary"]) == BOUNDARY == base.resolve({"Ref": "ApiBoundary"})
    boundary = base.resolve(base.resources["ApiBoundary"]["Properties"]["PolicyDocument"])["Statement"]
    for statement in api.role("FunctionRole"):
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                assert allowed(boundary, action, resource.replace("*", "x")), f"the boundary takes {action} away"


def test_only_lambda_takes_the_functions_role(api: Template) -> None:
    [trust] = api.resolve(api.resources["FunctionRole"]["Properties"]["AssumeRolePolicyDocument"])["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_the_platform_may_make_every_kind_of_thing_of_the_apis_stack(api: Template) -> None:
    """A new kind in the template asks for new permissions: this list is what they were written for."""
    assert {each["Type"].removeprefix("AWS::") for each in api.resources.values()} == {
        "Logs::LogGroup",
        "IAM::Role",
        "Lambda::Function",
        "Lambda::Permission",
        *(f"ApiGateway::{kind}" for kind in ("RestApi", "Model", "RequestValidator", "GatewayResponse", "Resource")),
        *(f"ApiGateway::{kind}" for kind in ("Method", "Deployment", "Stage", "ApiKey", "UsagePlan", "UsagePlanKey")),
    }


# -- no more than is needed ------------------------------------------------------------------------------------------


def faults(template: Template) -> Iterator[str]:
    """Where a policy of a template is wider than AWS makes necessary, or says what AWS does not know."""
    for place, statement in template.policies():
        if statement["Effect"] != "Allow":
            continue
        resources, condition = listed(statement["Resource"]), str(statement.get("Condition"))
        served: set[str] = set()
        for action in listed(statement["Action"]):
            known = limits(action) if "*" not in action else None
            if known is None:
                yield f"{place}: {action} is no action"
            elif "*" in resources:
                if known and NOT_BY_ARN.get(action, "nothing") not in condition:
                    yield f"{place}: {action} could be limited to {known}"
                served.add("*")
            else:
                mine = {each for each in resources if any(_of_kind(each, kind) for kind in known)}
                if not mine:
                    yield f"{place}: {action} is limited to none of {resources}"
                served |= mine
        yield from (f"{place}: {each} serves no action" for each in resources if each not in served)
        yield from (f"{place}: {each} is too wide" for each in resources if each != "*" and _too_wide(each))
        if "iam:PassRole" in listed(statement["Action"]) and "iam:PassedToService" not in str(
            statement.get("Condition")
        ):
            yield f"{place}: passes roles to any service"


def _of_kind(arn: str, kind: str) -> bool:
    """Whether an ARN, which may have stars itself, is of a kind."""
    return matches(kind, arn.replace("*", "x"))


def _too_wide(arn: str) -> bool:
    """Whether stars of an ARN stand for more than the rest of a name of ours."""
    *_, service, region, account, resource = arn.split(":", 5)
    if arn in ALL_OF_A_KIND or "*" not in arn:
        return False
    return "*" in service + region + account or not any(name in resource.partition("*")[0] for name in OURS)


def test_no_policy_is_wider_than_aws_makes_necessary(base: Template, api: Template) -> None:
    assert list(faults(base)) == []
    assert list(faults(api)) == []


def test_every_exception_is_used(base: Template) -> None:
    statements = [each for _, each in base.policies()]
    assert {action for each in statements for action in listed(each["Action"])} >= set(NOT_BY_ARN)
    assert {resource for each in statements for resource in listed(each["Resource"])} >= set(ALL_OF_A_KIND)


def changed(template: Template, role: str, number: int, **members: Any) -> Template:
    content = copy.deepcopy(template.content)
    content["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][number].update(members)
    return Template(content, template.parameters)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"Resource": "*"}, "could be limited"),
        ({"Action": "s3:*"}, "is no action"),
        ({"Action": "s3:GetObjekt"}, "is no action"),
        ({"Resource": "arn:aws:s3:::*"}, "too wide"),
        ({"Resource": f"arn:aws:s3:::{STACK}-x/*", "Action": ["s3:GetObject", "sqs:SendMessage"]}, "limited to none"),
        ({"Resource": [f"{BUCKET}/lake/*", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK}"]}, "serves no action"),
        ({"Resource": f"{IAM}:role/{STACK}-x", "Action": "iam:PassRole"}, "passes roles to any service"),
        ({"Resource": f"arn:aws:sagemaker:*:*:endpoint/{STACK}", "Action": "sagemaker:InvokeEndpoint"}, "too wide"),
    ],
)
def test_a_policy_that_is_widened_is_found(base: Template, members: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in faults(changed(base, "EndpointRole", 0, **members)))


def test_an_endpoint_that_could_write_would_be_found(base: Template) -> None:
    wider = changed(base, "EndpointRole", 0, Action=["s3:GetObject", "s3:PutObject"])
    with pytest.raises(AssertionError):
        test_the_endpoint_can_do_nothing_else_to_the_lake(wider)


# -- the judge itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}, True),
        ({"Effect": "Allow", "Action": "S3:getobject", "Resource": "arn:aws:s3:::b/*"}, True),
        ({"Effect": "Allow", "Action": ["s3:Get*", "s3:Put*"], "Resource": ["arn:aws:s3:::b/k?y"]}, True),
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b"}, False),
        ({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}, False),
        ({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:x": "y"}}}, False),
        ({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringLike": {"aws:z": "2*"}}}, True),
    ],
)
def test_the_judge_judges_as_iam_does(statement: Statement, wanted: bool) -> None:
    assert allowed([statement], "s3:GetObject", "arn:aws:s3:::b/key", {"aws:z": "26"}) is wanted


def test_a_denial_wins() -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    assert not allowed([everything, {**everything, "Effect": "Deny"}], "s3:GetObject", "arn:aws:s3:::b/key")


def test_references_are_resolved() -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Fn::Sub": "${P}-${AWS::Region}"}}}
    content = {"Parameters": {"P": {"Type": "String", "Default": "p"}}, "Resources": {"B": bucket}}
    template = Template(content, pseudo("s"))
    assert template.resolve({"Fn::Sub": "${B.Arn}/x"}) == f"arn:aws:s3:::p-{REGION}/x"
    assert template.resolve({"Ref": "B"}) == f"p-{REGION}"
