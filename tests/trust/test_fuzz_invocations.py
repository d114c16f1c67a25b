"""The endpoint against its own OpenAPI description: what it promises is accepted, all else refused as promised."""

from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from schemathesis import GenerationMode, engine
from schemathesis.engine import events
from schemathesis.specs.openapi.schemas import OpenApiSchema
from starlette.applications import Starlette

from containers.serving.app import create_app
from tests.served import Endpoint, save, small_artifact, start, until_healthy

MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def app() -> Starlette:
    # A calibrated one: which series have conformal intervals is nothing that a schema can say.
    return create_app(small_artifact(calibrated=True), default_series=None)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    running = start(save(tmp_path_factory.mktemp("fuzzed") / "ml", small_artifact(calibrated=True)))
    until_healthy(running)
    yield running
    running.process.terminate()
    out, err = running.process.communicate(timeout=30)
    assert out == ""
    # No traceback; schemathesis probes with a header that is none.
    assert set(err.splitlines()) <= {"Invalid HTTP request received."}


def fuzz(description: OpenApiSchema, mode: GenerationMode, *, examples: int) -> Counter[int]:
    """Run every phase of schemathesis with all of its checks.

    Returns:
        How many cases were answered with each status.
    """
    description.config.generation.update(modes=[mode], max_examples=examples, deterministic=True, database="none")
    statuses: Counter[int] = Counter()
    wrong = []
    for event in engine.from_schema(description).execute():
        assert not isinstance(event, events.NonFatalError | events.FatalError), event
        if not isinstance(event, events.ScenarioFinished):
            continue
        for case, interaction in event.recorder.interactions.items():
            assert interaction.response is not None
            statuses[interaction.response.status_code] += 1
            wrong += [
                f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                for check in event.recorder.checks.get(case, [])
                if check.failure_info is not None
            ]
    assert not wrong, wrong[0]
    return statuses


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(100, id="some"),
        pytest.param(5500, id="thousands", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_application_does_as_it_is_described(app: Starlette, mode: GenerationMode, examples: int) -> None:
    statuses = fuzz(schemathesis.openapi.from_asgi("/openapi.json", app), mode, examples=examples)
    assert statuses.total() >= examples
    assert set(statuses) <= ({200} if mode is GenerationMode.POSITIVE else {200, 400, 404, 405, 415})
    assert statuses[200 if mode is GenerationMode.POSITIVE else 400] > examples / 2


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_the_served_process_does_as_it_is_described_and_serves_on(endpoint: Endpoint, mode: GenerationMode) -> None:
    before = endpoint.invoke({}).body
    url = f"http://127.0.0.1:{endpoint.port}/openapi.json"
    statuses = fuzz(schemathesis.openapi.from_url(url), mode, examples=40)
    assert statuses.total() >= 40
    assert endpoint.invoke({}).body == before
