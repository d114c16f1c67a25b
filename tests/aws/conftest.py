"""Fixtures of AWS mode: servers on the loopback address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.execute_api import execute_api
from tests.aws.ministack import ministack
from tests.aws.world import Aws, Server
from tests.refreshes import ENDPOINT


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """moto's server; shared, emptied by every `aws`."""
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        server = Server(log)
        yield server
        server.close()


@pytest.fixture
def aws(moto: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """An account of its own, which the clients of this process reach."""
    world = Aws(tmp_path, moto, monkeypatch)
    monkeypatch.setenv("SAGEMAKER_LOCAL_STOP_GRACE_S", "0.5")
    yield world
    world.close()


@pytest.fixture
def whole(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """The account with what the REST API stands on, CloudFormation and API Gateway, from MiniStack; and its host."""
    with ministack(tmp_path / "ministack") as more:
        aws.reaches(more.url, monkeypatch)
        gateway, runtime = aws.client("apigateway"), aws.client("sagemaker-runtime")
        with execute_api(tmp_path, gateway, runtime, ENDPOINT) as variables:
            aws.environment |= variables
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            yield aws
