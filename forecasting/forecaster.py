"""The forecaster that serves: reads an artifact and forecasts, on the standard library alone.

The numbers are those of the estimator that was fitted, to 1e-8 relative. Nothing here fits, and nothing here imports
numpy, so a serving image starts in milliseconds.
"""

import json
import math
from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist

from forecasting.schema import (
    MAX_HORIZON,
    SCHEMA_VERSION,
    SEASON,
    ChecksumError,
    ForecasterError,
    MalformedArtifactError,
    SchemaVersionError,
    check_artifact,
    check_entry,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal
else:
    Any = object  # `typing` would be a tenth of the time from process start to the first forecast

__all__ = [
    "MAX_HORIZON",
    "SCHEMA_VERSION",
    "ChecksumError",
    "ForecasterError",
    "HorizonError",
    "IntervalError",
    "LevelError",
    "MalformedArtifactError",
    "OverflowedForecastError",
    "SchemaVersionError",
    "SeriesForecaster",
    "UnknownSeriesError",
    "best_interval",
    "forecast",
    "label",
    "load",
    "moments",
    "series_entry",
]

INTERVALS = ("conformal", "normal")

_STANDARD_NORMAL = NormalDist()


class UnknownSeriesError(ForecasterError):
    """The artifact holds no such series."""


class HorizonError(ForecasterError):
    """The horizon is not a whole number of weeks between 1 and 104."""


class LevelError(ForecasterError):
    """A level is not a percentage between 0 and 100, or is asked for twice."""


class IntervalError(ForecasterError):
    """The kind of interval is unknown, or the artifact has no scores for it."""


class OverflowedForecastError(ForecasterError):
    """A forecast is too large for a floating-point number, or its variance is not positive."""


def load(source: str | bytes | dict[str, Any]) -> dict[str, Any]:
    """The artifact of a JSON text, checked from end to end.

    Args:
        source: The text of `forecaster.json`, or what it parses to.

    Returns:
        `{"schema_version", "provenance", "series": {unique_id: entry}, "digest"}`.

    Raises:
        SchemaVersionError: It was written for another version of the forecaster.
        MalformedArtifactError: It is not JSON, or a member is missing, unknown, of the wrong kind or out of range.
        ChecksumError: It was edited or damaged.
    """
    artifact = source if isinstance(source, dict) else _parse(source)
    check_artifact(artifact)
    return artifact


def series_entry(artifact: dict[str, Any], unique_id: str) -> dict[str, Any]:
    """The entry of a series.

    Raises:
        UnknownSeriesError: The artifact holds no such series; the message lists those it holds.
    """
    entries: dict[str, dict[str, Any]] = artifact["series"]
    if unique_id not in entries:
        raise UnknownSeriesError(f"no series {unique_id!r}; there are {', '.join(sorted(entries))}")
    return entries[unique_id]


def forecast(
    entry: dict[str, Any],
    *,
    horizon: int = 26,
    levels: Iterable[float] = (80, 90, 95),
    interval: str = "conformal",
) -> list[dict[str, Any]]:
    """Forecasts of one series for the weeks after its cutoff.

    The mean is the median of the forecast distribution, exp of the mean of log y. Normal intervals are
    exp(log mean +- z se). Conformal intervals replace z by a quantile of the normalised errors |log y - log mean| / se
    that the same model made at the same horizon (split conformal prediction: Lei et al. 2018, J. Am. Stat. Assoc. 113);
    horizons beyond those take the scores of the last.

    Args:
        entry: The entry of one series.
        horizon: Weeks ahead, 1..104.
        levels: Levels of the intervals, per cent.
        interval: "conformal" or "normal".

    Returns:
        One row per week: `ds` (ISO day, a Friday), `horizon`, `mean` and, for each level, `lo-<level>` and
        `hi-<level>`, in thousand barrels per day.

    Raises:
        MalformedArtifactError: The entry is not whole.
        HorizonError: The horizon is not 1..104.
        LevelError: A level is not between 0 and 100, or given twice.
        IntervalError: The interval is unknown, or the entry has no conformal scores.
        OverflowedForecastError: A bound is too large to be represented.
    """
    check_entry(entry)
    return SeriesForecaster(entry).forecast(horizon=horizon, levels=levels, interval=interval)


class SeriesForecaster:
    """Forecasts of one series for many requests: what no request changes is computed once.

    Args:
        entry: The entry of one series, known to be whole; it must not change any more.
    """

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self._weeks: list[tuple[str, float, float]] = []

    def forecast(self, *, horizon: int, levels: Iterable[float], interval: str) -> list[dict[str, Any]]:
        """What the function `forecast` gives, or raises, of a whole entry."""
        wanted = _labelled(levels)
        scores = _scores(self.entry, interval)
        weeks = self._upto(horizon)
        bounds = [(f"lo-{name}", f"hi-{name}", _factors(scores, level, horizon)) for name, level in wanted.items()]
        rows = []
        for step, (ds, log_mean, se) in enumerate(weeks):
            row: dict[str, Any] = {"ds": ds, "horizon": step + 1}
            try:
                row["mean"] = math.exp(log_mean)
                for low, high, factors in bounds:
                    half = se * factors[step]
                    row[low] = math.exp(log_mean - half)
                    row[high] = math.exp(log_mean + half)
            except OverflowError as error:
                raise OverflowedForecastError(
                    f"series {self.entry['unique_id']}: {ds} is too large a number"
                ) from error
            rows.append(row)
        return rows

    def _upto(self, horizon: int) -> list[tuple[str, float, float]]:
        """Day, log mean and standard error of the first weeks; computed anew only when further than ever before."""
        if type(horizon) is not int or not 1 <= horizon <= len(self._weeks):
            cutoff = date.fromisoformat(self.entry["cutoff"])
            self._weeks = [
                ((cutoff + timedelta(weeks=step)).isoformat(), log_mean, se)
                for step, (log_mean, se) in enumerate(moments(self.entry, horizon), 1)
            ]
        return self._weeks[:horizon]


def best_interval(entry: dict[str, Any]) -> "Literal['conformal', 'normal']":
    """Conformal where the entry was calibrated, normal where it was not."""
    return "normal" if entry["conformal"] is None else "conformal"


def moments(entry: dict[str, Any], horizon: int) -> list[tuple[float, float]]:
    """Mean and standard error of log y for the `horizon` weeks after the cutoff, of an entry known to be whole.

    Raises:
        HorizonError: The horizon is not 1..104.
        OverflowedForecastError: A mean is not finite, or a variance not positive and finite.
    """
    if type(horizon) is not int or not 1 <= horizon <= MAX_HORIZON:
        raise HorizonError(f"horizon {horizon!r}: a whole number of weeks, 1..{MAX_HORIZON}, is expected")
    try:
        return _moments(entry, horizon)
    except OverflowError as error:
        raise OverflowedForecastError(f"series {entry['unique_id']}: a forecast is too large a number") from error


def _moments(entry: dict[str, Any], horizon: int) -> list[tuple[float, float]]:
    if entry["model"] == "seasonal_naive":
        values, sigma = entry["seasonal_naive"]["values"], entry["seasonal_naive"]["sigma"]
        return [(values[i % SEASON], sigma * math.sqrt(i // SEASON + 1)) for i in range(horizon)]
    result = []
    for step, (error_mean, variance) in enumerate(_arima(entry["arima"], horizon)):
        mean = error_mean + _regression(entry, step)
        if not (0 < variance < math.inf and math.isfinite(mean)):
            raise OverflowedForecastError(
                f"series {entry['unique_id']}: log mean {mean}, variance {variance} at horizon {step + 1}"
            )
        result.append((mean, math.sqrt(variance)))
    return result


def label(level: float) -> str:
    """The level as columns name it.

    >>> label(80.0), label(97.5)
    ('80', '97.5')

    Raises:
        LevelError: The level is not between 0 and 100.
    """
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 100:
        raise LevelError(f"level {level!r}: a percentage between 0 and 100 is expected")
    return repr(float(level)).removesuffix(".0")


def _parse(text: str | bytes) -> dict[str, Any]:
    def refuse_constant(name: str) -> None:
        raise MalformedArtifactError(f"artifact: {name} is not a number")

    def refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            names = [name for name, _ in pairs]
            twins = sorted({name for name in names if names.count(name) > 1})
            raise MalformedArtifactError(f"artifact: {', '.join(twins)} stands twice in one object")
        return members

    try:
        parsed = json.loads(text, parse_constant=refuse_constant, object_pairs_hook=refuse_twins)
    except MalformedArtifactError:
        raise
    except (ValueError, RecursionError) as error:  # a ValueError alone: a number of more digits than Python converts
        raise MalformedArtifactError(f"artifact: it is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise MalformedArtifactError(f"artifact: an object is expected, not {type(parsed).__name__}")
    return parsed


def _labelled(levels: Iterable[float]) -> dict[str, float]:
    wanted: dict[str, float] = {}
    for level in levels:
        name = label(level)
        if name in wanted:
            raise LevelError(f"level {name}: it is asked for twice")
        wanted[name] = level
    return wanted


def _scores(entry: dict[str, Any], interval: str) -> list[list[float]] | None:
    if interval not in INTERVALS:
        raise IntervalError(f"interval {interval!r}: it is one of {', '.join(INTERVALS)}")
    if interval == "normal":
        return None
    if entry["conformal"] is None:
        raise IntervalError(f"series {entry['unique_id']}: it has no conformal scores; ask for interval 'normal'")
    scores: list[list[float]] = entry["conformal"]["scores"]
    return scores


def _factors(scores: list[list[float]] | None, level: float, horizon: int) -> list[float]:
    """How many standard errors an interval reaches to either side, by week."""
    if scores is None:
        return [_z(level)] * horizon
    return [_quantile(scores[min(step, len(scores)) - 1], level) for step in range(1, horizon + 1)]


def _z(level: float) -> float:
    # From the upper tail: 0.5 + level / 200 would round to 1 just below 100.
    return -_STANDARD_NORMAL.inv_cdf((100 - level) / 200)


def _quantile(scores: list[float], level: float) -> float:
    """The conformal quantile of sorted scores, stretched by normal quantiles where there are too few of them."""
    rank, reached, known = _place(len(scores), level)
    return scores[rank - 1] * reached / known


@lru_cache(maxsize=1024)
def _place(n: int, level: float) -> tuple[int, float, float]:
    """The rank of the conformal quantile among n scores; beyond them the last, and the quantiles that stretch it."""
    # Exact: 0.8 * 35 is 28.000000000000004 in floating point, and would take the 29th score.
    rank = math.ceil((n + 1) * Fraction(repr(float(level))) / 100)
    return (rank, 1.0, 1.0) if rank <= n else (n, _z(level), _z(100 * n / (n + 1)))


def _regression(entry: dict[str, Any], step: int) -> float:
    """Everything but the ARIMA errors, `step` weeks after the first forecast week, on the log scale."""
    t = entry["n"] + step
    fourier, holidays, transform = entry["fourier"], entry["holidays"], entry["transform"]
    total: float = entry["arima"]["intercept"] + entry["arima"]["drift"] * (t + 1)
    coefficients = fourier["coefficients"]
    for k in range(len(coefficients) // 2):
        angle = 2 * math.pi * (k + 1) * (fourier["phase"] + step) / fourier["period"]
        total += coefficients[2 * k] * math.sin(angle) + coefficients[2 * k + 1] * math.cos(angle)
    if holidays["columns"]:
        total += math.fsum(b * x for b, x in zip(holidays["coefficients"], holidays["weeks"][step], strict=True))
    if transform["trend"] is not None:
        intercept, slope = transform["trend"]
        total += intercept + slope * t
    if transform["season"] is not None:
        total += transform["season"][t % SEASON]
    return total


def _arima(arima: dict[str, Any], horizon: int) -> list[tuple[float, float]]:
    """Mean and variance of the ARIMA errors by the Kalman recursions (Harvey 1989, sections 3.2 and 4.1).

    The state is ARMA in companion form, then the last `d` values of the undifferenced series.
    """
    transition, observation, noise = _state_space(arima)
    size = len(transition)
    state, covariance = arima["a"], arima["P"]
    result = []
    for _ in range(horizon):
        state = [sum(w * state[j] for j, w in row) for row in transition]
        half = [[sum(w * covariance[j][k] for j, w in row) for k in range(size)] for row in transition]
        covariance = [
            [sum(w * half[i][j] for j, w in row) + noise[i] * noise[k] for k, row in enumerate(transition)]
            for i in range(size)
        ]
        mean = sum(w * state[j] for j, w in observation)
        variance = arima["h"] + sum(v * w * covariance[i][j] for i, v in observation for j, w in observation)
        result.append((mean, variance * arima["sigma2"]))
    return result


_Row = list[tuple[int, float]]


def _state_space(arima: dict[str, Any]) -> tuple[list[_Row], _Row, list[float]]:
    """The transition and observation in sparse rows of (column, weight), and the loading of the noise on the state."""
    p, d, q = arima["order"]
    r = max(p, q + 1)
    differences = ((), (1.0,), (2.0, -1.0))[d]
    observation: _Row = [(0, 1.0), *((r + i, weight) for i, weight in enumerate(differences))]
    transition: list[_Row] = []
    for i in range(r):
        row = [(0, arima["phi"][i])] if i < p else []
        transition.append([*row, (i + 1, 1.0)] if i + 1 < r else row)
    if d:
        transition.append(observation)
        transition.extend([(r + i - 1, 1.0)] for i in range(1, d))
    return transition, observation, [1.0, *arima["theta"], *[0.0] * (r + d - 1 - q)]
