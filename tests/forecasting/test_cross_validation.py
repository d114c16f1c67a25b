"""Rolling origins: what is trained on, what is compared, what is left out, and what a failure costs."""

import doctest
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting import cross_validation, forecaster, models
from forecasting.configuration import DEFAULT, SEASONAL_NAIVE, Configuration
from forecasting.cross_validation import Backtest, Splits, origins, rolling_origin
from forecasting.errors import ConfigurationError

WINDOW, HORIZON = 110, 6
SPLITS = Splits(window=WINDOW, horizon=HORIZON, step=8)
N = 140  # four origins: windows that start in weeks 0, 8, 16, 24
PLAIN, WAVE = (Configuration(harmonics=k, holidays=False) for k in (0, 1))
PAIR = [PLAIN, WAVE]


def weeks(n=N, *, replaced=(), unique_id="W", seed=5):
    """Weeks of a season, a trend and noise; replaced ones were a tenth of their counterfactual."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    smooth = np.exp(9 + 0.002 * t + 0.1 * np.sin(2 * np.pi * t / 52.18) + 0.03 * rng.normal(size=n))
    mask = np.isin(t, list(replaced))
    ds = pd.date_range("2020-01-03", periods=n, freq="7D")
    y = np.where(mask, smooth / 10, smooth)
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": y, "counterfactual": smooth, "replaced": mask})


def noiseless(n=N, *, until=0):
    """One wave, with noise in its first weeks alone."""
    data = weeks(n)
    t = np.arange(n)
    noise = np.where(t < until, 0.05 * np.random.default_rng(1).normal(size=n), 0)
    data["y"] = data["counterfactual"] = np.exp(9 + 0.1 * np.sin(2 * np.pi * t / 52) + noise)
    return data


def same(one, other):
    pd.testing.assert_frame_equal(one.errors, other.errors, check_exact=True)
    pd.testing.assert_frame_equal(
        one.trials.drop(columns="seconds"), other.trials.drop(columns="seconds"), check_exact=True
    )


def test_the_examples_of_the_module_hold():
    assert doctest.testmod(cross_validation).failed == 0


@pytest.mark.parametrize(
    ("n", "horizon", "step", "count"),
    [(541, 25, 1, 100), (541, 26, 1, 99), (541, 26, 4, 25), (442, 26, 1, 0), (443, 26, 1, 1)],
)
def test_the_number_of_origins(n, horizon, step, count):
    assert len(origins(n, window=417, horizon=horizon, step=step)) == count


@given(n=st.integers(1, 80), window=st.integers(1, 30), horizon=st.integers(1, 20), step=st.integers(1, 9))
def test_origins_fit_in_the_series_are_a_step_apart_and_reach_its_end(n, window, horizon, step):
    starts = origins(n, window=window, horizon=horizon, step=step)
    assert all(start >= 0 and start + window + horizon <= n for start in starts)
    assert set(np.diff(starts)) <= {step}
    assert (starts[-1:] == [n - window - horizon]) == (n >= window + horizon)
    assert starts == [] or starts[0] < step


EVERY_KIND = [
    DEFAULT,
    Configuration(harmonics=2, holidays=False),
    Configuration(harmonics=1, detrend=True),
    Configuration(harmonics=0, holidays=False, detrend=True, deseasonalise=True, counterfactual=False),
    Configuration(holidays=False, deseasonalise=True),
    SEASONAL_NAIVE,
    Configuration(model="seasonal_naive", harmonics=0, holidays=False, counterfactual=False),
]


@pytest.mark.parametrize("season_length", [365.25 / 7, 5.0], ids=["year", "collinear waves"])
def test_every_window_gives_what_the_model_fitted_to_its_weeks_alone_gives(season_length):
    data = weeks(replaced=range(30, 45))
    options = {"season_length": season_length, "max_harmonics": 3}
    evaluation = rolling_origin(data, EVERY_KIND, splits=SPLITS, **options)
    assert evaluation.trials["configuration"].tolist() == [each.name for each in EVERY_KIND]
    for configuration, trial in zip(EVERY_KIND, evaluation.trials.to_dict("records"), strict=True):
        assert (trial["status"], trial["reason"]) == ("ok", "")
        errors = evaluation.errors[evaluation.errors["configuration"] == configuration.name]
        column = data.set_index("ds")["counterfactual" if configuration.counterfactual else "y"].rename("W")
        n_parameters = []
        for start, (cutoff, rows) in zip((0, 8, 16, 24), errors.groupby("cutoff"), strict=True):
            entry = models.fit(column.iloc[start : start + WINDOW], configuration, **options).entry
            assert pd.Timestamp(entry["cutoff"]) == cutoff
            expected = np.array(forecaster.moments(entry, HORIZON))
            np.testing.assert_allclose(rows["mean"], np.exp(expected[:, 0]), rtol=1e-8)
            np.testing.assert_allclose(rows["se"], expected[:, 1], rtol=1e-8)
            n_parameters.append(entry["n_parameters"])
        assert trial["n_parameters"] == pytest.approx(np.mean(n_parameters), rel=1e-12)


def test_every_forecast_stands_beside_the_week_it_was_made_for():
    data = weeks()
    errors = rolling_origin(data, [PLAIN], splits=SPLITS).errors
    assert (errors["ds"] - errors["cutoff"] == errors["horizon"] * pd.Timedelta(weeks=1)).all()
    assert errors.groupby("cutoff")["horizon"].apply(list).tolist() == [list(range(1, HORIZON + 1))] * 4
    assert errors["cutoff"].is_monotonic_increasing
    assert errors["cutoff"].unique().tolist() == data["ds"].iloc[[109, 117, 125, 133]].tolist()
    assert errors["ds"].max() == data["ds"].max()
    assert errors["y"].tolist() == data.set_index("ds")["y"].loc[errors["ds"]].tolist()
    assert errors["observed"].all()


@pytest.mark.parametrize("configuration", [PLAIN, SEASONAL_NAIVE], ids=lambda c: c.name)
def test_a_window_never_sees_a_week_it_is_scored_on(configuration):
    data, later = weeks(), weeks()
    later.loc[later.index[-HORIZON:], ["y", "counterfactual"]] *= 2
    expected, found = (rolling_origin(table, [configuration, WAVE], splits=SPLITS).errors for table in (data, later))
    pd.testing.assert_frame_equal(found.drop(columns="y"), expected.drop(columns="y"), check_exact=True)
    assert (found["y"] != expected["y"]).sum() == 2 * HORIZON


@pytest.mark.parametrize(
    ("counterfactual", "scoring", "truth"),
    [(True, "fair", "y"), (False, "fair", "y"), (True, "published", "counterfactual"), (False, "published", "y")],
)
def test_which_column_is_the_truth(counterfactual, scoring, truth):
    configuration = Configuration(harmonics=0, holidays=False, counterfactual=counterfactual)
    data = weeks(replaced=[N - 6, N - 5])
    splits = Splits(window=WINDOW, horizon=HORIZON, step=8, latest=1)
    errors = rolling_origin(data, [configuration], scoring=scoring, splits=splits).errors
    assert errors["y"].tolist() == data[truth].iloc[-6:].tolist()
    assert errors["observed"].tolist() == [False, False, True, True, True, True]
    # The replaced weeks are none of the window's: both columns teach the same.
    assert errors["mean"].between(5000, 20000).all()


def test_a_fair_origin_that_starts_from_a_replaced_week_or_forecasts_nothing_else_is_not_even_fitted():
    data = weeks(replaced=[*range(118, 125), 127, 133])  # the origins are 109, 117, 125 and 133
    seen = []
    fair = rolling_origin(data, [PLAIN], splits=SPLITS, progress=lambda *at: seen.append(at))
    assert fair.errors["cutoff"].unique().tolist() == data["ds"].iloc[[109, 125]].tolist()
    assert fair.errors.groupby("cutoff")["observed"].sum().tolist() == [6, 5]
    assert [total for _, total, _ in seen] == [2, 2]
    published = rolling_origin(data, [PLAIN], scoring="published", splits=SPLITS)
    assert published.errors["cutoff"].nunique() == 4


def test_a_series_of_which_nothing_observed_can_be_scored_says_so():
    (trial,) = rolling_origin(weeks(replaced=range(110, N)), [PLAIN], splits=SPLITS).trials.to_dict("records")
    assert trial["status"] == "NothingObservedError"
    assert "every week from 2022-02-11 to 2022-09-02 or the week before was replaced" in trial["reason"]


def test_only_the_newest_origins_are_kept_if_asked():
    latest = Splits(window=WINDOW, horizon=HORIZON, step=8, latest=2)
    few, every = (rolling_origin(weeks(), [WAVE], splits=splits).errors for splits in (latest, SPLITS))
    newest = every[every["cutoff"].isin(weeks()["ds"].iloc[[125, 133]])].reset_index(drop=True)
    assert len(newest) == 2 * HORIZON
    pd.testing.assert_frame_equal(few, newest, check_exact=True)


def valued(values):
    return weeks().assign(y=values, counterfactual=values)


def spoilt(week, value, columns=("y", "counterfactual")):
    data = weeks()
    data.loc[week, list(columns)] = value
    return data


def climbing():
    """Weeks that can still be written down, and forecasts that cannot."""
    steps = 1 + 0.1 * np.random.default_rng(0).normal(size=N)
    steps[-HORIZON:] = 0.0
    return valued(np.exp(708 + np.cumsum(steps) - steps.sum()))


FAILING = {
    "zero": spoilt(20, 0.0),
    "negative, observed": spoilt(20, -1.0, ["y"]),
    "infinite": spoilt(N - 1 - HORIZON, np.inf),
    "NaN": spoilt(20, np.nan),
    "constant": valued(7.0),
    "missing week": weeks().drop(index=12),
    "doubled week": pd.concat([weeks(), weeks().iloc[[5]]]),
    "short": weeks(115),
    "wave": noiseless(),
    "wave in later windows": noiseless(until=14),
    "last year again": valued(np.resize(weeks()["y"].to_numpy()[:52], N)),
    "overflow": climbing(),
}
OBSERVED = Configuration(harmonics=0, holidays=False, counterfactual=False)


@pytest.mark.parametrize(
    ("kind", "statuses", "message"),
    [
        ("zero", ["NotPositiveError"] * 4, r"origin 2022-02-04: .* 1 weeks are not positive numbers, .* 2020-05-22: 0"),
        ("negative, observed", ["ok", "ok", "NotPositiveError", "ok"], "first 2020-05-22: -1"),
        ("infinite", ["NotPositiveError"] * 4, r"origin 2022-07-22: .*, the first 2022-07-22: inf"),
        ("NaN", ["IncompleteSeriesError"] * 4, "no value for the week 2020-05-22"),
        ("constant", ["ConstantSeriesError"] * 4, r"every week is 7\.0"),
        ("missing week", ["IncompleteSeriesError"] * 4, "the week before 2020-04-03 is missing"),
        ("doubled week", ["IncompleteSeriesError"] * 4, "before 2020-02-07 is missing or doubled"),
        ("short", ["SeriesTooShortError"] * 4, "115 weeks .*116 are needed"),
        ("wave", ["ok", "PerfectFitError", "ok", "ok"], r"origin 2022-02-04: B: dhr\(K=1\) .* no error .*\(4 of 4"),
        (
            "wave in later windows",
            ["ok", "PerfectFitError", "ok", "ok"],
            r"origin 2022-05-27: B: dhr\(K=1\) .*\(2 of 4 origins failed; this is the first\)$",
        ),
        ("last year again", ["ok", "ok", "ok", "PerfectFitError"], "origin 2022-02-04: B: seasonal_naive .* no error"),
        ("overflow", [*["NotFiniteError"] * 3, "ok"], r"origin 2022-07-22: B: dhr\(K=0\) .* not finite"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and value in FAILING else "",
)
def test_a_failure_ends_its_own_trial_by_name_and_no_other(kind, statuses, message):
    configurations = [PLAIN, WAVE, OBSERVED, SEASONAL_NAIVE]
    data = pd.concat([weeks(unique_id="A"), FAILING[kind].assign(unique_id="B")])
    evaluation = rolling_origin(data, configurations, splits=SPLITS, season_length=52)
    alone = rolling_origin(weeks(unique_id="A"), configurations, splits=SPLITS, season_length=52)
    errors, trials = evaluation.errors, evaluation.trials
    pd.testing.assert_frame_equal(errors[errors["unique_id"] == "A"], alone.errors, check_exact=True)
    trials = trials[trials["unique_id"] == "B"].reset_index(drop=True)
    assert trials["status"].tolist() == statuses
    failed = trials["status"] != "ok"
    assert re.search(message, trials.loc[failed, "reason"].iloc[0])
    assert trials.loc[failed, "n_parameters"].isna().all()
    sizes = errors[errors["unique_id"] == "B"].groupby("configuration").size()
    assert sizes.to_dict() == dict.fromkeys(trials.loc[~failed, "configuration"], 4 * HORIZON)
    assert np.isfinite(errors["mean"]).all()
    assert (errors["se"] > 0).all()


def test_two_seasons_are_needed():
    trials = rolling_origin(weeks(), [PLAIN, SEASONAL_NAIVE], splits=Splits(window=103, horizon=6)).trials
    assert trials["status"].tolist() == ["SeriesTooShortError"] * 2
    assert trials["reason"].str.contains("103 weeks .* 104 are needed").all()


def test_every_regressor_there_is_can_be_learnt_from_two_seasons():
    most, data = Configuration(harmonics=26), weeks()
    (trial,) = rolling_origin(data, [most], splits=Splits(window=104, horizon=6, step=10)).trials.to_dict("records")
    assert trial["status"] == "ok"
    assert trial["n_parameters"] > 60


def test_a_value_that_no_window_learns_from_need_not_have_a_logarithm():
    data = weeks()
    data.loc[N - 1, ["y", "counterfactual"]] = 0.0
    evaluation = rolling_origin(data, [PLAIN, SEASONAL_NAIVE], splits=SPLITS)
    assert evaluation.trials["status"].tolist() == ["ok", "ok"]
    assert evaluation.errors["y"].iloc[4 * HORIZON - 1] == 0.0


def test_where_every_trial_fails_there_are_no_errors_but_their_columns():
    some, none = (rolling_origin(table, [PLAIN], splits=SPLITS) for table in (weeks(), weeks(115)))
    assert none.errors.empty
    assert none.errors.dtypes.to_dict() == some.errors.dtypes.to_dict()


def test_a_seasonal_naive_alone_is_evaluated_too():
    alone = rolling_origin(weeks(), [SEASONAL_NAIVE], splits=SPLITS)
    beside = rolling_origin(weeks(), [SEASONAL_NAIVE, PLAIN], splits=SPLITS).errors
    assert len(alone.errors) == 4 * HORIZON
    expected = beside[beside["configuration"] == "seasonal_naive"]
    pd.testing.assert_frame_equal(alone.errors, expected.reset_index(drop=True), check_exact=True)


def test_an_error_that_nobody_named_ends_the_search(monkeypatch):
    def bug(*_args, **_options):
        raise KeyError("a bug")

    monkeypatch.setattr(cross_validation, "fit_arima", bug)
    with pytest.raises(KeyError, match="a bug"):
        rolling_origin(weeks(), [PLAIN], splits=SPLITS, workers=2)


def test_neither_threads_nor_the_order_of_rows_series_and_configurations_change_anything():
    tables = [weeks(unique_id=name, seed=seed, replaced=[20, 21]) for seed, name in enumerate("ABC")]
    tables[2] = tables[2].iloc[7:]  # its windows begin on other days, some of them its own
    data = pd.concat(tables)
    configurations = [DEFAULT, WAVE, SEASONAL_NAIVE, Configuration(harmonics=1, holidays=False, detrend=True)]
    options = {"splits": SPLITS, "max_harmonics": 2}
    expected = rolling_origin(data, configurations, **options)
    assert set(expected.trials["status"]) == {"ok"}
    assert len(expected.errors) == 4 * HORIZON * (4 + 4 + 3)
    same(rolling_origin(data, configurations, workers=2, **options), expected)
    same(rolling_origin(pd.concat(tables[::-1]).sample(frac=1, random_state=3), configurations, **options), expected)
    backwards = rolling_origin(data, configurations[::-1], **options)
    keys = ["unique_id", "configuration", "cutoff", "horizon"]
    pd.testing.assert_frame_equal(
        backwards.errors.sort_values(keys, ignore_index=True),
        expected.errors.sort_values(keys, ignore_index=True),
        check_exact=True,
    )
    for name, table in zip("ABC", tables, strict=True):
        alone = rolling_origin(table, configurations, **options).errors
        among = expected.errors[expected.errors["unique_id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, among, check_exact=True)


def test_progress_counts_every_design_of_every_origin():
    seen = []
    rolling_origin(weeks(), [*PAIR, SEASONAL_NAIVE], splits=SPLITS, progress=lambda *at: seen.append(at))
    assert [(done, total) for done, total, _ in seen] == [(i, 8) for i in range(1, 9)]
    days = ["2022-02-04", "2022-04-01", "2022-05-27", "2022-07-22"]
    assert sorted(what for *_, what in seen) == [f"origin {day}, K={k}" for day in days for k in (0, 1)]


def test_k_by_aicc_costs_no_fit_that_fixed_ones_do_not():
    totals = []
    fixed = [Configuration(harmonics=k, holidays=False) for k in range(3)]
    chosen = Configuration(holidays=False)
    for configurations in ([chosen], fixed, [chosen, *fixed]):
        rolling_origin(
            weeks(), configurations, splits=SPLITS, max_harmonics=2, progress=lambda _, total, __: totals.append(total)
        )
    assert set(totals) == {3 * 4}


class Enough(BaseException):
    """As a signal handler raises it."""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("after", [1, 2, 3, 5, 8])
def test_a_run_that_is_stopped_keeps_the_origins_that_every_configuration_has_seen(workers, after):
    data = pd.concat([weeks(unique_id="A"), weeks(unique_id="B").iloc[8:]])
    configurations = [*PAIR, SEASONAL_NAIVE]

    def progress(done, _total, _what):
        if done == after:
            raise Enough

    backtest = Backtest(data, configurations, splits=SPLITS)
    with pytest.raises(Enough):
        backtest.run(workers=workers, progress=progress)
    finished, total = backtest.origins
    assert total == 4
    assert max(0, after - 4) <= finished <= after // 2
    full, found = rolling_origin(data, configurations, splits=SPLITS).errors, backtest.evaluation()
    cutoffs = found.errors["cutoff"].unique()
    assert len(cutoffs) == finished
    kept = full[full["cutoff"].isin(cutoffs)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.errors, kept, check_exact=True)
    assert set(found.trials["status"]) == {"ok"}


@pytest.mark.parametrize("after", [1, 3, 5, 8])
def test_what_is_resumed_fits_only_what_was_left_and_ends_with_the_same_numbers(after):
    data = pd.concat([weeks(unique_id="A"), weeks(unique_id="B").iloc[8:]])

    def progress(done, _total, _what):
        if done == after:
            raise Enough

    stopped = Backtest(data, PAIR, splits=SPLITS)
    with pytest.raises(Enough):
        stopped.run(progress=progress)
    finished, total = stopped.origins
    resumed, seen = Backtest(data, PAIR, splits=SPLITS), []
    resumed.resume(stopped.state())
    assert resumed.origins == (finished, total)
    resumed.run(progress=lambda *at: seen.append(at))
    assert len(seen) == 2 * (total - finished)
    same(resumed.evaluation(), rolling_origin(data, PAIR, splits=SPLITS))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((weeks(n=148), PAIR), id="weeks"),
        pytest.param((weeks().assign(ds=lambda rows: rows["ds"] + pd.Timedelta(weeks=1)), PAIR), id="days"),
        pytest.param((weeks(), [PLAIN]), id="configurations"),
    ],
)
def test_the_state_of_another_evaluation_is_refused(other):
    data, configurations = other
    backtest = Backtest(weeks(), PAIR, splits=SPLITS)
    backtest.run()
    with pytest.raises(ValueError, match="other data or configurations"):
        Backtest(data, configurations, splits=SPLITS).resume(backtest.state())


def test_configurations_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="distinct names"):
        rolling_origin(weeks(), [DEFAULT, DEFAULT], splits=SPLITS)


@pytest.mark.parametrize("field", ["window", "horizon", "step", "latest"])
def test_splits_count_from_one(field):
    with pytest.raises(ConfigurationError, match="at least 1"):
        Splits(**{field: 0})


@pytest.mark.parametrize("arguments", [{"season_length": 2.0}, {"max_harmonics": -1}], ids=str)
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(ConfigurationError):
        rolling_origin(weeks(), [DEFAULT], splits=SPLITS, **arguments)
