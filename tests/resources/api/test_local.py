"""The API on this machine: real gateway processes, some before a real endpoint."""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from resources.api import local
from resources.api.client import ask
from resources.api.errors import (
    ApiMissingError,
    ApiPortError,
    ApiRefusedError,
    ApiStartError,
    ApiUnreachableError,
)
from resources.api.gateway.state import ERRORS, LOCK
from resources.api.local import LocalApi
from resources.api.spec import ApiSpec
from resources.lake import LakeWriteError
from resources.sagemaker.local.clients import local_client
from tests.refreshes import processes_of, until
from tests.served import free_port
from tests.twin_endpoint import deploy, remove

SPEC = ApiSpec(endpoint="demand", stage="v1", rate_per_s=10, burst=20, quota_per_month=1000)
PAYLOAD = {"series": "WGFUPUS2", "periods": 3, "conf": 0.9}


class Place:
    """A folder in which an API runs; every call looks at it anew, as another process would."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.sagemaker = root, root / "_api", root / "_sagemaker"
        self.said: list[str] = []

    def api(self, *, port: int = 0, spec: ApiSpec = SPEC) -> LocalApi:
        return LocalApi(self.home, self.sagemaker, spec, port=port)

    def deploy(self, *, port: int = 0, spec: ApiSpec = SPEC) -> bool:
        return self.api(port=port, spec=spec).deploy(self.said.append)

    def pid(self) -> int:
        return int((self.home / LOCK).read_text().split()[0])

    def processes(self) -> list[int]:
        return list(processes_of(self.home))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place whose endpoint is a name: nobody serves."""
    place = Place(tmp_path)
    (place.sagemaker / "endpoint" / "demand").mkdir(parents=True)
    yield place
    place.api().delete(place.said.append)
    assert place.processes() == [], "no gateway is left"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with an endpoint that serves."""
    place = Place(tmp_path_factory.mktemp("served"))
    deploy(place.sagemaker, "demand")
    yield place
    remove(place.sagemaker, "demand")
    until(lambda: not place.processes(), "end of the gateway whose endpoint is gone")


def test_whoever_has_the_key_gets_what_the_endpoint_answers(served: Place) -> None:
    assert served.deploy()
    key = served.api().key()
    answer = ask(served.api().url(), key, PAYLOAD)
    runtime = local_client("sagemaker-runtime", served.sagemaker)
    direct = runtime.invoke_endpoint(
        EndpointName="demand", ContentType="application/json", Body=str(PAYLOAD).replace("'", '"').encode()
    )
    import json

    assert answer == json.loads(direct["Body"].read())
    assert list(answer[0]) == ["date", "lower_pi_0.9", "predictions", "upper_pi_0.9"]
    with pytest.raises(ApiRefusedError, match="answers 400: periods must be a whole number") as refused:
        ask(served.api().url(), key, PAYLOAD | {"periods": 1000})
    assert refused.value.status == 400
    with served.api().probe() as probe:
        assert ask(served.api().url(), probe, PAYLOAD) == answer
    with pytest.raises(ApiRefusedError, match="Forbidden"):
        ask(served.api().url(), probe, PAYLOAD)
    for path in served.home.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert key.encode() not in content, path
        assert probe.encode() not in content, path


def test_a_second_deployment_changes_nothing(place: Place) -> None:
    assert not place.api().is_deployed()
    assert place.deploy()
    pid, url = place.pid(), place.api().url()
    assert not place.deploy()
    assert place.api().is_deployed()
    assert (place.pid(), place.api().url()) == (pid, url)
    assert place.said == [f"starting the API on {url.removesuffix('/v1/forecast')}"]


def test_new_limits_and_a_new_key_need_no_new_process(place: Place) -> None:
    place.deploy()
    pid, first = place.pid(), place.api().key()
    changed = replace(SPEC, stage="v2", burst=1)
    assert not place.api(spec=changed).is_deployed()
    assert place.deploy(spec=changed)
    assert place.pid() == pid
    second = place.api().key()
    assert (first, second) != (second, first)
    assert place.api().url().endswith("/v2/forecast")
    with pytest.raises(ApiRefusedError, match="Forbidden"):
        ask(place.api().url(), first, PAYLOAD)
    with pytest.raises(ApiRefusedError, match="answers 503: forecasts are not served"):
        ask(place.api().url(), second, PAYLOAD)
    with pytest.raises(ApiRefusedError, match="Too Many Requests; wait, or raise FORECAST_API__RATE_PER_S"):
        ask(place.api().url(), second, PAYLOAD)


@pytest.mark.parametrize("way", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_one_that_died_is_brought_back_at_the_same_address_with_the_same_key(place: Place, way: signal.Signals) -> None:
    place.deploy()
    url, key = place.api().url(), place.api().key()
    os.kill(place.pid(), way)
    until(lambda: not place.api().is_deployed(), "end of the gateway")
    with pytest.raises(ApiUnreachableError, match="`forecast refresh` brings it back"):
        ask(url, key, PAYLOAD)
    assert place.deploy()
    assert place.api().url() == url
    with pytest.raises(ApiRefusedError, match="answers 503"):
        ask(url, key, PAYLOAD)


@pytest.mark.slow
def test_newer_code_replaces_the_gateway(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.deploy()
    pid, url = place.pid(), place.api().url()
    monkeypatch.setattr(local, "_code_version", lambda: "newer")
    assert not place.api().is_deployed()
    assert place.deploy()
    assert place.api().url() == url
    assert place.processes() == [place.pid()] != [pid]


def test_of_many_deployers_one_brings_it_up(place: Place) -> None:
    with ThreadPoolExecutor(4) as deployers:
        changed = list(deployers.map(lambda _: place.deploy(), range(4)))
    assert sorted(changed) == [False, False, False, True]
    assert place.processes() == [place.pid()]


@pytest.mark.slow
def test_a_kept_port_that_is_taken_is_given_up_and_one_that_was_asked_for_is_not(place: Place) -> None:
    asked = free_port()
    place.deploy(port=asked)
    assert f":{asked}/" in place.api().url()
    os.kill(place.pid(), signal.SIGKILL)
    until(lambda: not place.api().is_deployed(), "end of the gateway")
    with socket.create_server(("127.0.0.1", asked)):
        with pytest.raises(ApiPortError, match=f"127.0.0.1:{asked}.*set FORECAST_API__PORT"):
            place.deploy(port=asked)
        assert place.deploy()
        assert f":{asked}/" not in place.api().url()


@pytest.mark.slow
def test_it_ends_with_the_endpoint_it_stands_before(place: Place) -> None:
    place.deploy()
    (place.sagemaker / "endpoint" / "demand").rmdir()
    until(lambda: not place.processes(), "end of the gateway")
    assert not place.api().is_deployed()


def test_teardown_leaves_nothing_and_can_be_repeated(place: Place) -> None:
    place.deploy()
    assert place.api().delete(place.said.append)
    assert place.processes() == []
    assert [path.name for path in place.root.iterdir()] == ["_sagemaker"]
    assert not place.api().delete(place.said.append)
    with pytest.raises(ApiMissingError, match="run `forecast refresh`"):
        place.api().url()
    with pytest.raises(ApiMissingError):
        place.api().key()


def test_one_that_does_not_come_up_says_why_and_leaves_no_process(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = place.root / "broken"
    (broken / "uvicorn").mkdir(parents=True)
    (broken / "uvicorn" / "__init__.py").write_text("raise ImportError('no uvicorn here')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with pytest.raises(ApiStartError, match="did not come up: ImportError: no uvicorn here"):
        place.deploy()
    assert place.processes() == []
    assert "Traceback" in (place.home / ERRORS).read_text()
    monkeypatch.delenv("PYTHONPATH")
    assert place.deploy()


def test_a_lake_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = Place(tmp_path / "file")
    with pytest.raises(LakeWriteError, match="_api"):
        place.deploy()
