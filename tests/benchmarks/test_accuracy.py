import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from benchmarks.accuracy import calibrations, report, scores
from benchmarks.accuracy.backtest import board, bounds, cases, needed
from benchmarks.accuracy.fits import complete
from benchmarks.accuracy.run import Plan, run
from benchmarks.accuracy.store import Fit, History, Options, Store
from benchmarks.accuracy.variants import CHAMPION, FPP3, MODELS, NAIVE, REFERENCE
from benchmarks.accuracy.worlds import EXAM_WEEKS, Period, Rules, read_series, scored_weeks, weeks_of, world
from forecasting import forecaster, models, tuning
from forecasting.breaks import BreakRule
from forecasting.configuration import Configuration

HORIZON = 4
RULES = Rules(
    horizon=HORIZON,
    training_weeks=160,
    window=140,
    step=4,
    season_length=365.25 / 7,
    max_harmonics=2,
    fence=3.0,
    breaks=(),
)
CANDIDATES = (
    Configuration(),
    Configuration(harmonics=1, holidays=False),
    Configuration(harmonics=1, holidays=False, counterfactual=False),
)
WEEK = date(2014, 1, 3)
PERIOD = Period("2014", WEEK, WEEK + timedelta(weeks=8))


def weekly(unique_id="A", *, start="2010-11-05", weeks=190, seed=0):
    ds = pd.date_range(start, periods=weeks, freq="7D").astype("datetime64[us]")
    season = np.sin(2 * np.pi * np.arange(weeks) / 52.18)
    noise = np.random.default_rng(seed).normal(0, 0.02, weeks).cumsum()
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": 1000 * np.exp(0.1 * season + noise)})


def silent(*_):
    pass


@pytest.fixture
def case():
    history = weekly()
    (found,) = cases("2014", world(history, WEEK, RULES), history, RULES)
    return found


class TestWorlds:
    def test_what_comes_later_changes_nothing(self):
        history = weekly()
        later = history["ds"] > pd.Timestamp(WEEK)
        other = history.assign(y=history["y"].where(~later, 1.0))
        pd.testing.assert_frame_equal(world(history, WEEK, RULES).span, world(other, WEEK, RULES).span)

    def test_the_span_ends_with_the_week_and_has_its_length(self):
        span = world(weekly(), WEEK, RULES).span
        assert span["ds"].max() == pd.Timestamp(WEEK)
        assert len(span) == RULES.training_weeks

    def test_a_series_without_a_whole_span_is_absent(self):
        short = weekly("B").iloc[20:]
        assert set(world(pd.concat([weekly(), short]), WEEK, RULES).span["unique_id"]) == {"A"}

    def test_the_break_is_found_in_the_weeks_before_the_held_out_ones(self):
        history = weekly(start="2006-11-03", weeks=400)
        last = history["ds"] == pd.Timestamp(WEEK - timedelta(weeks=HORIZON - 1))
        history.loc[last, "y"] *= 10
        rule = BreakRule("shock", date(2013, 6, 1), date(2014, 6, 1), 1, date(2014, 6, 1), date(2006, 11, 3))
        rules = replace(RULES, breaks=(rule,))
        assert not world(history, WEEK, rules).span["replaced"].any()
        assert world(history, WEEK + timedelta(weeks=2), rules).span["replaced"].any()
        assert len(scored_weeks(history, rules)) == len(history) - 1

    def test_origins_have_a_whole_horizon_after_them(self):
        newest = WEEK + timedelta(weeks=10)
        found = weeks_of(Period("x", WEEK, None), newest=newest, horizon=HORIZON, step=2)
        assert found == [WEEK + timedelta(weeks=w) for w in (0, 2, 4, 6)]

    def test_the_exam_is_not_read(self, shared_data):
        released = pd.read_csv(shared_data / "releases" / "WGFUPUS2.csv")
        last = read_series(shared_data).groupby("unique_id")["ds"].max()
        assert (last == pd.Timestamp(released["date"].iloc[-EXAM_WEEKS - 1])).all()


class TestFits:
    options = Options(HORIZON, 365.25 / 7, 2)
    history = History(pd.Timestamp("2010-11-05"), weekly()["y"].to_numpy()[:150])

    def fit(self, **configuration):
        return Fit(self.history, Configuration(**{"harmonics": 1, "holidays": False} | configuration), self.options)

    def test_the_key_is_of_the_content(self):
        other = History(self.history.first, self.history.values * 1.01)
        assert self.fit().key == self.fit().key
        assert self.fit().key == self.fit(counterfactual=False).key
        assert self.fit().key != self.fit(detrend=True).key
        assert self.fit().key != replace(self.fit(), history=other).key

    def test_a_fit_is_that_of_the_platform_and_is_made_once(self, tmp_path):
        fits = [self.fit(), self.fit(harmonics="aicc"), self.fit(deseasonalise=True)]
        seen = []
        store = Store(tmp_path / "fits.sqlite")
        complete(fits, store, workers=1, progress=lambda *done: seen.append(done))
        complete(fits, store, workers=1, progress=lambda *done: seen.append(done))
        assert seen == [(0, 3), (3, 3), (3, 3)]
        index = pd.date_range(self.history.first, periods=150, freq="7D")
        for fit in fits:
            ours = models.fit(
                pd.Series(self.history.values, index=index, name="A"), fit.configuration, max_harmonics=2
            ).entry
            np.testing.assert_allclose(store.read(fit.key).moments, forecaster.moments(ours, HORIZON), rtol=1e-6)

    def test_a_failure_has_a_name(self, tmp_path):
        constant = replace(self.fit(), history=History(self.history.first, np.full(150, 7.0)))
        store = Store(tmp_path / "fits.sqlite")
        complete([constant], store, workers=1, progress=silent)
        outcome = store.read(constant.key)
        assert outcome.moments is None
        assert outcome.failure[0]

    def test_a_note_is_made_once(self, tmp_path):
        store = Store(tmp_path / "fits.sqlite")
        assert store.noted("a", lambda: {"b": 1}) == {"b": 1}
        assert store.noted("a", lambda: {"b": 2}) == {"b": 1}


def test_the_choice_is_that_of_the_platforms_search(case, tmp_path):
    store = Store(tmp_path / "fits.sqlite")
    complete(needed(case, [CHAMPION], CANDIDATES), store, workers=1, progress=silent)
    data = case.span.iloc[:-HORIZON].assign(unique_id="A")
    own = tuning.search(
        data, configurations=CANDIDATES, window=140, horizon=HORIZON, step=4, max_harmonics=2, workers=1
    )
    found = board(case, CANDIDATES, store)
    assert found.chosen == own.chosen["A"]
    assert [each.name for each in found.by_loss] == own.trials["configuration"].tolist()
    name = found.chosen.name
    moments = np.array([[store.read(fit.key).moments for fit in case.windows(found.chosen)]])
    theirs = own.errors[own.errors["configuration"] == name].reset_index(drop=True)
    ours = case.errors(moments)[["cutoff", "horizon", "ds", "y", "mean", "se", "observed"]]
    pd.testing.assert_frame_equal(ours, theirs[ours.columns], check_dtype=False)


@pytest.mark.parametrize("conformal", [None, [[0.2, 1.0, 3.0]], [[0.1], [0.2, 0.4]]], ids=["normal", "one", "two"])
def test_bounds_are_those_of_the_forecaster(case, conformal):
    history = pd.Series(case.span["y"].to_numpy(), index=pd.DatetimeIndex(case.span["ds"]), name="A")
    entry = models.fit(history, Configuration(harmonics=1, holidays=False)).entry
    entry["conformal"] = None if conformal is None else {"scores": conformal}
    rows = pd.DataFrame(
        forecaster.forecast(
            entry, horizon=HORIZON, levels=(80, 95), interval="normal" if conformal is None else "conformal"
        )
    )
    found = bounds(np.array(forecaster.moments(entry, HORIZON)), conformal)
    for name in ("lo-80", "hi-80", "lo-95", "hi-95"):
        np.testing.assert_allclose(found[name], rows[name], rtol=1e-12)


class TestCalibrations:
    def errors(self, **columns):
        table = {"cutoff": pd.Timestamp(WEEK), "horizon": [1, 2, 1, 2], "y": np.e, "mean": [1.0, 1.0, np.e**2, 1.0]}
        table |= {"se": [1.0, 0.5, 1.0, 0.25], "observed": [True, True, True, False]}
        return pd.DataFrame(table | {"unique_id": "A", "configuration": "x"} | columns)

    def test_scores_of_all_horizons_are_pooled(self):
        assert calibrations.pooled()(self.errors(), 2) == [pytest.approx([1, 1, 2])]

    def test_the_prior_is_normal(self):
        (found,) = calibrations.pooled(prior=999)(self.errors().assign(observed=False), 2)
        assert np.quantile(found, 0.8) == pytest.approx(1.2816, abs=0.01)

    def test_the_platform_mixes_both(self):
        (found,) = calibrations.platform(self.errors(), 2)
        assert len(found) == 3 + 52
        assert calibrations.platform(self.errors().assign(observed=False), 2) is None

    def test_recent_scores_weigh_more(self):
        old = self.errors(cutoff=pd.Timestamp(WEEK - timedelta(weeks=100)), mean=np.e**6)
        both = pd.concat([old, self.errors()])
        (evenly,), (recent,) = (calibrations.pooled(half_life=h)(both, 2) for h in (1e9, 10))
        assert np.median(recent) < np.median(evenly)

    def test_too_few_scores_are_none(self):
        assert calibrations.by_horizon()(self.errors(), 2) is None


class TestScores:
    def forecasts(self):
        rows = []
        for variant, shift in (("naive", 4.0), ("ours", 2.0)):
            for unique_id, size in (("A", 1.0), ("B", 10.0)):
                for i, cutoff in enumerate(pd.date_range("2014-01-03", periods=4, freq="28D")):
                    y = 100.0 * size
                    mean = y + shift * size * (1 + 0.5 * (i % 2))
                    row = {"period": "p", "variant": variant, "unique_id": unique_id, "cutoff": cutoff, "horizon": 1}
                    row |= {"y": y, "mean": mean, "scale": size}
                    for level in {*scores.QUANTILE_LEVELS, *scores.LEVELS}:
                        row |= {f"lo-{level:g}": mean - 3 * size, f"hi-{level:g}": mean + 3 * size}
                    rows.append(row)
        return pd.DataFrame(rows)

    def test_by_hand(self):
        found = scores.by_series(self.forecasts()).loc[("p", "ours", "B")]
        assert found["mae"] == pytest.approx(25)
        assert found["mase"] == pytest.approx(2.5)
        assert found["coverage-80"] == 1
        assert found["width-95"] == pytest.approx(0.06)

    def test_wql_of_a_sure_forecast_is_its_relative_error(self):
        rows = self.forecasts().query("variant == 'ours'")
        sure = rows.assign(**{name: rows["mean"] for name in rows if name[:3] in {"lo-", "hi-"}})
        assert scores.wql(sure) == pytest.approx((sure["mean"] - sure["y"]).abs().mean() / sure["y"].mean())

    def test_ratios_are_geometric_means_over_series(self):
        found = scores.summary(scores.by_series(self.forecasts()), naive="naive")
        assert found.loc[("p", "ours"), "relative-mae"] == pytest.approx(0.5)
        assert found.loc[("p", "naive"), "coverage-80"] == 0

    def test_paired_differences_are_shares_of_the_reference(self):
        found = scores.paired(self.forecasts(), reference="naive", lags=1).set_index("unique_id")
        assert found.loc["all", "difference"] == pytest.approx(-0.5)
        assert found.loc["all", "origins"] == 4
        assert found.loc["all", "t"] < 0


def test_a_whole_run_writes_its_report_and_can_be_continued(tmp_path):
    history = pd.concat([weekly("A"), weekly("B", seed=1)], ignore_index=True)
    plan = Plan((PERIOD,), 4, MODELS, CANDIDATES, RULES, tmp_path / "fits.sqlite", workers=1)
    first = run(history, plan, silent)
    stages = []
    again = run(history, plan, lambda *stage: stages.append(stage))
    pd.testing.assert_frame_equal(first, again)
    assert all(done == total for stage, done, total in stages if stage.startswith("fits"))
    assert set(first["variant"]) == {NAIVE.name, REFERENCE.name, FPP3.name, CHAMPION.name}
    assert len(first) == 4 * 2 * 3 * HORIZON

    findings = report.find(first, plan)
    with (tmp_path / "shown").open("w") as shown:
        report.show(findings, plan, Console(file=shown, width=200))
    report.save(findings, plan, tmp_path / "results.json")
    report.write(findings, plan, tmp_path)
    assert "Origins 2014" in (tmp_path / "shown").read_text()
    assert "# Accuracy" in (tmp_path / "accuracy.md").read_text()
    assert (tmp_path / "images" / "accuracy.png").stat().st_size > 0
    saved = json.loads((tmp_path / "results.json").read_text())
    assert {target["name"] for target in saved["targets"]} == {target.name for target in findings.targets}
