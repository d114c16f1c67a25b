"""What an endpoint answers, beside what its artifact forecasts: the smoke test of a deployment, and the check after it.

The forecaster of the artifact gives the expected numbers; no container has a part in them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from forecast_assets.settings import Settings
from forecasting import forecaster
from resources.sagemaker.endpoint import ModelEndpoint
from resources.sagemaker.endpoint.errors import EndpointAnswerError

TOLERANCE = 1e-8
"""Relative: the last bits of exp and log are the C library's, and the container brings its own."""


def differences(endpoint: ModelEndpoint, artifact: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """How the answers differ, by series; empty where all are the artifact's.

    Every series is asked for the published horizon and levels, and for a single week with a level of its own.

    Raises:
        EndpointError: The endpoint answers with an error, not in time, or not at all.
    """
    found: dict[str, str] = {}
    for name, entry in artifact["series"].items():
        for horizon, levels in ((settings.horizon, settings.levels), (1, (50.0,))):
            expected = forecaster.forecast(
                entry, horizon=horizon, levels=levels, interval=forecaster.best_interval(entry)
            )
            answer = endpoint.invoke({"series": name, "periods": horizon, "levels": list(levels)})
            if difference := _difference(expected, answer):
                found.setdefault(name, difference)
    return found


def smoke_test(artifact: Mapping[str, Any], settings: Settings) -> Callable[[ModelEndpoint], None]:
    """A test of an endpoint that should answer from an artifact; it raises an `EndpointError` where it does not."""

    def test(endpoint: ModelEndpoint) -> None:
        found = differences(endpoint, artifact, settings)
        if found:
            raise EndpointAnswerError(endpoint.name, "; ".join(f"{name}: {how}" for name, how in found.items()))

    return test


def _difference(expected: list[dict[str, Any]], answer: object) -> str | None:
    if not isinstance(answer, list) or len(answer) != len(expected):
        return f"{len(expected)} weeks are expected, it answers {str(answer)[:60]!r}"
    for row, said in zip(expected, answer, strict=True):
        for key, value in row.items():
            given = said.get(key) if isinstance(said, dict) else None
            if not _equal(value, given):
                return f"{key} of {row['ds']} is {value}, it answers {str(given)[:60]!r}"
    return None


def _equal(value: object, given: object) -> bool:
    if isinstance(value, float) and isinstance(given, int | float):
        return math.isclose(value, given, rel_tol=TOLERANCE)
    return value == given
