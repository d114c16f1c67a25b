"""Rolling origins: what is trained on, what is compared, what is left out, and what a failure costs."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting import cross_validation, forecaster, models
from forecasting.configuration import DEFAULT, SEASONAL_NAIVE, Configuration
from forecasting.cross_validation import Splits, origins, rolling_origin
from forecasting.errors import ConfigurationError, FitError

SPLITS = Splits(window=10, horizon=3, step=2)


def weeks(n=20, *, replaced=(), unique_id="W"):
    """Weeks whose observed value is their number and whose counterfactual is 1000 more where they are replaced."""
    y = np.arange(1.0, n + 1)
    mask = np.isin(np.arange(n), list(replaced))
    ds = pd.date_range("2020-01-03", periods=n, freq="7D")
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": y, "counterfactual": y + 1000 * mask, "replaced": mask})


@pytest.fixture
def fitted(monkeypatch):
    """Every history that is fitted; a fit forecasts its last value for ever, with a standard error of 0.5."""
    histories = []

    def fit(history, configuration, *, season_length, max_harmonics):
        histories.append(history)
        return models.Fitted({"n_parameters": len(configuration.name), "level": float(history.iloc[-1])}, history)

    monkeypatch.setattr(models, "fit", fit)
    monkeypatch.setattr(forecaster, "moments", lambda entry, horizon: [(math.log(entry["level"]), 0.5)] * horizon)
    return histories


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


def test_a_window_slides_and_never_holds_a_week_it_is_scored_on(fitted):
    errors = rolling_origin(weeks(), [DEFAULT], splits=SPLITS).errors
    assert [history.tolist() for history in fitted] == [list(range(s + 1, s + 11)) for s in (1, 3, 5, 7)]
    assert all(history.name == "W" for history in fitted)
    assert (errors["ds"] - errors["cutoff"] == errors["horizon"] * pd.Timedelta(weeks=1)).all()
    assert errors.groupby("cutoff")["horizon"].apply(list).tolist() == [[1, 2, 3]] * 4
    assert errors["y"].tolist()[:3] == [12.0, 13.0, 14.0]
    assert errors["mean"].to_numpy() == pytest.approx(np.repeat([11.0, 13.0, 15.0, 17.0], 3))
    assert (errors["se"] == 0.5).all()
    assert errors["observed"].all()


@pytest.mark.parametrize(
    ("counterfactual", "scoring", "trained", "truth"),
    [
        (True, "fair", 1011.0, 12.0),
        (False, "fair", 11.0, 12.0),
        (True, "published", 1011.0, 1012.0),
        (False, "published", 11.0, 12.0),
    ],
)
def test_which_column_is_learnt_from_and_which_is_the_truth(fitted, counterfactual, scoring, trained, truth):
    configuration = Configuration(counterfactual=counterfactual)
    data = weeks(14, replaced=[10, 11])
    errors = rolling_origin(data, [configuration], scoring=scoring, splits=SPLITS).errors
    assert fitted[0].iloc[-1] == trained
    assert errors["y"].iloc[0] == truth
    assert errors["observed"].tolist() == [False, True, True]


def test_a_fair_origin_of_replaced_weeks_alone_is_not_even_fitted(fitted):
    data = weeks(replaced=[11, 12, 13, 14])
    fair = rolling_origin(data, [DEFAULT], splits=SPLITS)
    assert fair.errors.groupby("cutoff")["observed"].sum().tolist() == [1, 3, 3]
    assert len(fitted) == 3
    published = rolling_origin(data, [DEFAULT], scoring="published", splits=SPLITS)
    assert published.errors["cutoff"].nunique() == 4


def test_a_series_of_which_nothing_observed_can_be_scored_says_so(fitted):
    (trial,) = rolling_origin(weeks(replaced=range(10, 20)), [DEFAULT], splits=SPLITS).trials.to_dict("records")
    assert trial["status"] == "NothingObservedError"
    assert "every week from 2020-03-20 to 2020-05-15 was replaced" in trial["reason"]
    assert fitted == []


def test_only_the_newest_origins_are_kept_if_asked(fitted):
    splits = Splits(window=10, horizon=3, step=2, latest=1)
    errors = rolling_origin(weeks(), [DEFAULT], splits=splits).errors
    assert errors["cutoff"].unique().tolist() == [pd.Timestamp("2020-04-24")]
    assert errors["ds"].max() == weeks()["ds"].max()


def test_a_failure_ends_its_own_trial_and_names_the_first_origin(fitted, monkeypatch):
    fit = models.fit

    def fails(history, configuration, **options):
        if history.name == "B" and configuration == DEFAULT and history.iloc[-1] > 11:
            raise FitError("B", configuration.name, "no convergence")
        return fit(history, configuration, **options)

    monkeypatch.setattr(models, "fit", fails)
    data = pd.concat([weeks(unique_id="B"), weeks(unique_id="A")])
    evaluation = rolling_origin(data, [DEFAULT, SEASONAL_NAIVE], splits=SPLITS)
    assert evaluation.trials["status"].tolist() == ["ok", "ok", "FitError", "ok"]
    reason = evaluation.trials["reason"].iloc[2]
    assert reason.startswith("origin 2020-03-27: B: dhr(K=aicc,holidays) could not be fitted: no convergence")
    assert reason.endswith("(3 of 4 origins failed; this is the first)")
    assert math.isnan(evaluation.trials["n_parameters"].iloc[2])
    kept = evaluation.errors.groupby(["unique_id", "configuration"]).size()
    assert kept.to_dict() == {("A", DEFAULT.name): 12, ("A", "seasonal_naive"): 12, ("B", "seasonal_naive"): 12}


@pytest.mark.parametrize(
    "moments",
    [[(800.0, 0.1)] * 3, [(float("nan"), 0.1)] * 3, [(1.0, float("inf"))] * 3],
    ids=["overflow", "nan", "infinite-se"],
)
def test_a_forecast_without_a_number_is_a_failed_fit(fitted, monkeypatch, moments):
    monkeypatch.setattr(forecaster, "moments", lambda entry, horizon: moments)
    evaluation = rolling_origin(weeks(14), [DEFAULT], splits=SPLITS)
    assert evaluation.trials["status"].tolist() == ["FitError"]
    assert evaluation.errors.empty


def test_a_variance_that_overflows_is_a_failed_fit(fitted, monkeypatch):
    def overflows(entry, horizon):
        raise forecaster.OverflowedForecastError("variance -1 at horizon 2")

    monkeypatch.setattr(forecaster, "moments", overflows)
    (trial,) = rolling_origin(weeks(14), [DEFAULT], splits=SPLITS).trials.to_dict("records")
    assert trial["status"] == "FitError"
    assert "variance -1 at horizon 2" in trial["reason"]


def test_an_error_that_nobody_named_ends_the_search(fitted, monkeypatch):
    def bug(*_args, **_options):
        raise KeyError("a bug")

    monkeypatch.setattr(models, "fit", bug)
    with pytest.raises(KeyError, match="a bug"):
        rolling_origin(weeks(), [DEFAULT], splits=SPLITS)


@pytest.mark.parametrize(
    ("spoil", "status", "message"),
    [
        (lambda data: data.drop(index=12), "IncompleteSeriesError", "the week before 2020-04-03 is missing"),
        (
            lambda data: pd.concat([data, data.iloc[[5]]]),
            "IncompleteSeriesError",
            "before 2020-02-07 is missing or doubled",
        ),
        (
            lambda data: data.assign(y=data["y"].where(data["y"] != 4)),
            "IncompleteSeriesError",
            "no value for the week 2020-01-24",
        ),
        (lambda data: data.head(12), "SeriesTooShortError", "12 weeks .*13 are needed"),
    ],
    ids=["missing-week", "doubled-week", "missing-value", "short"],
)
def test_a_series_that_cannot_be_split_is_recorded_and_does_not_stop_the_others(fitted, spoil, status, message):
    data = pd.concat([weeks(unique_id="A"), spoil(weeks(unique_id="B"))])
    trials = rolling_origin(data, [DEFAULT], splits=SPLITS).trials
    assert trials["status"].tolist() == ["ok", status]
    assert trials["reason"].str.contains(message).tolist() == [False, True]


def test_weeks_may_arrive_in_any_order(fitted):
    shuffled = weeks().sample(frac=1, random_state=3)
    expected = rolling_origin(weeks(), [DEFAULT], splits=SPLITS).errors
    pd.testing.assert_frame_equal(rolling_origin(shuffled, [DEFAULT], splits=SPLITS).errors, expected)


def test_progress_counts_every_origin(fitted):
    seen = []
    rolling_origin(weeks(), [DEFAULT], splits=SPLITS, progress=lambda *at: seen.append(at))
    assert seen[0] == (1, 4, "W dhr(K=aicc,holidays) 2020-03-13")
    assert [done for done, _, _ in seen] == [1, 2, 3, 4]


def test_configurations_of_one_name_are_refused(fitted):
    with pytest.raises(ConfigurationError, match="distinct names"):
        rolling_origin(weeks(), [DEFAULT, DEFAULT], splits=SPLITS)


@pytest.mark.parametrize("field", ["window", "horizon", "step", "latest"])
def test_splits_count_from_one(field):
    with pytest.raises(ConfigurationError, match="at least 1"):
        Splits(**{field: 0})


def test_the_number_of_workers_changes_nothing():
    rng = np.random.default_rng(5)
    frames = []
    for unique_id in "AB":
        data = weeks(130, unique_id=unique_id)
        data["y"] = data["counterfactual"] = np.exp(9 + 0.05 * rng.normal(size=130))
        frames.append(data)
    table = pd.concat(frames)
    splits = Splits(window=110, horizon=6, step=7)
    configurations = [SEASONAL_NAIVE, Configuration(harmonics=1, holidays=False)]
    one, two = (rolling_origin(table, configurations, splits=splits, workers=workers) for workers in (1, 2))
    pd.testing.assert_frame_equal(one.errors, two.errors, check_exact=True)
    pd.testing.assert_frame_equal(
        one.trials.drop(columns="seconds"), two.trials.drop(columns="seconds"), check_exact=True
    )
    assert set(one.trials["status"]) == {"ok"}
