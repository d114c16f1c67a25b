"""The asset `forecast_api`, its check and its commands, before an endpoint that serves the small artifact."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from forecast_assets.api import example
from forecast_assets.checks import api as check
from forecast_assets.cli import main
from forecast_assets.commands.support import open_platform
from forecast_assets.serving import model_endpoint
from resources.api.client import ask
from resources.api.errors import KEY_VARIABLE, ApiRefusedError
from tests.refreshes import processes_of, until
from tests.twin_endpoint import deploy, remove
from tests.world import ROOT

ENDPOINT = "petroleum-demand"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lake = tmp_path_factory.mktemp("api") / "lake"
    deploy(lake / "_sagemaker", ENDPOINT)
    yield lake
    remove(lake / "_sagemaker", ENDPOINT)
    until(lambda: not processes_of(lake / "_api"), "end of the gateway")


@pytest.fixture(autouse=True)
def settings(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("FORECAST_LAKE_URI", str(lake))
    monkeypatch.setenv("FORECAST_EIA_SOURCE", "sample")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def materialize() -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        job = open_platform().defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[dg.AssetKey("forecast_api")], instance=instance, raise_on_error=False
        )


def forecast(*arguments: str, **variables: str) -> Result:
    return CliRunner(env=variables).invoke(main, arguments)


def test_the_asset_brings_it_up_says_how_to_ask_and_sees_that_it_answers() -> None:
    made = materialize()
    assert made.success
    [materialization] = made.asset_materializations_for_node("forecast_api")
    said = {name: value.value for name, value in materialization.metadata.items()}
    url = open_platform().api.url()
    assert (said["url"], said["rate_per_s"], said["burst"], said["quota_per_month"]) == (url, 10, 20, 100_000)
    assert said["changed"]
    assert example(url, "WGFUPUS2") in str(said["example"])
    [evaluation] = made.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("answers_as_endpoint", True)
    assert open_platform().api.is_deployed()
    again = materialize()
    [unchanged] = again.asset_materializations_for_node("forecast_api")
    assert unchanged.metadata["changed"].value is False


def test_whoever_was_given_the_key_asks_the_api_as_the_endpoint() -> None:
    materialize()
    given = forecast("api", "key")
    key = given.stdout.strip()
    assert len(key) == 43
    assert "only its checksum is stored" in given.stderr
    url = forecast("api", "url").stdout.strip()
    direct = json.loads(forecast("endpoint", "invoke", "--periods", "3").stdout)
    assert json.loads(forecast("api", "invoke", "--periods", "3", **{KEY_VARIABLE: key}).stdout) == direct
    assert ask(url, key, {"series": "WDIUPUS2", "periods": 2, "levels": [80]})[1]["horizon"] == 2
    metadata = materialize().asset_materializations_for_node("forecast_api")
    assert key not in str(metadata)


@pytest.mark.parametrize(
    ("arguments", "key", "words"),
    [
        pytest.param(["invoke"], "", "PETROLEUM_API_KEY is not set: `forecast api key` makes a key", id="no key"),
        pytest.param(["invoke"], "wrong", "403: Forbidden; the key is wrong, or ended", id="wrong key"),
    ],
)
def test_a_command_without_the_right_key_says_what_to_do(arguments: list[str], key: str, words: str) -> None:
    materialize()
    said = forecast("api", *arguments, **{KEY_VARIABLE: key})
    assert said.exit_code == 1
    assert words in said.output


def test_a_refusal_of_the_model_is_shown_in_its_words() -> None:
    materialize()
    key = forecast("api", "key").stdout.strip()
    said = forecast("api", "invoke", "--series", "nothing", **{KEY_VARIABLE: key})
    assert said.exit_code == 1
    assert "400: unknown series 'nothing'; known are WDIUPUS2, WGFUPUS2" in said.output


def test_an_api_that_died_fails_the_check_and_comes_back_with_the_next_deployment(lake: Path) -> None:
    materialize()
    url = open_platform().api.url()
    os.kill(int((lake / "_api" / "lock").read_text().split()[0]), signal.SIGKILL)
    until(lambda: not open_platform().api.is_deployed(), "end of the gateway")
    verdict = evaluated()
    assert not verdict.passed
    assert "The API does not answer" in (verdict.description or "")
    assert materialize().success
    assert open_platform().api.url() == url
    assert evaluated().passed


def test_an_api_that_answers_otherwise_than_the_endpoint_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    materialize()
    monkeypatch.setattr(check, "ask", lambda *_: [])
    verdict = evaluated()
    assert not verdict.passed
    assert "other numbers" in (verdict.description or "")


class NewOnAws:
    """An API on AWS whose key is not known everywhere yet."""

    mode = "aws"

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    def url(self) -> str:
        return "https://x.execute-api.us-east-1.amazonaws.com/v1/forecast"

    def probe(self) -> contextlib.nullcontext[str]:
        return contextlib.nullcontext("key")

    def ask(self, url: str, key: str, payload: object) -> object:
        status = self.statuses.pop(0)
        if status != 200:
            raise ApiRefusedError(url, status=status, message="Forbidden")
        return model_answer(payload)


def model_answer(payload: object) -> object:
    platform = open_platform()
    return model_endpoint(platform.settings, platform.sagemaker).invoke(payload)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statuses", "passed", "left"),
    [
        pytest.param((403, 403, 503, 200), True, 0, id="until the key is known everywhere"),
        pytest.param((500, 200), False, 1, id="not for what does not pass"),
        pytest.param((403,) * 100, False, 68, id="no longer than a minute and a half"),
    ],
)
def test_on_aws_a_new_key_is_waited_for(
    statuses: tuple[int, ...], passed: bool, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, platform = NewOnAws(*statuses), open_platform()
    seconds = [0.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0], sleep=lambda pause: seconds.append(seconds.pop() + pause))
    monkeypatch.setattr(check, "time", clock)
    monkeypatch.setattr(check, "rest_api", lambda *_: api)
    monkeypatch.setattr(check, "ask", api.ask)
    monkeypatch.setattr(check, "model_endpoint", lambda *_: SimpleNamespace(invoke=model_answer))
    function = check.answers_as_endpoint.op.compute_fn.decorated_fn  # type: ignore[union-attr]
    context = dg.build_asset_check_context()
    verdict = function(context, settings=platform.settings, lake=platform.lake, sagemaker=api)
    assert (verdict.passed, len(api.statuses)) == (passed, left)


def evaluated() -> dg.AssetCheckResult:
    platform = open_platform()
    function = check.answers_as_endpoint.op.compute_fn.decorated_fn  # type: ignore[union-attr]
    context = dg.build_asset_check_context()
    return function(context, settings=platform.settings, lake=platform.lake, sagemaker=platform.sagemaker)


def test_teardown_ends_address_and_key_leaves_the_endpoint_and_can_be_repeated(lake: Path) -> None:
    materialize()
    gone = forecast("api", "teardown")
    assert gone.exit_code == 0
    assert "The API is gone: its gateway, its address, its key and its log." in gone.stderr
    assert not (lake / "_api").exists()
    assert processes_of(lake / "_api") == {}
    platform = open_platform()
    assert model_endpoint(platform.settings, platform.sagemaker).status() is not None
    assert "There was no API" in forecast("api", "teardown").stderr
    for command in ("url", "key"):
        said = forecast("api", command)
        assert said.exit_code == 1
        assert "there is no API: run `forecast refresh`" in said.output
