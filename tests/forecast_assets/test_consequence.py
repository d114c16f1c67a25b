"""What an alert says of the forecast and the model: the truth, or that it could not be asked."""

import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from forecast_assets import consequence as module
from forecast_assets.consequence import consequence
from resources.aws import AwsAccessError
from resources.lake import Lake, LakeError
from tests.sensors.conftest import write_forecast
from tests.world import WEEK, World


class Endpoint:
    """An endpoint as SageMaker tells of it."""

    def __init__(self, status: str = "InService", package: str | None = "arn:1") -> None:
        self._status, self._package = status, package

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(status=self._status, config="c")

    def package(self, config: str) -> str | None:
        return self._package


class Away(Endpoint):
    def status(self) -> SimpleNamespace:
        raise AwsAccessError("look at endpoint x", "ExpiredToken", "said")


class Hanging(Endpoint):
    def status(self) -> SimpleNamespace:
        threading.Event().wait(60)
        return super().status()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "lake", tmp_path)
    write_forecast(world, WEEK)
    return world


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        pytest.param(Endpoint(), "The model of 2023-11-03 keeps serving.", id="serves"),
        pytest.param(Endpoint("Updating"), "The model of 2023-11-03 keeps serving.", id="updating"),
        pytest.param(Endpoint(package=None), "A model that the registry has not keeps serving.", id="unknown"),
        pytest.param(Endpoint("Failed"), "The endpoint is Failed and does not answer.", id="failed"),
        pytest.param(Away(), "Which model serves could not be asked (AwsAccessError).", id="refused"),
        pytest.param(Hanging(), "Which model serves could not be asked in time.", id="hangs"),
    ],
)
def test_it_names_the_model_that_serves_or_says_why_not(
    world: World, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, said: str
) -> None:
    monkeypatch.setattr(module, "model_endpoint", lambda *_: endpoint)
    monkeypatch.setattr(module, "_PATIENCE_S", 0.3 if isinstance(endpoint, Hanging) else 30)
    registry = SimpleNamespace(model=lambda arn: SimpleNamespace(week=WEEK - timedelta(weeks=1)))
    monkeypatch.setattr(type(world.platform), "registry", registry)
    assert consequence(world.platform) == f"The newest forecast is that of 2023-11-10. {said}"


def test_a_lake_that_is_away_is_no_reason_to_say_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise LakeError("away")

    monkeypatch.setattr(Lake, "weeks", away)
    assert consequence(world.platform).startswith("Which forecast is the newest could not be asked (LakeError).")
