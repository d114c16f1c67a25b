import copy
import json
import math
import subprocess
import sys
from decimal import ROUND_CEILING
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import artifact, forecaster, harmonic_regression, models, schema
from forecasting.configuration import SEASONAL_NAIVE, Configuration
from forecasting.engine.arima import fit_arima


def walk(**changes):
    """A random walk of log y from log 100, one per cent a week, as hand-made as can be."""
    arima = {"order": [0, 1, 0], "intercept": 0.0, "drift": 0.0, "phi": [], "theta": [], "sigma2": 0.0001, "h": 0.0}
    return {
        "unique_id": "A",
        "model": "harmonic_regression",
        "unit": "thousand barrels per day",
        "cutoff": "2023-11-10",
        "n": 200,
        "configuration": {},
        "hyperparameters": {},
        "transform": {"trend": None, "season": None},
        "fourier": {"period": 52.18, "coefficients": [], "phase": 200, "dropped": []},
        "holidays": {"columns": [], "coefficients": [], "weeks": [], "dropped": []},
        "arima": arima | {"a": [0.0, math.log(100)], "P": [[0.0, 0.0], [0.0, 0.0]]},
        "conformal": None,
        "scores": {},
        "n_parameters": 1,
    } | changes


def scored(*scores):
    return walk(conformal={"scores": [sorted(one) for one in scores]})


def ratio(row, level):
    """Half width of a log interval, in standard errors of the random walk."""
    return math.log(row[f"hi-{level}"] / row["mean"]) / (0.01 * math.sqrt(row["horizon"]))


def test_a_random_walk_by_hand():
    rows = forecaster.forecast(walk(), horizon=3, levels=[95], interval="normal")
    z = NormalDist().inv_cdf(0.975)
    for step, row in enumerate(rows, 1):
        assert row.pop("ds") == ["2023-11-17", "2023-11-24", "2023-12-01"][step - 1]
        assert row == pytest.approx(
            {
                "horizon": step,
                "mean": 100,
                "lo-95": 100 * math.exp(-z * 0.01 * math.sqrt(step)),
                "hi-95": 100 * math.exp(z * 0.01 * math.sqrt(step)),
            },
            rel=1e-14,
        )


def test_an_autoregression_by_hand():
    state = {"order": [1, 0, 0], "phi": [0.5], "a": [0.8], "P": [[0.0]], "intercept": 2.0}
    entry = walk(arima=walk()["arima"] | state)
    for step, (mean, se) in enumerate(forecaster.moments(entry, 5), 1):
        assert mean == pytest.approx(2 + 0.8 * 0.5**step)
        assert se**2 == pytest.approx(0.0001 * sum(0.25**i for i in range(step)))


def test_everything_carries_over_by_absolute_week():
    season = [i / 1000 for i in range(52)]
    entry = walk(
        transform={"trend": [1.0, 0.01], "season": season},
        fourier={"period": 52.18, "coefficients": [0.1, 0.2, 0.0, 0.3], "phase": 200, "dropped": []},
        holidays={"columns": ["X"], "coefficients": [0.7], "weeks": [[0], [1]] + [[0]] * 102, "dropped": []},
        arima=walk()["arima"] | {"drift": 0.001},
    )
    for h, (mean, _) in enumerate(forecaster.moments(entry, 104), 1):
        t = 200 + h - 1
        w = 2 * math.pi * t / 52.18
        pairs = 0.1 * math.sin(w) + 0.2 * math.cos(w) + 0.3 * math.cos(2 * w)
        expected = math.log(100) + 0.001 * (t + 1) + pairs + 1 + 0.01 * t + season[t % 52] + (0.7 if h == 2 else 0)
        assert mean == pytest.approx(expected, rel=1e-14)


def test_levels_are_any_percentage():
    rows = forecaster.forecast(walk(), horizon=1, levels=[80, 97.5, 99.99999999999999, 1e-9], interval="normal")
    assert list(rows[0])[3:] == [
        "lo-80", "hi-80", "lo-97.5", "hi-97.5", "lo-99.99999999999999", "hi-99.99999999999999", "lo-1e-09", "hi-1e-09",
    ]  # fmt: skip
    assert ratio(rows[0], "97.5") == pytest.approx(NormalDist().inv_cdf(0.9875))
    assert all(math.isfinite(value) for name, value in rows[0].items() if name != "ds")


def test_no_levels_are_means_alone():
    assert list(forecaster.forecast(walk(), horizon=1, levels=[], interval="normal")[0]) == ["ds", "horizon", "mean"]


def test_conformal_intervals_take_the_score_of_that_rank():
    entry = scored([float(i) for i in range(1, 35)])  # 34 scores: 80 % of 35 is the 28th, exactly
    row = forecaster.forecast(entry, horizon=1, levels=[80, 50, 1])[0]
    assert ratio(row, "80") == pytest.approx(28)
    assert ratio(row, "50") == pytest.approx(18)
    assert ratio(row, "1") == pytest.approx(1)


def test_beyond_the_scores_the_largest_is_stretched_by_normal_quantiles():
    entry = scored([1.0, 2.0, 3.0, 4.0])
    z = NormalDist().inv_cdf
    row = forecaster.forecast(entry, horizon=1, levels=[80, 90, 99])[0]
    assert ratio(row, "80") == pytest.approx(4)
    assert ratio(row, "90") == pytest.approx(4 * z(0.95) / z(0.9))
    assert ratio(row, "99") == pytest.approx(4 * z(0.995) / z(0.9))


def test_beyond_the_calibrated_horizons_the_last_scores_hold():
    rows = forecaster.forecast(scored([1.0], [2.0]), horizon=104, levels=[50])
    assert [ratio(row, "50") for row in rows] == pytest.approx([1] + [2] * 103)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.decimals("0.1", "99.9", places=1))
def test_conformal_rank_equals_exact_arithmetic(scores, level):
    scores = sorted(scores)
    row = forecaster.forecast(scored(scores), horizon=1, levels=[float(level)])[0]
    rank = int(((len(scores) + 1) * level / 100).to_integral_value(ROUND_CEILING))
    found = ratio(row, forecaster.label(float(level)))
    if rank <= len(scores):
        assert found == pytest.approx(scores[rank - 1], abs=1e-9)
    else:
        assert found >= scores[-1] - 1e-9


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=30),
    st.lists(st.floats(0.1, 99.9), min_size=2, max_size=6, unique=True),
)
def test_intervals_are_nested(scores, levels):
    levels = sorted(levels)
    row = forecaster.forecast(scored(scores), horizon=1, levels=levels)[0]
    lows = [row[f"lo-{forecaster.label(level)}"] for level in levels]
    highs = [row[f"hi-{forecaster.label(level)}"] for level in levels]
    assert all(a >= b * (1 - 1e-12) for a, b in pairwise(lows))
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(highs))


@pytest.mark.parametrize("interval", ["normal", "conformal"])
def test_a_series_asked_many_times_answers_as_if_asked_once(interval):
    entry = scored([1.0, 2.0, 3.0, 4.0], [0.5, 1.5])
    series = forecaster.SeriesForecaster(entry)
    for horizon, levels in ((3, [80]), (104, [99, 50]), (1, [50]), (104, []), (26, [80])):
        asked = {"horizon": horizon, "levels": levels, "interval": interval}
        assert series.forecast(**asked) == forecaster.forecast(entry, **asked)
    with pytest.raises(forecaster.HorizonError):
        series.forecast(horizon=True, levels=[80], interval=interval)


@pytest.mark.parametrize("level", [0, 100, -5, 100.5, math.nan, math.inf, True, "90", None, 0.0], ids=repr)
def test_other_levels_are_refused(level):
    with pytest.raises(forecaster.LevelError, match="a percentage between 0 and 100"):
        forecaster.forecast(walk(), levels=[level], interval="normal")


def test_a_level_twice_is_refused():
    with pytest.raises(forecaster.LevelError, match="level 80: it is asked for twice"):
        forecaster.forecast(walk(), levels=[80, 80.0], interval="normal")


@pytest.mark.parametrize("horizon", [0, 105, -1, 1.0, True, "10", None], ids=repr)
def test_other_horizons_are_refused(horizon):
    with pytest.raises(forecaster.HorizonError, match=r"1\.\.104"):
        forecaster.forecast(walk(), horizon=horizon, interval="normal")


def test_conformal_intervals_need_scores():
    with pytest.raises(forecaster.IntervalError, match="series A: it has no conformal scores; ask for"):
        forecaster.forecast(walk())
    with pytest.raises(forecaster.IntervalError, match="interval 'bootstrap'"):
        forecaster.forecast(walk(), interval="bootstrap")


@pytest.mark.parametrize(
    "arima",
    [{"a": [0.0, 1000.0]}, {"sigma2": 1e9}, {"P": [[-1e3, 0.0], [0.0, 0.0]], "order": [0, 0, 0], "a": [1.0]}],
    ids=["mean", "bound", "variance"],
)
def test_a_number_that_overflows_is_an_error(arima):
    entry = walk(arima=walk()["arima"] | arima)
    if arima.get("order"):
        entry["arima"]["P"] = [[-10.0]]
        entry["arima"] |= {"order": [1, 0, 0], "phi": [0.9]}
    with pytest.raises(forecaster.OverflowedForecastError, match="series A"):
        forecaster.forecast(entry, interval="normal")


def test_a_malformed_entry_gives_no_forecast():
    entry = walk()
    entry["arima"]["sigma2"] = float("nan")
    with pytest.raises(forecaster.MalformedArtifactError, match=r"series A\.arima\.sigma2: nan"):
        forecaster.forecast(entry, interval="normal")


def test_series_are_found_by_name():
    built = artifact.build_artifact({"A": walk(), "B": walk(unique_id="B")}, provenance={})
    assert forecaster.series_entry(built, "B")["unique_id"] == "B"
    with pytest.raises(forecaster.UnknownSeriesError, match="no series 'C'; there are A, B"):
        forecaster.series_entry(built, "C")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "an object is expected"),
        ("null", "an object is expected"),
        ('{"schema_version": NaN}', "NaN is not a number"),
        ('{"schema_version": 1, "schema_version": 1}', "schema_version stands twice"),
    ],
    ids=["empty", "cut", "bytes", "deep", "list", "null", "nan", "twins"],
)
def test_what_is_not_json_is_refused(text, message):
    with pytest.raises(forecaster.MalformedArtifactError, match=message):
        forecaster.load(text)


def test_load_reads_text_bytes_and_objects():
    built = artifact.build_artifact({"A": walk()}, provenance={"week": "2023-11-10"})
    text = json.dumps(built, indent=2)
    assert forecaster.load(text) == forecaster.load(text.encode()) == forecaster.load(built) == built


def numbers(value, path=()):
    """Paths of every number below a value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from numbers(item, (*path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from numbers(item, (*path, i))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


@settings(deadline=None)
@given(st.data())
def test_no_number_can_be_edited_unnoticed(simulated, data):
    entry = models.fit(simulated, SEASONAL_NAIVE).entry
    built = artifact.build_artifact({"SIM": entry, "A": scored([1.0, 2.0])}, provenance={"seed": 3})
    path = data.draw(st.sampled_from(list(numbers(built))))
    edited = copy.deepcopy(built)
    spot = edited
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = data.draw(st.one_of(st.floats(), st.integers()))
    if json.dumps(edited) != json.dumps(built):
        with pytest.raises(forecaster.ForecasterError):
            forecaster.load(edited)


def test_needs_the_standard_library_alone_and_starts_at_once():
    code = (
        "import sys, time; began = time.process_time(); import forecasting.forecaster; ended = time.process_time();"
        "print(ended - began, *sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        for _ in range(5)
    ]
    assert min(float(took) for took, *_ in runs) < 0.03
    imported = set(runs[0][1:]) - {"__main__", "__mp_main__"}
    assert not imported & {"numba", "numpy", "pandas", "pydantic", "scipy", "statsmodels", "statsforecast", "sktime"}


def test_several_series_stand_in_one_artifact(simulated):
    entries = {"SIM": models.fit(simulated, Configuration(harmonics=1, holidays=False)).entry, "A": walk()}
    loaded = forecaster.load(artifact.dumps(artifact.build_artifact(entries, provenance={})))
    for name, entry in entries.items():
        found = forecaster.forecast(forecaster.series_entry(loaded, name), interval="normal")
        assert found == forecaster.forecast(entry, interval="normal")


@pytest.mark.parametrize(
    "order",
    [(p, d, q, c) for p in (0, 1, 3, 5) for d in (0, 1, 2) for q in (0, 1, 4) for c in (0, 1) if d < 2 or not c],
    ids=str,
)
def test_every_shape_of_arima_equals_the_engine_and_statsforecast(order):
    """The state is laid out differently for p > q + 1 and p <= q + 1; a constant is an intercept or a drift."""
    from statsforecast.arima import arima, predict_arima

    (p, d, q, constant), n, ahead = order, 220, 26
    noise = np.random.default_rng(7).normal(0, 0.02, n)
    y = 4 + noise + 0.4 * np.roll(noise, 1)
    for _ in range(d):
        y = y.cumsum()
    found = fit_arima(y[None], np.zeros((n + ahead, 0)), order=order)
    entry = walk(n=n, fourier=walk()["fourier"] | {"phase": n}, arima=harmonic_regression._arima(found))
    schema.check_entry(entry)
    mean, se = np.array(forecaster.moments(entry, ahead)).T
    np.testing.assert_allclose(mean, found.mean[0], rtol=1e-9)
    np.testing.assert_allclose(se, found.se[0], rtol=1e-9)

    weeks = np.arange(1.0, n + ahead + 1)[:, None]
    drift = weeks if constant and d else weeks[:, :0]
    theirs = arima(
        y,
        order=(p, d, q),
        xreg=drift[:n] if drift.size else None,
        include_mean=bool(constant and not d),
        fixed=np.concatenate([found.arma[0, 0, :p], found.arma[0, 1, :q], found.level[:constant]]),
        transform_pars=False,
        method="ML",
    )
    their_mean, their_se = predict_arima(theirs, ahead, newxreg=drift[n:] if drift.size else None)
    np.testing.assert_allclose(mean, their_mean, rtol=1e-8)
    # Given all parameters they estimate the variance with a divisor of their own.
    np.testing.assert_allclose(se / np.sqrt(found.sigma2[0]), their_se / np.sqrt(theirs["sigma2"]), rtol=1e-5)
