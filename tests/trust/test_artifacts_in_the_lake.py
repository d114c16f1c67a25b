"""Models tampered with in the lake: nothing is registered, forecast or deployed from them, and all stays as it was."""

import dataclasses
import json
import pickle
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from forecast_assets.artifacts import DamagedModelError, candidate_models, registered_artifact
from forecast_assets.checks.serving import answers_as_artifact
from forecast_assets.serving import newest_approved
from forecasting import artifact, schema
from resources.sagemaker.registry import Candidate, ModelRegistry, RegisteredModel
from tests.world import ROOT, WEEK, World, fingerprint

NEXT = WEEK + timedelta(weeks=1)
SERIES = "WGFUPUS2"


@pytest.fixture(scope="module")
def world(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        made = World(tmp_path_factory.mktemp("tampered") / "lake", shared_data / "weekly", series=(SERIES,))
        for outcome in (made.run("weekly_refresh"), made.run("deploy", week=None)):
            assert outcome.succeeded, outcome.reasons
        yield made
        made.close()


@pytest.fixture(scope="module")
def newer(world: World) -> RegisteredModel:
    """A model of the next week, approved and not deployed yet."""
    content = {k: v for k, v in served(world).items() if k != "digest"} | {"provenance": {"week": NEXT.isoformat()}}
    return register(world, content | {"digest": schema.digest(content)}, NEXT)


def register(world: World, content: dict[str, object], week: date) -> RegisteredModel:
    sagemaker = world.platform.sagemaker
    key = f"models/{content['digest']}/model.tar.gz"
    world.lake.write_bytes(key, artifact.pack(content))
    return ModelRegistry(sagemaker.client(), group=world.settings.model_group).register(
        Candidate(
            week=week,
            digest=str(content["digest"]),
            model_data=sagemaker.uri(key),
            metrics=sagemaker.uri(f"models/{content['digest']}/metrics.json"),
            facts={"passed": SERIES, "held_back": "none"},
        ),
        image=sagemaker.image("serving"),
        approval="Approved",
        reason="it is a test",
    )


def model_file(world: World, model: RegisteredModel) -> Path:
    return world.lake.root / world.platform.sagemaker.key(model.model_data)


def served(world: World) -> dict[str, object]:
    candidate, _ = candidate_models(world.lake, WEEK)
    return candidate


def answer(world: World) -> bytes:
    url = world.platform.sagemaker.endpoint_url(world.settings.endpoint.name)
    request = urllib.request.Request(
        f"{url}/invocations", data=b'{"periods": 26}', headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return bytes(response.read())


@contextmanager
def tampered(path: Path, tamper: Callable[[Path], None]) -> Iterator[None]:
    """A file that something was done to, for a while."""
    kept = path.read_bytes()
    tamper(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(kept)


def edited(old: str, new: str) -> Callable[[Path], None]:
    """A JSON file edited by hand."""

    def tamper(path: Path) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return tamper


def repacked(change: Callable[[dict[str, object]], dict[str, object]]) -> Callable[[Path], None]:
    """An archive with another artifact in it, sealed as one of ours."""

    def tamper(path: Path) -> None:
        content = change({name: part for name, part in artifact.unpack(path.read_bytes()).items() if name != "digest"})
        path.write_bytes(artifact.pack(content | {"digest": schema.digest(content)}))

    return tamper


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def another(content: dict[str, object]) -> dict[str, object]:
    return content | {"provenance": {"week": "2030-01-04"}}


def of_a_later_version(content: dict[str, object]) -> dict[str, object]:
    return content | {"schema_version": 2}


TAMPERING = [
    pytest.param(flip, "it is not a readable .tar.gz", id="a bit"),
    pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-100]), "it is not a readable", id="cut off"),
    pytest.param(lambda path: path.write_bytes(b""), "it is not a readable", id="empty"),
    pytest.param(lambda path: path.write_bytes(pickle.dumps(print)), "it is not a readable", id="pickle"),
    pytest.param(lambda path: path.unlink(), "it cannot be read: No such file", id="gone"),
    pytest.param(repacked(another), "was registered as version", id="another artifact"),
    pytest.param(repacked(of_a_later_version), "this forecaster reads 1", id="a later version"),
]


@pytest.mark.parametrize(("tamper", "said"), TAMPERING)
def test_a_registered_model_that_was_tampered_with_is_not_deployed(
    world: World, newer: RegisteredModel, tamper: Callable[[Path], None], said: str
) -> None:
    path = model_file(world, newer)
    before = answer(world)
    with tampered(path, tamper):
        state = fingerprint(world.lake.root)
        outcome = world.run("deploy", week=None)
        assert fingerprint(world.lake.root) == state
    assert not outcome.succeeded
    [reason] = [reason for reason in outcome.reasons if reason.startswith("forecast_endpoint: ")]
    assert "DamagedModelError" in reason
    assert str(path) in reason
    assert said in reason
    assert f"`forecast refresh --week {NEXT} --force`" in reason
    assert answer(world) == before


@pytest.mark.parametrize(("tamper", "said"), TAMPERING)
def test_the_check_of_the_endpoint_fails_in_words_where_the_artifact_was_tampered_with(
    world: World, newer: RegisteredModel, tamper: Callable[[Path], None], said: str
) -> None:
    path = model_file(world, newer)
    with tampered(path, tamper):
        result = answers_as_artifact(
            dg.build_asset_check_context(),
            settings=world.settings,
            lake=world.lake,
            sagemaker=world.platform.sagemaker,
        )
    assert not result.passed
    assert str(path) in str(result.description)
    assert said in str(result.description)


def test_a_champion_that_was_tampered_with_fails_the_fit_by_name(world: World, newer: RegisteredModel) -> None:
    from forecast_assets.model import champion_configurations

    arguments = (world.settings, world.lake, world.platform.sagemaker, NEXT + timedelta(weeks=1))
    assert list(champion_configurations(*arguments)["unique_id"]) == [SERIES]
    path = model_file(world, newer)
    with tampered(path, flip), pytest.raises(DamagedModelError, match="is not a readable"):
        champion_configurations(*arguments)


@pytest.mark.parametrize("asset", ["registered_model", "forecast"])
@pytest.mark.parametrize(
    ("name", "tamper", "said"),
    [
        pytest.param("forecaster.json", edited('"sigma2":', '"sigma2":1'), "edited or damaged", id="candidate edited"),
        pytest.param("forecaster.json", edited('"schema_version":1', '"schema_version":2'), "reads 1", id="version"),
        pytest.param("forecaster.json", edited("{", ""), "it is not JSON", id="candidate damaged"),
        pytest.param("forecaster.json", lambda path: path.unlink(), "it cannot be read: No such file", id="gone"),
        pytest.param("fallback.json", edited('"n":', '"n":1'), "edited or damaged", id="stand-in edited"),
        pytest.param("fallback.json", edited('"digest":', '"digests":'), "it is no list of models", id="no digest"),
        pytest.param("fallback.json", lambda path: path.write_text("[]"), "it is no list of models", id="a list"),
        pytest.param("fallback.json", lambda path: path.write_text(""), "it is no list of models", id="empty"),
        pytest.param(
            "fallback.json", lambda path: path.write_bytes(pickle.dumps({})), "no list of models", id="pickle"
        ),
    ],
)
def test_nothing_is_made_from_a_candidate_that_was_tampered_with(
    world: World, asset: str, name: str, tamper: Callable[[Path], None], said: str
) -> None:
    path = world.lake.root / "candidates" / f"week={WEEK}" / name
    registered = world.registered()
    with tampered(path, tamper):
        state = fingerprint(world.lake.root)
        result = world.materialize(asset)
        assert fingerprint(world.lake.root) == state
    assert not result.success
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    cause = error.cause or error
    assert cause.message.startswith("forecast_assets.artifacts.DamagedModelError")
    assert str(path) in cause.message
    assert said in cause.message
    assert f"`forecast refresh --week {WEEK} --force`" in cause.message
    assert world.registered() == registered


def test_stand_ins_of_a_week_without_any_are_sealed_too(world: World, tmp_path: Path) -> None:
    from forecast_assets.artifacts import keep_candidate_models

    folder = world.lake.root / "candidates" / f"week={WEEK}"
    files = {"forecaster.json": (folder / "forecaster.json").read_bytes(), "fallback.json": b"{}"}
    shutil.copytree(folder, tmp_path / "kept")
    keep_candidate_models(world.lake, WEEK, files)
    assert candidate_models(world.lake, WEEK)[1] == {}
    for path in (tmp_path / "kept").iterdir():
        shutil.copyfile(path, folder / path.name)
    assert SERIES in candidate_models(world.lake, WEEK)[1]


def test_a_tampered_week_is_made_again_to_the_same_numbers(world: World) -> None:
    path = world.lake.root / "candidates" / f"week={WEEK}" / "forecaster.json"
    kept = path.read_bytes()
    path.write_text("{}")
    assert not world.platform.is_fresh(WEEK)
    assert world.run("weekly_refresh").succeeded
    assert path.read_bytes() == kept
    assert world.platform.is_fresh(WEEK)


def test_the_model_that_was_registered_is_the_one_that_is_deployed(world: World, newer: RegisteredModel) -> None:
    found = registered_artifact(world.lake, world.platform.sagemaker, newer)
    assert found["digest"] == newer.digest
    other = dataclasses.replace(newer, digest="0" * 64)
    with pytest.raises(DamagedModelError, match="was registered as version"):
        registered_artifact(world.lake, world.platform.sagemaker, other)
    assert newest_approved(world.settings, world.platform.sagemaker) == newer
    assert world.run("deploy", week=None).succeeded
    assert json.loads(answer(world))
