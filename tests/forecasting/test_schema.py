"""Every member of a hand-made entry is looked at."""

import copy

import pytest

from forecasting import artifact, models, schema
from forecasting.configuration import SEASONAL_NAIVE, Configuration

HARMONIC = Configuration(harmonics=2, detrend=True, deseasonalise=True)


@pytest.fixture(scope="module")
def entries(simulated):
    regression = models.fit(simulated, HARMONIC).entry | {"conformal": {"scores": [[0.5, 1.0], [0.7]]}}
    return {"regression": regression, "naive": models.fit(simulated, SEASONAL_NAIVE).entry}


def change(value, *path):
    def apply(entry):
        spot = entry
        for step in path[:-1]:
            spot = spot[step]
        if value is KeyError:
            del spot[path[-1]]
        else:
            spot[path[-1]] = value(spot[path[-1]]) if callable(value) else value

    return apply


CASES = [
    ("regression", change(KeyError, "arima"), "arima is missing"),
    ("regression", lambda entry: entry.update(colour=1), "colour is unknown"),
    ("naive", change(KeyError, "n"), "n is missing"),
    ("regression", change("", "unique_id"), "a name is expected"),
    ("regression", change("prophet", "model"), "model: 'prophet'; this forecaster knows harmonic_regression"),
    ("regression", change(["x"], "model"), "model: "),
    ("regression", change("gallons", "unit"), "unit: 'gallons'"),
    ("regression", change("10 Nov 2023", "cutoff"), "cutoff: '10 Nov 2023'"),
    ("regression", change("2023-11-11", "cutoff"), "a Friday such as"),
    ("regression", change("20231110", "cutoff"), "a Friday such as"),
    ("regression", change(None, "cutoff"), "cutoff: None"),
    ("regression", change("9999-12-31", "cutoff"), "cutoff: '9999-12-31'"),
    ("regression", change(0, "n"), "n: 0; a whole number"),
    ("regression", change(True, "n"), "n: True"),
    ("regression", change(-1, "n_parameters"), "n_parameters: -1"),
    ("regression", change([], "configuration"), "configuration: an object is expected, not list"),
    ("regression", change([1.0], "transform", "trend"), "trend: 1 values, 2 are expected"),
    ("regression", change(lambda s: s[:-1], "transform", "season"), "season: 51 values, 52 are expected"),
    ("regression", change("0.1", "transform", "season", 3), r"season\[3\]: '0.1'; a finite number"),
    ("regression", change(0.5, "fourier", "period"), "period: 0.5; it exceeds 2 weeks"),
    ("regression", change(lambda c: c[:-1], "fourier", "coefficients"), "they come in pairs, not 3"),
    ("regression", change(float("inf"), "fourier", "coefficients", 0), r"coefficients\[0\]: inf"),
    ("regression", change(10**400, "fourier", "coefficients", 0), "a finite number is expected"),
    ("regression", change(lambda p: p - 1, "fourier", "phase"), "the first forecast week is t = 160"),
    ("regression", change([1], "fourier", "dropped"), "names are expected"),
    ("regression", change(lambda c: c[:-1], "holidays", "columns"), "coefficients: 11 values, 10 are expected"),
    ("regression", change(lambda w: w[:-1], "holidays", "weeks"), "weeks: 103 values, 104 are expected"),
    ("regression", change(lambda w: w[:-1], "holidays", "weeks", 5), r"weeks\[6\]: 10 values, 11 are expected"),
    ("regression", change(2, "holidays", "weeks", 5, 0), r"weeks\[6\]: .*; every flag is 0 or 1"),
    ("regression", change(True, "holidays", "weeks", 5, 0), "every flag is 0 or 1"),
    ("regression", change([1, 1], "arima", "order"), "order: 2 values, 3 are expected"),
    ("regression", change(3, "arima", "order", 1), "at most two differences"),
    ("regression", change(lambda p: p + 1, "arima", "order", 0), "arima.phi: "),
    ("regression", change(lambda a: [*a, 0.0], "arima", "a"), r"arima\.a: "),
    ("regression", change(lambda m: m[:-1], "arima", "P"), r"arima\.P: "),
    ("regression", change(lambda m: m[:-1], "arima", "P", 0), r"arima\.P\[0\]: "),
    ("regression", change(0.0, "arima", "sigma2"), "variances are positive"),
    ("regression", change(-1.0, "arima", "h"), "variances are positive"),
    ("regression", change(float("nan"), "arima", "drift"), "drift: nan"),
    ("regression", change([], "conformal", "scores"), "scores: 0 horizons, not 1..104"),
    ("regression", change([[1.0]] * 105, "conformal", "scores"), "105 horizons"),
    ("regression", change([[]], "conformal", "scores"), "scores of horizon 1: they are at least one"),
    ("regression", change([[2.0, 1.0]], "conformal", "scores"), "in rising order"),
    ("regression", change([[-1.0, 1.0]], "conformal", "scores"), "not negative"),
    ("regression", change("many", "conformal"), "conformal: an object is expected, not str"),
    ("naive", change(lambda v: v[1:], "seasonal_naive", "values"), "values: 51 values, 52 are expected"),
    ("naive", change(0, "seasonal_naive", "sigma"), "sigma: 0; it is positive"),
    ("naive", change({}, "seasonal_naive"), "sigma is missing, values is missing"),
    ("naive", change("harmonic_regression", "model"), "arima is missing"),
]


@pytest.mark.parametrize(("which", "spoil", "message"), CASES, ids=[message for _, _, message in CASES])
def test_a_malformed_entry_is_refused_by_member(entries, which, spoil, message):
    entry = copy.deepcopy(entries[which])
    schema.check_entry(entry)
    spoil(entry)
    with pytest.raises(schema.MalformedArtifactError, match=message):
        schema.check_entry(entry)


@pytest.mark.parametrize("entry", [None, [], "A", 3], ids=repr)
def test_an_entry_is_an_object(entry):
    with pytest.raises(schema.MalformedArtifactError, match="series None: an object is expected"):
        schema.check_entry(entry)


@pytest.mark.parametrize(("d", "name"), [(1, "intercept"), (0, "drift"), (2, "drift")])
def test_a_constant_goes_with_its_differencing(entries, d, name):
    entry = copy.deepcopy(entries["regression"])
    size = 1 + d
    state = {"order": [0, d, 0], "phi": [], "theta": [], "a": [0.0] * size, "P": [[0.0] * size] * size}
    entry["arima"] |= state | {"intercept": 0.0, "drift": 0.0}
    schema.check_entry(entry)
    entry["arima"][name] = 0.1
    with pytest.raises(schema.MalformedArtifactError, match="an intercept goes with d = 0 and a drift with d = 1"):
        schema.check_entry(entry)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (change(2, "schema_version"), schema.SchemaVersionError, "schema_version: 2; this forecaster reads 1"),
        (change(True, "schema_version"), schema.SchemaVersionError, "schema_version: True"),
        (change(KeyError, "schema_version"), schema.SchemaVersionError, "schema_version: None"),
        (change(KeyError, "digest"), schema.MalformedArtifactError, "digest is missing"),
        (change(KeyError, "provenance"), schema.MalformedArtifactError, "provenance is missing"),
        (change("x", "provenance"), schema.MalformedArtifactError, "provenance: an object is expected"),
        (change({}, "series"), schema.MalformedArtifactError, "series: it is empty"),
        (
            change("OTHER", "series", "SIM", "unique_id"),
            schema.MalformedArtifactError,
            "its entry says unique_id 'OTHER'",
        ),
        (change("2023-11-17", "series", "SIM", "cutoff"), schema.ChecksumError, "was edited or damaged"),
        (change("other", "provenance", "code_version"), schema.ChecksumError, "was edited or damaged"),
        (change("0" * 64, "digest"), schema.ChecksumError, "was edited or damaged"),
        (change(float("nan"), "provenance", "code_version"), schema.MalformedArtifactError, "not plain JSON"),
        (change({1, 2}, "provenance", "code_version"), schema.MalformedArtifactError, "not plain JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_artifact_is_refused(entries, spoil, error, message):
    built = artifact.build_artifact({"SIM": entries["naive"]}, provenance={"code_version": "abc"})
    schema.check_artifact(built)
    spoil(built)
    with pytest.raises(error, match=message):
        schema.check_artifact(built)


def test_an_artifact_is_an_object():
    with pytest.raises(schema.MalformedArtifactError, match="a JSON object is expected, not list"):
        schema.check_artifact([])
