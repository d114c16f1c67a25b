"""Registry and endpoint against the control plane on this machine."""

import sys
import tarfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from resources.sagemaker.endpoint import TESTED, ModelEndpoint
from resources.sagemaker.endpoint.configs import instances, serverless
from resources.sagemaker.endpoint.errors import (
    EndpointAnswerError,
    EndpointMissingError,
    EndpointRefusedError,
    EndpointRollbackError,
    EndpointSmokeTestError,
    EndpointUpdateError,
)
from resources.sagemaker.local.clients import local_client, register_image
from resources.sagemaker.registry import Candidate, ModelMissingError, ModelRegistry, RegisteredModel

ROLE = "arn:aws:iam::000000000000:role/forecast"

# A model that says which artifact it was given. One that holds `broken` keeps it from starting, `never well` fails its
# ping, `failing` fails every request, and `garbled` answers what is not JSON.
SERVER = """
    import http.server, json, os, pathlib, sys
    answer = pathlib.Path(os.environ["SM_ML_ROOT"], "model", "answer.txt").read_text()
    if answer == "broken":
        sys.exit("cannot load the model")
    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self, status, body):
            self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        def do_GET(self):
            self.reply(500 if answer == "never well" else 200, b"")
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = "periods" not in asked
            if answer == "failing":
                return self.reply(500, b"no forecast today")
            if answer == "garbled":
                return self.reply(200, b"<html>")
            self.reply(400 if refused else 200, json.dumps("no periods" if refused else answer).encode())
        def log_message(self, *a): pass
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


class Platform:
    def __init__(self, root: Path) -> None:
        self.root = root
        script = root / "server.py"
        script.parent.mkdir(parents=True)
        script.write_text(textwrap.dedent(SERVER))
        register_image(root, "test", {"serve": [sys.executable, str(script)]})
        self.client = local_client("sagemaker", root)
        self.registry = ModelRegistry(self.client, group="demand")
        self.endpoint = self.with_capacity(serverless(memory_mb=1024, max_concurrency=5))

    def with_capacity(self, capacity: dict[str, Any], keep: int = 3) -> ModelEndpoint:
        runtime = local_client("sagemaker-runtime", self.root)
        return ModelEndpoint(
            self.client, runtime, name="demand", role_arn=ROLE, capacity=capacity, keep=keep, poll_s=0.02
        )

    def register(self, answer: str, week: date, *, approve: bool = True) -> RegisteredModel:
        folder = self.root / "s3" / "lake" / "models" / answer
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "answer.txt").write_text(answer)
        with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
            archive.add(folder / "answer.txt", "answer.txt")
        return self.registry.register(
            Candidate(
                week=week,
                digest=answer,
                model_data=f"s3://lake/models/{answer}/model.tar.gz",
                metrics="s3://lake/metrics.json",
                facts={"passed": "WGFUPUS2"},
            ),
            image="test",
            approval="Approved" if approve else "PendingManualApproval",
            reason="it is a test",
        )

    def deploy(self, model: RegisteredModel, endpoint: ModelEndpoint | None = None) -> bool:
        def smoke_test(endpoint: ModelEndpoint) -> None:
            """A model that holds `liar: x` should answer something else."""
            answer = endpoint.invoke({"periods": 1})
            if answer.startswith("liar"):
                raise EndpointAnswerError(endpoint.name, f"it says {answer}")

        return (endpoint or self.endpoint).deploy(
            model, smoke_test=smoke_test, max_wait_s=30, progress=lambda text: None
        )

    def configs(self) -> set[str]:
        return {
            item["EndpointConfigName"] for item in self.client.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
        }

    def models(self) -> set[str]:
        return {item["ModelName"] for item in self.client.list_models(MaxResults=100)["Models"]}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path / "twin")
    yield made
    if made.endpoint.status() is not None:
        made.endpoint.delete()


FIRST, SECOND = date(2023, 11, 3), date(2023, 11, 10)


def test_an_empty_registry_has_no_model(platform: Platform) -> None:
    assert platform.registry.newest("Approved") is None


def test_the_same_artifact_of_a_week_is_registered_once(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    assert platform.register("one", FIRST) == model
    assert platform.register("two", FIRST).version == model.version + 1


def test_the_newest_approved_is_by_week_then_version(platform: Platform) -> None:
    platform.register("later", SECOND)
    platform.register("earlier", FIRST)
    latest = platform.register("again", SECOND)
    platform.register("waiting", date(2023, 11, 17), approve=False)
    assert platform.registry.newest("Approved") == latest
    earlier = platform.registry.newest("Approved", before=SECOND)
    assert earlier is not None
    assert earlier.digest == "earlier"


def test_a_year_of_versions_is_one_list_and_one_description(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 53):
        platform.register("one", FIRST - number * timedelta(weeks=1))
    newest = platform.register("two", FIRST)
    asked: list[str] = []
    platform.client.meta.events.register("before-call.sagemaker", lambda model, **_: asked.append(model.name))
    assert platform.registry.newest("Approved") == newest
    assert platform.registry.find(week=FIRST, digest="two") == newest
    assert asked == ["ListModelPackages", "DescribeModelPackage"] * 2


def test_versions_that_others_registered_are_left_alone(platform: Platform) -> None:
    ours = platform.register("one", FIRST)
    platform.client.create_model_package(ModelPackageGroupName="demand", ModelApprovalStatus="Approved")
    assert list(platform.registry.models()) == [ours]
    assert platform.registry.newest("Approved") == ours


def test_a_persons_word_is_kept_when_the_same_artifact_comes_again(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    platform.registry.decide(model.version, "Rejected", reason="too high")
    again = platform.register("one", FIRST)
    assert (again.version, again.approval, again.reason) == (model.version, "Rejected", "too high")
    with pytest.raises(ModelMissingError, match="demand has no version 7"):
        platform.registry.decide(7, "Approved", reason="it is not there")


def test_a_deployment_serves_the_model_and_a_second_one_changes_nothing(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    assert platform.deploy(model)
    assert platform.endpoint.serves(model)
    assert platform.endpoint.invoke({"periods": 1}) == "one"
    assert not platform.deploy(model)


@pytest.mark.parametrize("first", [True, False], ids=["both create", "both update"])
def test_two_deployments_of_a_model_at_once_both_end_well(platform: Platform, *, first: bool) -> None:
    if not first:
        platform.deploy(platform.register("before", FIRST))
    model = platform.register("one", SECOND)
    with ThreadPoolExecutor(3) as pool:
        changed = list(pool.map(platform.deploy, [model] * 3))
    assert any(changed)
    assert platform.endpoint.serves(model)


def test_an_update_replaces_the_model(platform: Platform) -> None:
    platform.deploy(platform.register("one", FIRST))
    assert platform.deploy(platform.register("two", SECOND))
    assert platform.endpoint.invoke({"periods": 1}) == "two"


def test_other_memory_is_another_config_of_the_same_model(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    platform.deploy(model)
    assert platform.deploy(model, platform.with_capacity(serverless(memory_mb=2048, max_concurrency=5)))


BAD = {
    "broken": (EndpointUpdateError, "did not pass the ping health check"),
    "never well": (EndpointUpdateError, "did not pass the ping health check"),
    "liar": (EndpointSmokeTestError, "it says liar"),
    "failing": (EndpointSmokeTestError, "Received server error .500. .*no forecast today"),
    "garbled": (EndpointSmokeTestError, "<html>' is not JSON"),
}


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "never well")) for name in BAD])
def bad(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "never well":  # for this one the time must pass; it holds for the good models beside it too
        monkeypatch.setenv("SAGEMAKER_LOCAL_STARTUP_S", "5")
    return str(request.param)


def test_a_bad_model_is_taken_back_and_the_one_before_serves_again(platform: Platform, bad: str) -> None:
    old = platform.register("one", FIRST)
    platform.deploy(old)
    before = platform.configs(), platform.models()
    kind, why = BAD[bad]
    with pytest.raises(kind, match=rf"{why}.* demand/1 \(config demand-[0-9a-f]+\) serves"):
        platform.deploy(platform.register(bad, SECOND))
    assert platform.endpoint.serves(old)
    assert platform.endpoint.invoke({"periods": 1}) == "one"
    assert (platform.configs(), platform.models()) == before, "nothing of the failed one is left"
    assert platform.deploy(platform.register("two", SECOND))


@pytest.mark.slow
def test_a_change_that_takes_too_long_is_left_to_the_next_deployment(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_LOCAL_STARTUP_S", "5")  # read by the supervisor, which starts with the first model
    old = platform.register("one", FIRST)
    platform.deploy(old)
    slow = platform.register("never well", SECOND)
    with pytest.raises(EndpointUpdateError, match=r"longer than endpoint.max_update_s.*It is still Updating: run"):
        platform.endpoint.deploy(slow, smoke_test=lambda _: None, max_wait_s=0.1, progress=lambda _: None)
    assert platform.endpoint.invoke({"periods": 1}) == "one"
    assert not platform.endpoint.serves(old)
    assert platform.deploy(platform.register("two", SECOND))
    assert platform.endpoint.invoke({"periods": 1}) == "two"


def test_a_bad_first_model_leaves_no_endpoint(platform: Platform, bad: str) -> None:
    kind, why = BAD[bad]
    with pytest.raises(kind, match=rf"{why}.* taken down and nothing serves"):
        platform.deploy(platform.register(bad, FIRST))
    assert platform.endpoint.status() is None
    assert (platform.configs(), platform.models()) == (set(), set())


def untested(platform: Platform, model: RegisteredModel) -> None:
    """Have the endpoint serve a model as a deployment leaves it that was killed before its test."""

    def killed(_: ModelEndpoint) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        platform.endpoint.deploy(model, smoke_test=killed, max_wait_s=30, progress=lambda text: None)


def test_a_deployment_that_was_killed_before_its_test_is_tested_by_the_next(platform: Platform) -> None:
    old, new, liar = (platform.register(name, SECOND) for name in ("one", "two", "liar"))
    platform.deploy(old)
    untested(platform, new)
    assert not platform.endpoint.serves(new)
    assert platform.deploy(new)
    assert platform.endpoint.serves(new)
    untested(platform, liar)
    with pytest.raises(EndpointSmokeTestError, match="demand/2 .* serves again"):
        platform.deploy(liar)
    assert platform.endpoint.serves(new)


def test_what_is_brought_back_is_what_passed_last_not_what_happens_to_serve(platform: Platform) -> None:
    good = platform.register("one", FIRST)
    platform.deploy(good)
    untested(platform, platform.register("liar", FIRST))
    with pytest.raises(EndpointSmokeTestError, match="demand/1 .* serves again"):
        platform.deploy(platform.register("liar two", SECOND))
    assert platform.endpoint.serves(good)


def test_a_way_back_that_fails_says_how_the_endpoint_stands(platform: Platform) -> None:
    platform.deploy(platform.register("one", FIRST))
    (platform.root / "s3/lake/models/one/model.tar.gz").write_bytes(b"no archive any more")
    with pytest.raises(EndpointRollbackError, match="it says liar.*could not be brought back: it is InService with"):
        platform.deploy(platform.register("liar", SECOND))


def test_old_configs_and_models_are_kept_by_count_and_nobody_elses_are_touched(platform: Platform) -> None:
    others = {"demand", "demand-0123456789", "demand-0123456789ab-0123456789ab", "my-demand-0123456789ab"}
    for name in others:
        platform.client.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "test"})
        variant = {"VariantName": "v", "ModelName": name, **serverless(memory_mb=1024, max_concurrency=1)}
        platform.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    endpoint = platform.with_capacity(serverless(memory_mb=1024, max_concurrency=5), keep=2)
    made = [platform.register(f"m{number}", SECOND) for number in range(5)]
    for model in made:
        platform.deploy(model, endpoint)
    names = [endpoint._configs.name_of(model) for model in made]
    assert platform.configs() == platform.models() == {*others, *names[-2:]}
    platform.deploy(made[0], endpoint)  # its config is the newest again
    assert platform.configs() == platform.models() == {*others, names[0], names[4]}


def test_what_may_have_to_serve_again_is_kept_however_old_its_config_is(platform: Platform) -> None:
    endpoint = platform.with_capacity(serverless(memory_mb=1024, max_concurrency=5), keep=1)
    old = platform.register("one", FIRST)
    platform.deploy(old, endpoint)
    for number in range(2):  # made and never served, or brought back from
        endpoint._configs.ensure(platform.register(f"m{number}", FIRST))
    with pytest.raises(EndpointSmokeTestError):
        platform.deploy(platform.register("liar", SECOND), endpoint)
    assert endpoint.serves(old)
    platform.deploy(platform.register("two", SECOND), endpoint)
    assert endpoint._configs.name_of(old) in platform.configs()


def test_an_endpoint_on_instances_serves_as_a_serverless_one_does(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    platform.deploy(model)
    on_instances = platform.with_capacity(instances(instance_type="ml.t2.medium", count=2))
    assert not on_instances.serves(model)
    assert platform.deploy(model, on_instances)
    assert on_instances.invoke({"periods": 1}) == "one"
    [variant] = platform.client.describe_endpoint(EndpointName="demand")["ProductionVariants"]
    assert variant["CurrentInstanceCount"] == 2


def test_an_endpoint_on_instances_is_not_taken_down_for_a_serverless_one_unasked(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    on_instances = platform.with_capacity(instances(instance_type="ml.t2.medium", count=1))
    platform.deploy(model, on_instances)
    with pytest.raises(
        EndpointUpdateError, match=r"from instances to serverless.*endpoint stop.*demand/1 .* serves on"
    ):
        platform.deploy(model)
    assert on_instances.serves(model)
    assert len(platform.configs()) == 1
    platform.endpoint.delete()
    assert platform.deploy(model)


def test_a_way_back_to_serverless_makes_the_endpoint_anew(platform: Platform) -> None:
    old = platform.register("one", FIRST)
    platform.deploy(old)
    with pytest.raises(EndpointSmokeTestError, match="demand/1 .* serves again"):
        platform.deploy(
            platform.register("liar", SECOND), platform.with_capacity(instances(instance_type="ml.t2.medium", count=1))
        )
    assert platform.endpoint.serves(old)


def test_throttled_looks_are_tried_again(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, False] * 1000)
    look = platform.client.describe_endpoint

    def throttled(**request: str) -> object:
        if next(answers):
            told = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
            raise ClientError(told, "DescribeEndpoint")
        return look(**request)

    model = platform.register("one", FIRST)
    endpoint = platform.with_capacity(serverless(memory_mb=1024, max_concurrency=5))
    monkeypatch.setattr(endpoint, "passed", lambda config: None)  # the one look that is not part of a wait
    monkeypatch.setattr(platform.client, "describe_endpoint", throttled)
    assert platform.deploy(model, endpoint)


def test_a_change_that_shows_a_moment_later_is_not_taken_for_a_failure(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.deploy(platform.register("one", FIRST))
    endpoint, client = platform.endpoint, platform.client
    look, update, before = endpoint.status, client.update_endpoint, endpoint.status()
    stale: Iterator[object] = iter([])

    def updates(**request: str) -> object:
        nonlocal stale
        stale = iter([before] * 2)
        return update(**request)

    monkeypatch.setattr(client, "update_endpoint", updates)
    monkeypatch.setattr(endpoint, "status", lambda: next(stale, None) or look())
    assert platform.deploy(platform.register("two", SECOND))
    assert endpoint.invoke({"periods": 1}) == "two"


def test_the_tag_says_what_passed(platform: Platform) -> None:
    platform.deploy(platform.register("one", FIRST))
    status = platform.endpoint.status()
    assert status is not None
    assert platform.client.list_tags(ResourceArn=status.arn)["Tags"] == [{"Key": TESTED, "Value": status.config}]


def test_a_failed_endpoint_is_made_anew(platform: Platform) -> None:
    """One that SageMaker could not make, and that a deployment had no time to take down."""
    broken = platform.endpoint._configs.ensure(platform.register("broken", FIRST))
    platform.client.create_endpoint(EndpointName="demand", EndpointConfigName=broken)
    assert platform.deploy(platform.register("one", SECOND))
    assert platform.endpoint.invoke({"periods": 1}) == "one"


def test_a_refused_request_and_a_missing_endpoint_say_so(platform: Platform) -> None:
    with pytest.raises(EndpointMissingError, match="there is no endpoint demand"):
        platform.endpoint.invoke({"periods": 1})
    with pytest.raises(EndpointMissingError):
        platform.endpoint.delete()
    platform.deploy(platform.register("one", FIRST))
    with pytest.raises(EndpointRefusedError, match="no periods"):
        platform.endpoint.invoke({})
