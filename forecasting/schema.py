"""What an artifact must look like, and the named errors of one that does not.

Standard library alone: serving imports it. A checksum over the whole artifact catches any edit or damage; the other
checks say what is wrong with a hand-made one, so that no malformed number ever reaches a forecast.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import date
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
else:
    Any = object  # `typing` would be a tenth of the time from process start to the first forecast

SCHEMA_VERSION = 1
MAX_HORIZON = 104
SEASON = 52
UNIT = "thousand barrels per day"
LARGEST = 1e150
"""Numbers of an artifact stay below, so that none is infinite, nor a product of two."""
MOST = 1_000_000
"""Whole numbers of an artifact, such as its weeks, do not exceed it."""
_LONGEST_MESSAGE = 500

_ARTIFACT_MEMBERS = {"schema_version", "provenance", "series", "digest"}
_COMMON_MEMBERS = {
    *("unique_id", "model", "unit", "cutoff", "n", "configuration", "hyperparameters"),
    *("conformal", "scores", "n_parameters"),
}


class ForecasterError(ValueError):
    """Every error of the forecaster; the message says what is wrong and where, and repeats no more than a little."""

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}...")


class SchemaVersionError(ForecasterError):
    """The artifact was written for another version of the forecaster."""


class MalformedArtifactError(ForecasterError):
    """A member of the artifact is missing, unknown, of the wrong kind or out of range."""


class ChecksumError(ForecasterError):
    """The artifact is not the one that was built: it was edited or damaged."""


def canonical(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, the shortest decimals that give the same floats back.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(artifact: dict[str, Any]) -> str:
    """The SHA-256 of everything in an artifact but its member `digest`, as 64 hexadecimal digits."""
    rest = {name: value for name, value in artifact.items() if name != "digest"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def check_artifact(artifact: object) -> None:
    """Refuse an artifact that is not whole.

    Raises:
        SchemaVersionError: It has another schema version.
        MalformedArtifactError: A member is missing, unknown, of the wrong kind or out of range.
        ChecksumError: Its digest is not that of its contents.
    """
    if not isinstance(artifact, dict):
        raise MalformedArtifactError(f"artifact: a JSON object is expected, not {_kind(artifact)}")
    version = artifact.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise SchemaVersionError(
            f"artifact.schema_version: {version!r}; this forecaster reads {SCHEMA_VERSION}: serve it with the version "
            "of this software that made it, or make it anew"
        )
    _members(artifact, _ARTIFACT_MEMBERS, "artifact")
    _mapping(artifact["provenance"], "artifact.provenance")
    series = _mapping(artifact["series"], "artifact.series")
    if not series:
        raise MalformedArtifactError("artifact.series: it is empty")
    for unique_id, entry in series.items():
        check_entry(entry)
        if entry["unique_id"] != unique_id:
            raise MalformedArtifactError(f"series {unique_id}: its entry says unique_id {entry['unique_id']!r}")
    try:
        expected = digest(artifact)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedArtifactError(f"artifact: it is not plain JSON: {error}") from error
    if artifact["digest"] != expected:
        raise ChecksumError(
            f"artifact.digest: {artifact['digest']!r}, but the contents give {expected}; the artifact was edited or "
            "damaged, take it from the registry again"
        )


def check_entry(entry: object) -> None:
    """Refuse the entry of one series that a forecast could not be trusted from.

    Raises:
        MalformedArtifactError: A member is missing, unknown, of the wrong kind or out of range.
    """
    unique_id = entry.get("unique_id") if isinstance(entry, dict) else None
    where = f"series {unique_id}"
    entry = _mapping(entry, where)
    if not isinstance(unique_id, str) or not unique_id:
        raise MalformedArtifactError(f"{where}.unique_id: a name is expected")
    model = entry.get("model")
    if not isinstance(model, str) or model not in _MODELS:
        raise MalformedArtifactError(f"{where}.model: {model!r}; this forecaster knows {', '.join(_MODELS)}")
    members, check = _MODELS[model]
    _members(entry, _COMMON_MEMBERS | members, where)
    if entry["unit"] != UNIT:
        raise MalformedArtifactError(f"{where}.unit: {entry['unit']!r}, not {UNIT!r}")
    _cutoff(entry["cutoff"], f"{where}.cutoff")
    _whole(entry["n"], f"{where}.n", least=1)
    _whole(entry["n_parameters"], f"{where}.n_parameters")
    for name in ("configuration", "hyperparameters", "scores"):
        _mapping(entry[name], f"{where}.{name}")
    _conformal(entry["conformal"], f"{where}.conformal")
    check(entry, where)


def _check_harmonic_regression(entry: dict[str, Any], where: str) -> None:
    transform = _members(entry["transform"], {"trend", "season"}, f"{where}.transform")
    if transform["trend"] is not None:
        _numbers(transform["trend"], f"{where}.transform.trend", length=2)
    if transform["season"] is not None:
        _numbers(transform["season"], f"{where}.transform.season", length=SEASON)

    at = f"{where}.fourier"
    fourier = _members(entry["fourier"], {"period", "coefficients", "phase", "dropped"}, at)
    if _number(fourier["period"], f"{at}.period") <= 2:
        raise MalformedArtifactError(f"{at}.period: {fourier['period']}; it exceeds 2 weeks")
    if len(_numbers(fourier["coefficients"], f"{at}.coefficients")) % 2:
        raise MalformedArtifactError(f"{at}.coefficients: they come in pairs, not {len(fourier['coefficients'])}")
    _names(fourier["dropped"], f"{at}.dropped")
    if _whole(fourier["phase"], f"{at}.phase") != entry["n"]:
        raise MalformedArtifactError(f"{at}.phase: {fourier['phase']}, but the first forecast week is t = {entry['n']}")

    at = f"{where}.holidays"
    holidays = _members(entry["holidays"], {"columns", "coefficients", "weeks", "dropped"}, at)
    columns = len(_names(holidays["columns"], f"{at}.columns"))
    _names(holidays["dropped"], f"{at}.dropped")
    _numbers(holidays["coefficients"], f"{at}.coefficients", length=columns)
    weeks = _list(holidays["weeks"], f"{at}.weeks", length=MAX_HORIZON if columns else 0)
    for number, week in enumerate(weeks, 1):
        if any(type(flag) is not int or flag not in {0, 1} for flag in _list(week, f"{at}.weeks[{number}]", columns)):
            raise MalformedArtifactError(f"{at}.weeks[{number}]: {week}; every flag is 0 or 1")

    _check_arima(entry["arima"], f"{where}.arima")


def _check_arima(value: object, where: str) -> None:
    arima = _members(value, {"order", "intercept", "drift", "phi", "theta", "sigma2", "a", "P", "h"}, where)
    p, d, q = (_whole(part, f"{where}.order[{i}]") for i, part in enumerate(_list(arima["order"], f"{where}.order", 3)))
    if d > 2:
        raise MalformedArtifactError(f"{where}.order: {arima['order']}; at most two differences are known")
    size = max(p, q + 1) + d
    for name, length in (("phi", p), ("theta", q), ("a", size)):
        _numbers(arima[name], f"{where}.{name}", length=length)
    for i, row in enumerate(_list(arima["P"], f"{where}.P", size)):
        _numbers(row, f"{where}.P[{i}]", length=size)
    for name in ("intercept", "drift", "sigma2", "h"):
        _number(arima[name], f"{where}.{name}")
    if (arima["intercept"] and d) or (arima["drift"] and d != 1):
        raise MalformedArtifactError(f"{where}: an intercept goes with d = 0 and a drift with d = 1, not with d = {d}")
    if arima["sigma2"] <= 0 or arima["h"] < 0:
        raise MalformedArtifactError(f"{where}: sigma2 {arima['sigma2']}, h {arima['h']}; variances are positive")


def _check_seasonal_naive(entry: dict[str, Any], where: str) -> None:
    at = f"{where}.seasonal_naive"
    parts = _members(entry["seasonal_naive"], {"values", "sigma"}, at)
    _numbers(parts["values"], f"{at}.values", length=SEASON)
    if _number(parts["sigma"], f"{at}.sigma") <= 0:
        raise MalformedArtifactError(f"{at}.sigma: {parts['sigma']}; it is positive")


_MODELS: dict[str, tuple[set[str], Callable[[dict[str, Any], str], None]]] = {
    "harmonic_regression": ({"transform", "fourier", "holidays", "arima"}, _check_harmonic_regression),
    "seasonal_naive": ({"seasonal_naive"}, _check_seasonal_naive),
}


def _conformal(value: object, where: str) -> None:
    if value is None:
        return
    horizons = _list(_members(value, {"scores"}, where)["scores"], f"{where}.scores")
    if not 1 <= len(horizons) <= MAX_HORIZON:
        raise MalformedArtifactError(f"{where}.scores: {len(horizons)} horizons, not 1..{MAX_HORIZON}")
    for horizon, scores in enumerate(horizons, 1):
        at = f"{where}.scores of horizon {horizon}"
        numbers = _numbers(scores, at)
        if not numbers or numbers[0] < 0 or any(a > b for a, b in pairwise(numbers)):
            raise MalformedArtifactError(f"{at}: they are at least one, not negative, and in rising order")


def _cutoff(value: object, where: str) -> None:
    try:
        day = date.fromisoformat(str(value))
    except ValueError as error:
        raise MalformedArtifactError(f"{where}: {value!r}; a day such as 2023-11-10 is expected") from error
    if day.isoformat() != value or day.weekday() != 4 or not 1900 <= day.year <= 2200:
        raise MalformedArtifactError(f"{where}: {value!r}; a Friday such as 2023-11-10 is expected")


def _kind(value: object) -> str:
    return type(value).__name__


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedArtifactError(f"{where}: an object is expected, not {_kind(value)}")
    return value


def _members(value: object, names: set[str], where: str) -> dict[str, Any]:
    found = set(_mapping(value, where))
    if found != names:
        wrong = [f"{name} is missing" for name in sorted(names - found)]
        wrong += [f"{name} is unknown" for name in sorted(map(str, found - names))]
        raise MalformedArtifactError(f"{where}: {', '.join(wrong)}")
    return _mapping(value, where)


def _list(value: object, where: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedArtifactError(f"{where}: a list is expected, not {_kind(value)}")
    if length is not None and len(value) != length:
        raise MalformedArtifactError(f"{where}: {len(value)} values, {length} are expected")
    return value


def _number(value: object, where: str) -> float:
    # An integer of JSON may be too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise MalformedArtifactError(f"{where}: {value!r}; a finite number is expected")
    return float(value)


def _numbers(value: object, where: str, length: int | None = None) -> list[float]:
    return [_number(item, f"{where}[{i}]") for i, item in enumerate(_list(value, where, length))]


def _whole(value: object, where: str, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST:
        raise MalformedArtifactError(f"{where}: {value!r}; a whole number, {least}..{MOST}, is expected")
    return value


def _names(value: object, where: str) -> list[str]:
    names = _list(value, where)
    if any(not isinstance(item, str) for item in names):
        raise MalformedArtifactError(f"{where}: names are expected")
    return names
