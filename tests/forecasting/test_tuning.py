"""The search: when the default stays, what displaces it, and what the leaderboard remembers."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest

from forecasting import tuning
from forecasting.configuration import DEFAULT, PUBLISHED, Configuration
from forecasting.cross_validation import Evaluation

N_ORIGINS = 12
SIMPLE, RIVAL, THIRD = (Configuration(harmonics=k, holidays=False) for k in (1, 2, 3))
NOISE = np.array([3.0, -1.0, 2.0, 0.0, -2.0, 1.0, -3.0, 2.0, -1.0, 0.0, 1.0, -2.0])
COUNTED = {"window": 104, "horizon": 4, "step": 6, "max_harmonics": 1}


@pytest.fixture
def search(monkeypatch):
    """Search over given misses, {configuration: (number of parameters, miss of each origin)}; None is a failed fit."""

    def run(trials, *, replaced=(), origins=N_ORIGINS, **options):
        def evaluation(_backtest):
            rows, errors = [], []
            for configuration, outcome in trials.items():
                n_parameters, misses = outcome or (math.nan, ())
                row = {"unique_id": "W", "configuration": configuration.name, "n_parameters": n_parameters}
                rows.append(row | {"status": "ok" if outcome else "FitError", "reason": "" if outcome else "no model"})
                n = origins if outcome else 0
                cutoffs = pd.date_range("2020-03-06", periods=n, freq="7D")
                table = pd.DataFrame({"unique_id": "W", "configuration": configuration.name, "cutoff": cutoffs})
                table = table.assign(horizon=1, ds=cutoffs + pd.Timedelta(weeks=1), y=100.0, se=0.1)
                observed = ~np.isin(np.arange(n), list(replaced))
                errors.append(table.assign(mean=100.0 + np.broadcast_to(misses, n), observed=observed))
            return Evaluation(pd.concat(errors), pd.DataFrame(rows).assign(seconds=0.0))

        monkeypatch.setattr(tuning.Backtest, "evaluation", evaluation)
        return tuning.Search(weeks(0), configurations=list(trials), horizon=1, step=1, **options).result()

    return run


def weeks(n=130, **columns):
    """Weeks of a season and noise."""
    t = np.arange(n)
    y = np.exp(9 + 0.1 * np.sin(2 * np.pi * t / 52.18) + 0.03 * np.random.default_rng(5).normal(size=n))
    ds = pd.date_range("2020-01-03", periods=n, freq="7D")
    table = pd.DataFrame({"unique_id": "W", "ds": ds, "y": y, "counterfactual": y, "replaced": False})
    return table.assign(**columns)


def of(result, configuration):
    return result.trials.set_index("configuration").loc[configuration.name]


def test_the_default_stays_when_a_rival_is_better_by_less_than_one_paired_standard_error(search):
    result = search({DEFAULT: (30, 20), RIVAL: (10, 20 + NOISE)})
    rival = of(result, RIVAL)
    assert abs(rival["delta"]) < rival["delta_se"]
    assert result.chosen == {"W": DEFAULT}


def test_a_rival_better_by_more_than_one_paired_standard_error_displaces_it(search):
    result = search({DEFAULT: (30, 20), RIVAL: (40, 18 + NOISE)})
    rival = of(result, RIVAL)
    assert rival["delta"] < -rival["delta_se"] < 0
    assert result.chosen == {"W": RIVAL}


def test_the_difference_is_paired_so_common_hard_origins_do_not_hide_it(search):
    hard = np.linspace(1, 50, N_ORIGINS)
    result = search({DEFAULT: (30, hard), RIVAL: (10, 0.99 * hard)})
    rival, default = of(result, RIVAL), of(result, DEFAULT)
    assert default["loss"] - rival["loss"] < rival["se"]
    assert result.chosen == {"W": RIVAL}


def test_delta_and_its_error_are_those_of_the_paired_losses(search):
    result = search({DEFAULT: (30, 20), RIVAL: (10, 20 + NOISE)})
    differences = (20 + NOISE) ** 2 - 400
    rival, default = of(result, RIVAL), of(result, DEFAULT)
    assert rival["delta"] == pytest.approx(differences.mean())
    assert rival["delta_se"] == pytest.approx(differences.std(ddof=1) / math.sqrt(N_ORIGINS))
    assert rival["loss"] == pytest.approx(((20 + NOISE) ** 2).mean())
    assert (default["delta"], default["delta_se"]) == (0, 0)
    assert (rival["n_origins"], rival["n_points"]) == (N_ORIGINS, N_ORIGINS)


def test_among_those_within_one_paired_standard_error_of_the_best_the_simplest_is_chosen(search):
    result = search({DEFAULT: (30, 40), RIVAL: (20, 19.8 + NOISE), SIMPLE: (5, 20), THIRD: (1, 39)})
    assert result.trials["configuration"].iloc[0] == RIVAL.name
    assert result.chosen == {"W": SIMPLE}


def test_a_simpler_one_clearly_behind_the_best_is_not_chosen(search):
    result = search({DEFAULT: (30, 40), RIVAL: (20, 20 + NOISE / 10), SIMPLE: (5, 22)})
    assert result.chosen == {"W": RIVAL}


def test_a_simpler_one_that_does_not_displace_the_default_is_not_chosen(search):
    result = search({DEFAULT: (30, 20), RIVAL: (20, 20 - np.abs(NOISE)), SIMPLE: (5, 20.5)})
    assert result.chosen == {"W": RIVAL}


def test_one_origin_is_no_evidence(search):
    result = search({DEFAULT: (30, 40), RIVAL: (10, 1)}, origins=1)
    assert math.isnan(of(result, RIVAL)["delta_se"])
    assert of(result, RIVAL)["rank"] == 1
    assert result.chosen == {"W": DEFAULT}


def test_a_failed_trial_stays_on_the_leaderboard_last_and_with_its_reason(search):
    result = search({RIVAL: None, DEFAULT: (30, 20)})
    assert result.trials["configuration"].tolist() == [DEFAULT.name, RIVAL.name]
    failed = of(result, RIVAL)
    assert failed["status"] == "FitError"
    assert failed["reason"] == "no model"
    assert math.isnan(failed["loss"])
    assert failed["rank"] is pd.NA
    assert failed["n_origins"] == 0
    assert not failed["chosen"]
    assert set(result.errors["configuration"]) == {DEFAULT.name}


def test_without_the_default_the_others_compete(search):
    result = search({DEFAULT: None, RIVAL: (20, 20 + NOISE / 10), SIMPLE: (5, 22)})
    assert result.chosen == {"W": RIVAL}
    assert result.trials["delta"].isna().all()


def test_one_configuration_is_simply_scored(search):
    result = search({RIVAL: (20, 20)})
    assert result.chosen == {"W": RIVAL}
    assert result.trials["loss"].tolist() == pytest.approx([400.0])


def test_a_series_whose_every_trial_failed_has_no_choice(search):
    result = search({DEFAULT: None, RIVAL: None})
    assert result.chosen == {}
    assert not result.trials["chosen"].any()
    assert result.errors.empty


def test_the_default_stands_where_nothing_observed_can_be_scored_and_its_trial_says_so():
    result = tuning.search(weeks(replaced=True), configurations=[DEFAULT, RIVAL], **COUNTED)
    assert result.chosen == {"W": DEFAULT}
    assert of(result, DEFAULT)["status"] == "NothingObservedError"
    assert of(result, DEFAULT)["chosen"]


def test_replaced_weeks_count_in_published_scoring_only(search):
    misses = np.where(np.arange(N_ORIGINS) < 6, 100.0, 10.0)
    trials = {DEFAULT: (30, 20), RIVAL: (10, misses)}
    fair = search(trials, replaced=range(6))
    assert of(fair, RIVAL)["loss"] == pytest.approx(100)
    assert of(fair, RIVAL)["n_origins"] == 6
    assert fair.chosen == {"W": RIVAL}
    published = search(trials, replaced=range(6), scoring="published")
    assert of(published, RIVAL)["loss"] == pytest.approx((100**2 + 10**2) / 2)
    assert published.chosen == {"W": DEFAULT}


def test_published_scoring_takes_the_lowest_loss_however_small_the_lead(search):
    result = search({DEFAULT: (30, 20), RIVAL: (99, 19.999)}, scoring="published")
    assert result.chosen == {"W": RIVAL}


def test_the_leaderboard_has_a_column_per_hyper_parameter(search):
    result = search({DEFAULT: (30, 20), PUBLISHED: (9, 30)})
    published = of(result, PUBLISHED)
    assert published[["harmonics", "holidays", "deseasonalise"]].tolist() == ["2", False, True]
    assert of(result, DEFAULT)["harmonics"] == "aicc"
    assert result.trials.columns.tolist() == [
        *("unique_id", "configuration", "model", "harmonics", "holidays", "detrend", "deseasonalise", "counterfactual"),
        *("status", "reason", "n_origins", "n_points", "loss", "se", "delta", "delta_se", "n_parameters"),
        *("rank", "chosen", "seconds"),
    ]


def test_the_leaderboard_survives_parquet(search, tmp_path):
    result = search({DEFAULT: (30, 20), RIVAL: None})
    for name, frame in {"trials": result.trials, "errors": result.errors}.items():
        frame.to_parquet(tmp_path / name)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), frame)


def test_the_quick_search_starts_with_the_default_and_holds_the_published_one():
    configurations = tuning.quick_configurations()
    assert configurations[0] == DEFAULT
    assert PUBLISHED in configurations
    assert len({configuration.name for configuration in configurations}) == len(configurations) == 4


@pytest.mark.parametrize(("max_harmonics", "count"), [(12, 224), (0, 32)])
def test_the_exhaustive_search_holds_every_combination_once_the_default_first(max_harmonics, count):
    configurations = tuning.exhaustive_configurations(max_harmonics=max_harmonics)
    assert configurations[0] == DEFAULT
    assert len({configuration.name for configuration in configurations}) == len(configurations) == count
    fields = ("harmonics", "holidays", "detrend", "deseasonalise", "counterfactual")
    expected = set(product(["aicc", *range(max_harmonics + 1)], *[(True, False)] * 4))
    assert {tuple(getattr(each, field) for field in fields) for each in configurations} == expected
    assert {each.model for each in configurations} == {"harmonic_regression"}


def test_the_exhaustive_search_is_what_happens_unless_others_are_given():
    result = tuning.search(weeks(), **COUNTED)
    expected = tuning.exhaustive_configurations(max_harmonics=1)
    assert set(result.trials["configuration"]) == {each.name for each in expected}
    assert set(result.trials["status"]) == {"ok"}
    # The series has no break: what learns from the observed weeks is what learns from the counterfactual.
    losses = result.trials.set_index("configuration")["loss"]
    for each in expected:
        if each.counterfactual:
            assert losses[each.name] == losses[each.name.replace(")", ",observed)")]
    assert len(result.errors) == len(expected) * result.trials["n_points"].iloc[0] == 48 * 4 * 4


def test_the_leaderboard_follows_from_the_errors_it_keeps():
    result = tuning.search(weeks(), configurations=[DEFAULT, RIVAL], max_origins=3, **COUNTED)
    assert result.trials["n_origins"].tolist() == [3, 3]
    for configuration in (DEFAULT, RIVAL):
        errors = result.errors[result.errors["configuration"] == configuration.name]
        by_origin = ((errors["y"] - errors["mean"]) ** 2).groupby(errors["cutoff"]).mean()
        assert of(result, configuration)["loss"] == pytest.approx(by_origin.mean(), rel=1e-12)
        assert sorted(errors["horizon"].unique()) == [1, 2, 3, 4]


class EnoughError(Exception):
    """Raised to stop a search."""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_that_is_stopped_ranks_by_what_is_finished(workers):
    configurations = [DEFAULT, RIVAL, Configuration(harmonics=1, holidays=False, detrend=True)]
    running = tuning.Search(weeks(), configurations=configurations, **COUNTED)

    def progress(done, total, _what):
        if done == total - 2:
            raise EnoughError

    assert running.origins == (0, 4)
    with pytest.raises(EnoughError):
        running.run(workers=workers, progress=progress)
    finished, total = running.origins
    assert 2 <= finished < total == 4
    result, whole = running.result(), tuning.search(weeks(), configurations=configurations, **COUNTED)
    kept = whole.errors[whole.errors["cutoff"].isin(result.errors["cutoff"])]
    pd.testing.assert_frame_equal(result.errors, kept.reset_index(drop=True), check_exact=True)
    expected = ((kept["y"] - kept["mean"]) ** 2).groupby(kept["configuration"]).mean()
    assert result.trials.set_index("configuration")["loss"].to_dict() == pytest.approx(expected.to_dict(), rel=1e-12)
    assert set(result.trials["n_origins"]) == {finished}
    assert result.chosen == {"W": next(each for each in configurations if of(result, each)["chosen"])}


def test_nothing_finished_is_nothing_scored():
    result = tuning.Search(weeks(), configurations=[DEFAULT, RIVAL], **COUNTED).result()
    assert result.errors.empty
    assert result.trials["n_origins"].tolist() == [0, 0]
    assert result.trials["loss"].isna().all()
    assert result.chosen == {}
