"""The job `deploy`: the newest approved model, tested against its artifact, taken back where it fails."""

import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from forecast_assets.checks import serving
from resources.sagemaker.local.clients import register_image
from tests.models import deploys, register, served
from tests.world import ROOT, World

FIRST, SECOND, THIRD = date(2023, 11, 3), date(2023, 11, 10), date(2023, 11, 17)
LIAR, MUTE = "local/liar:latest", "local/mute:latest"

# Our own serving image, whose means are a millionth too high.
LYING = """
import os, sys
from containers.serving import __main__, app
truth = app.records
app.records = lambda *a: [row | {"mean": row["mean"] * (1 + 1e-6)} for row in truth(*a)]
sys.exit(__main__.main(["serve"], os.environ))
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(ROOT)
    made = World(tmp_path / "lake", tmp_path)
    made.platform.sagemaker.client()
    script = tmp_path / "liar.py"
    script.write_text(LYING)
    register_image(made.platform.sagemaker.root, LIAR, {"serve": [sys.executable, str(script)]})
    register_image(made.platform.sagemaker.root, MUTE, {"serve": [sys.executable, "-c", "raise SystemExit(3)"]})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (LIAR, "EndpointSmokeTestError: .*WDIUPUS2: mean of 2023-11-17 is .*WGFUPUS2: mean of 2023-11-17 is "),
        (MUTE, "EndpointUpdateError: .*did not pass the ping health check"),
    ],
    ids=["a millionth off", "never up"],
)
def test_a_bad_model_fails_the_asset_with_the_reason_and_the_one_before_serves(
    world: World, image: str, said: str
) -> None:
    good = register(world, FIRST)
    deploys(world)
    bad = register(world, SECOND, image=image)
    outcome = world.run("deploy", week=None)
    assert not outcome.succeeded
    [reason] = outcome.reasons
    assert re.search(said, reason), reason
    assert "petroleum-demand/1 " in reason
    assert served(world) == good.arn
    assert not world.platform.is_deployed(), "it is tried again"
    world.platform.registry.decide(bad.version, "Rejected", reason="it does not answer")
    assert world.platform.is_deployed()
    register(world, THIRD)
    deploys(world)


def test_an_old_approval_deploys_nothing(world: World) -> None:
    old = register(world, FIRST, approval="PendingManualApproval")
    new = register(world, SECOND)
    deploys(world)
    world.platform.registry.decide(old.version, "Approved", reason="late")
    assert world.platform.is_deployed()
    deploys(world)
    assert served(world) == new.arn


def test_a_model_that_waits_is_deployed_once_a_person_approves_it_and_not_before(world: World) -> None:
    waiting = register(world, FIRST, approval="PendingManualApproval")
    assert not world.run("deploy", week=None).succeeded
    assert world.platform.waiting() == waiting
    approved = world.platform.registry.decide(waiting.version, "Approved", reason="the figures\nare right")
    assert (approved.approval, approved.reason) == ("Approved", "the figures are right")
    assert world.platform.waiting() is None
    deploys(world)
    assert served(world) == waiting.arn


def test_rejecting_what_serves_goes_back_to_the_version_before(world: World) -> None:
    before = register(world, FIRST)
    deploys(world)
    serves = register(world, SECOND)
    deploys(world)
    world.platform.registry.decide(serves.version, "Rejected", reason="it is too high")
    assert not world.platform.is_deployed()
    deploys(world)
    assert served(world) == before.arn


def test_the_check_finds_what_lies_later(world: World) -> None:
    """What serves was tested; a check that is run again finds what has become of it."""
    register(world, FIRST)
    deploys(world)
    sagemaker = world.platform.sagemaker
    check = serving.answers_as_artifact.op.compute_fn.decorated_fn
    assert check(None, world.settings, world.lake, sagemaker).passed
    world.close()
    result = check(None, world.settings, world.lake, sagemaker)
    assert not result.passed
    assert "It does not answer: there is no endpoint petroleum-demand" in str(result.description)


def test_an_endpoint_on_instances_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FORECAST_ENDPOINT__INSTANCE_TYPE", "ml.t2.medium")
    monkeypatch.setenv("FORECAST_ENDPOINT__INSTANCE_COUNT", "2")
    world = World(tmp_path / "lake", tmp_path)
    try:
        register(world, FIRST)
        deploys(world)
        client = world.platform.sagemaker.client()
        config = client.describe_endpoint(EndpointName="petroleum-demand")["EndpointConfigName"]
        [variant] = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.t2.medium", 2)
        assert "ServerlessConfig" not in variant
    finally:
        world.close()
