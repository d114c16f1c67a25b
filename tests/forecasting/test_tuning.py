"""The search: when the default stays, what displaces it, and what the leaderboard remembers."""

import math

import numpy as np
import pandas as pd
import pytest

from forecasting import forecaster, models, tuning
from forecasting.configuration import DEFAULT, PUBLISHED, Configuration
from forecasting.errors import FitError

N_ORIGINS = 12
SIMPLE, RIVAL, THIRD = (Configuration(harmonics=k, holidays=False) for k in (1, 2, 3))
NOISE = np.array([3.0, -1.0, 2.0, 0.0, -2.0, 1.0, -3.0, 2.0, -1.0, 0.0, 1.0, -2.0])


@pytest.fixture
def search(monkeypatch):
    """Search with given misses, {configuration: (number of parameters, miss of each origin)}; None fails the fit."""

    def run(trials, *, replaced=(), scoring="fair", configurations=None, **options):
        n = 10 + N_ORIGINS
        ds = pd.date_range("2020-01-03", periods=n, freq="7D")
        mask = np.isin(np.arange(n), list(replaced))
        data = pd.DataFrame({"unique_id": "W", "ds": ds, "y": 100.0, "counterfactual": 100.0, "replaced": mask})

        def fit(history, configuration, **_options):
            if trials[configuration] is None:
                raise FitError("W", configuration.name, "no convergence")
            n_parameters, misses = trials[configuration]
            miss = np.broadcast_to(misses, N_ORIGINS)[ds.get_loc(history.index[-1]) - 9]
            return models.Fitted({"n_parameters": n_parameters, "mean": 100 + float(miss)}, history)

        monkeypatch.setattr(models, "fit", fit)
        monkeypatch.setattr(forecaster, "moments", lambda entry, horizon: [(math.log(entry["mean"]), 0.1)] * horizon)
        splits = {"window": 10, "horizon": 1, "step": 1}
        return tuning.search(data, configurations=configurations or list(trials), scoring=scoring, **splits, **options)

    return run


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
    result = search({DEFAULT: (30, 40), RIVAL: (10, 1)}, max_origins=1)
    assert math.isnan(of(result, RIVAL)["delta_se"])
    assert of(result, RIVAL)["rank"] == 1
    assert result.chosen == {"W": DEFAULT}


def test_a_failed_trial_stays_on_the_leaderboard_last_and_with_its_reason(search):
    result = search({RIVAL: None, DEFAULT: (30, 20)})
    assert result.trials["configuration"].tolist() == [DEFAULT.name, RIVAL.name]
    failed = of(result, RIVAL)
    assert failed["status"] == "FitError"
    assert "no convergence" in failed["reason"]
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


def test_the_default_stands_where_nothing_observed_can_be_scored_and_its_trial_says_so(search):
    result = search({DEFAULT: (30, 20), RIVAL: (10, 1)}, replaced=range(10, 40))
    assert result.chosen == {"W": DEFAULT}
    assert of(result, DEFAULT)["status"] == "NothingObservedError"
    assert of(result, DEFAULT)["chosen"]


def test_replaced_weeks_count_in_published_scoring_only(search):
    misses = np.where(np.arange(N_ORIGINS) < 6, 100.0, 10.0)
    trials = {DEFAULT: (30, 20), RIVAL: (10, misses)}
    fair = search(trials, replaced=range(10, 16))
    assert of(fair, RIVAL)["loss"] == pytest.approx(100)
    assert of(fair, RIVAL)["n_origins"] == 6
    assert fair.chosen == {"W": RIVAL}
    published = search(trials, replaced=range(10, 16), scoring="published")
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
    assert len({configuration.name for configuration in configurations}) == len(configurations)
