"""Registry and endpoint against the control plane on this machine."""

import sys
import tarfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from resources.sagemaker.endpoint import (
    EndpointMissingError,
    EndpointRefusedError,
    EndpointUpdateError,
    ModelEndpoint,
)
from resources.sagemaker.local.clients import local_client, register_image
from resources.sagemaker.registry import ModelRegistry, RegisteredModel

ROLE = "arn:aws:iam::000000000000:role/forecast"

# A model that says which artifact it was given; one that holds `broken` keeps it from starting.
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
            self.reply(200, b"")
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = "periods" not in asked
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
        self.endpoint = self.with_memory(1024)

    def with_memory(self, memory_mb: int) -> ModelEndpoint:
        runtime = local_client("sagemaker-runtime", self.root)
        return ModelEndpoint(self.client, runtime, name="demand", role_arn=ROLE, memory_mb=memory_mb, max_concurrency=5)

    def register(self, answer: str, week: date, *, approve: bool = True) -> RegisteredModel:
        folder = self.root / "s3" / "lake" / "models" / answer
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "answer.txt").write_text(answer)
        with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
            archive.add(folder / "answer.txt", "answer.txt")
        return self.registry.register(
            week=week,
            digest=answer,
            model_data=f"s3://lake/models/{answer}/model.tar.gz",
            image="test",
            approve=approve,
            facts={"passed": "WGFUPUS2"},
        )

    def deploy(self, model: RegisteredModel, endpoint: ModelEndpoint | None = None) -> bool:
        return (endpoint or self.endpoint).deploy(model, max_wait_s=30, progress=lambda text: None)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path / "twin")
    yield made
    if made.endpoint.status() is not None:
        made.endpoint.delete()


FIRST, SECOND = date(2023, 11, 3), date(2023, 11, 10)


def test_an_empty_registry_has_no_model(platform: Platform) -> None:
    assert platform.registry.newest_approved() is None


def test_the_same_artifact_of_a_week_is_registered_once(platform: Platform) -> None:
    model = platform.register("one", FIRST)
    assert platform.register("one", FIRST) == model
    assert platform.register("two", FIRST).version == model.version + 1


def test_the_newest_approved_is_by_week_then_version(platform: Platform) -> None:
    platform.register("later", SECOND)
    platform.register("earlier", FIRST)
    latest = platform.register("again", SECOND)
    platform.register("waiting", date(2023, 11, 17), approve=False)
    assert platform.registry.newest_approved() == latest
    earlier = platform.registry.newest_approved(before=SECOND)
    assert earlier is not None
    assert earlier.digest == "earlier"


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
    assert platform.deploy(model, platform.with_memory(2048))


def test_a_model_that_does_not_come_up_leaves_the_old_one_serving(platform: Platform) -> None:
    old = platform.register("one", FIRST)
    platform.deploy(old)
    with pytest.raises(EndpointUpdateError, match="did not pass the ping health check"):
        platform.deploy(platform.register("broken", SECOND))
    assert platform.endpoint.serves(old)
    assert platform.endpoint.invoke({"periods": 1}) == "one"


def test_a_failed_endpoint_is_made_anew(platform: Platform) -> None:
    with pytest.raises(EndpointUpdateError):
        platform.deploy(platform.register("broken", FIRST))
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
