"""`forecast aws` on an account: CloudFormation and what it makes from MiniStack, SageMaker from the twin over HTTP."""

import json
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import main
from forecast_assets.settings import load_settings
from resources import aws
from resources.cloudformation import operation
from resources.sagemaker.local.http import LocalServer
from resources.sagemaker.local.operations import LocalSageMaker
from tests.aws.ministack import MiniStack, ministack

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::000000000000:role/petroleum-demand-us-east-1-endpoint"
BUCKET = "petroleum-demand-000000000000-us-east-1"
IMAGES = ("processing", "training", "serving", "gateway")
Forecast = Callable[..., Result]


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniStack]:
    """An account without anything in it, which this process's clients reach."""
    with ministack(tmp_path / "ministack") as stack, LocalServer(LocalSageMaker(tmp_path / "twin"), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        for name in [name for name in os.environ if name.startswith("FORECAST_")]:
            monkeypatch.delenv(name)
        for name, value in {**stack.variables, "AWS_ENDPOINT_URL_SAGEMAKER": server.url}.items():
            monkeypatch.setenv(name, value)
        pause = time.sleep
        monkeypatch.setattr(operation.time, "sleep", lambda _: pause(0.05))
        aws.client.cache_clear()
        yield stack
        aws.client.cache_clear()
        server.shutdown()
        thread.join()


@pytest.fixture
def forecast(account: MiniStack) -> Forecast:
    return lambda *arguments, **more: CliRunner().invoke(main, ["aws", *arguments], **more)


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def variables(result: Result) -> dict[str, str]:
    """What a shell that evaluates the output has in its environment."""
    words = [shlex.split(line) for line in result.stdout.splitlines()]
    assert {word[0] for word in words} == {"export"}
    return dict(word[1].split("=", 1) for word in words)


def everything(account: MiniStack) -> dict[str, Any]:
    """Names of all that an account can hold of us."""
    sagemaker = aws.client("sagemaker", "us-east-1")

    def names(found: list[dict[str, Any]], field: str) -> list[str]:
        return sorted(str(each[field]) for each in found)

    iam, logs = account.client("iam"), account.client("logs")
    return {
        "stacks": names(account.client("cloudformation").describe_stacks()["Stacks"], "StackName"),
        "buckets": names(account.client("s3").list_buckets()["Buckets"], "Name"),
        "repositories": names(account.client("ecr").describe_repositories()["repositories"], "repositoryName"),
        "roles": names(iam.list_roles()["Roles"], "RoleName"),
        "policies": names(iam.list_policies(Scope="Local")["Policies"], "PolicyName"),
        "profiles": names(iam.list_instance_profiles()["InstanceProfiles"], "InstanceProfileName"),
        "queues": account.client("sqs").list_queues().get("QueueUrls", []),
        "topics": account.client("sns").list_topics()["Topics"],
        "subscriptions": account.client("sns").list_subscriptions()["Subscriptions"],
        "logs": names(logs.describe_log_groups()["logGroups"], "logGroupName"),
        "databases": names(account.client("glue").get_databases()["DatabaseList"], "Name"),
        "workgroups": names(account.client("athena").list_work_groups()["WorkGroups"], "Name"),
        "endpoints": names(sagemaker.list_endpoints()["Endpoints"], "EndpointName"),
        "configs": names(sagemaker.list_endpoint_configs()["EndpointConfigs"], "EndpointConfigName"),
        "models": names(sagemaker.list_models()["Models"], "ModelName"),
        "groups": names(sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"], "ModelPackageGroupName"),
    }


def use(account: MiniStack) -> None:
    """What runs leave behind: objects in versions, an image, a registered model, an endpoint with its config."""
    s3, ecr, sagemaker = account.client("s3"), account.client("ecr"), aws.client("sagemaker", "us-east-1")
    for body in (b"first", b"second"):
        s3.put_object(Bucket=BUCKET, Key="lake/observations/week=2023-11-10/data.parquet", Body=body)
    s3.put_object(Bucket=BUCKET, Key="landing/deleted.csv", Body=b"x")
    s3.delete_object(Bucket=BUCKET, Key="landing/deleted.csv")
    push(ecr, "gateway", "revision")
    model = account.log.parents[1] / "twin" / "s3" / BUCKET / "lake" / "models" / "a" / "model.tar.gz"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"")  # where the twin looks for it; the object is as good as any other here
    sagemaker.create_model_package_group(ModelPackageGroupName="petroleum-demand")
    image = {"Image": "local/forecast-serving:latest", "ModelDataUrl": f"s3://{BUCKET}/lake/models/a/model.tar.gz"}
    specification = {
        "Containers": [image],
        "SupportedContentTypes": ["application/json"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    sagemaker.create_model_package(
        ModelPackageGroupName="petroleum-demand", InferenceSpecification=specification, ModelApprovalStatus="Approved"
    )
    for name in ("petroleum-demand-0123456789ab", "petroleum-demand-of-somebody-else"):
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=image)
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5},
        }
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="petroleum-demand", EndpointConfigName="petroleum-demand-0123456789ab")


def push(ecr: Any, image: str, tag: str) -> None:
    manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{image}-{tag}"}, "layers": []}
    ecr.put_image(repositoryName=f"petroleum-demand/{image}", imageManifest=json.dumps(manifest), imageTag=tag)


def test_what_bootstrap_prints_is_all_that_the_settings_need(
    forecast: Forecast, account: MiniStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(forecast("bootstrap"))
    for name, value in variables(ok(forecast("env", "--tag", "1a2b3c4"))).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.compute == "aws"
    assert settings.lake_uri == f"s3://{BUCKET}/lake"
    assert settings.role_arn.endswith(":role/petroleum-demand-us-east-1-job")
    assert settings.serving_role_arn == ROLE
    assert settings.starting_role_arn.endswith(":role/petroleum-demand-us-east-1-pipeline")
    assert settings.images.endswith(".amazonaws.com/petroleum-demand/{image}:1a2b3c4")
    assert settings.eia_source == "live"
    # Where the environment speaks of AWS already, and incompletely, the commands still answer.
    monkeypatch.delenv("FORECAST_IMAGES")
    assert variables(ok(forecast("env")))["FORECAST_LAKE_URI"] == settings.lake_uri


def test_bootstrap_is_safe_to_repeat_and_says_that_nothing_changed(forecast: Forecast, account: MiniStack) -> None:
    first, before = ok(forecast("bootstrap", "--alert-email", "a@b.example")), everything(account)
    second = ok(forecast("bootstrap"))
    assert "nothing had to change" in second.stderr
    assert variables(second) == variables(first)
    assert everything(account) == before
    assert before["subscriptions"], "the address is kept where none is given"


def test_before_bootstrap_env_says_what_to_do(forecast: Forecast) -> None:
    result = forecast("env")
    assert result.exit_code == 1
    assert "no stack petroleum-demand: make it with `forecast aws bootstrap`" in result.stderr


def test_the_newest_tag_is_one_that_every_image_has(forecast: Forecast, account: MiniStack) -> None:
    assert "FORECAST_IMAGES" not in variables(ok(forecast("bootstrap")))
    ecr = account.client("ecr")
    for image in IMAGES:
        push(ecr, image, "complete")
    push(ecr, "serving", "halfway")
    assert variables(ok(forecast("env")))["FORECAST_IMAGES"].endswith("{image}:complete")


def test_teardown_asks_and_names_what_is_lost(forecast: Forecast, account: MiniStack) -> None:
    ok(forecast("bootstrap"))
    use(account)
    before = everything(account)
    result = forecast("teardown", "--delete-data", input="n\n")
    assert result.exit_code == 1
    assert f"bucket {BUCKET}: EVERY table" in result.stderr
    assert everything(account) == before


def test_teardown_keeps_the_data_and_the_next_bootstrap_takes_them_up(forecast: Forecast, account: MiniStack) -> None:
    empty = everything(account)
    ok(forecast("bootstrap"))
    use(account)
    ok(forecast("teardown", "--yes"))
    others = {name: ["petroleum-demand-of-somebody-else"] for name in ("configs", "models")}
    kept = {**empty, "buckets": [BUCKET], "groups": ["petroleum-demand"], **others}
    assert everything(account) == kept
    ok(forecast("teardown", "--yes"))
    assert everything(account) == kept

    ok(forecast("bootstrap"))
    found = account.client("s3").get_object(Bucket=BUCKET, Key="lake/observations/week=2023-11-10/data.parquet")
    assert found["Body"].read() == b"second"
    resources = account.client("cloudformation").describe_stack_resources(StackName="petroleum-demand")
    assert BUCKET in str(resources["StackResources"])


def test_teardown_with_the_data_leaves_nothing(forecast: Forecast, account: MiniStack) -> None:
    empty = everything(account)
    ok(forecast("bootstrap", "--alert-email", "a@b.example"))
    use(account)
    ok(forecast("teardown", "--yes"))
    result = ok(forecast("teardown", "--delete-data", "--yes"))
    others = {name: ["petroleum-demand-of-somebody-else"] for name in ("configs", "models")}
    assert everything(account) == {**empty, **others}
    assert re.search(r"\d versions of objects deleted", result.stderr)
    ok(forecast("teardown", "--delete-data", "--yes"))
