"""What a tuning job tries next."""

import math
import random
import sys

import pytest

from resources.sagemaker.local.suggestions import Categorical, MissingExtraError, Numeric, Search, Trial

BOWL = (Numeric("x", 0.0, 1.0, False, "Linear"), Numeric("n", 1, 20, True, "Linear"), Categorical("c", ("a", "b", "c")))


def height(values):
    return (float(values["x"]) - 0.3) ** 2 + (int(values["n"]) - 7) ** 2 / 100 + 0.3 * (values["c"] != "b")


def run(search, trials, *, parallel=4):
    """All trials in the order of their numbers, as a tuning job makes them; every fifth fails."""
    made, ended = [], []
    for number in range(trials):
        known = ended[: max(0, number - parallel + 1)]
        made.append(search.suggestion(number, known, made))
        ended.append(Trial(made[-1], None if number % 5 == 4 else height(made[-1])))
    return made


@pytest.mark.parametrize("strategy", ["Bayesian", "Random"])
def test_equal_seeds_give_equal_trials_and_others_give_others(strategy):
    first, again, other = (run(Search(BOWL, strategy, seed, minimize=True), 12) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_bayesian_trials_are_better_than_random_ones_by_far():
    best = {
        strategy: [min(map(height, run(Search(BOWL, strategy, seed, minimize=True), 30)[10:])) for seed in range(6)]
        for strategy in ("Bayesian", "Random")
    }
    assert sum(best["Bayesian"]) < 0.7 * sum(best["Random"])


def test_no_combination_is_tried_twice_while_others_are_left():
    search = Search(
        (Categorical("a", ("1", "2", "3")), Numeric("n", 1, 4, True, "Linear")), "Bayesian", 7, minimize=True
    )
    made = []
    for number in range(int(search.combinations)):
        made.append(search.suggestion(number, [Trial(values, 1.0) for values in made], made))
    assert len({tuple(values.items()) for values in made}) == 12


def test_the_grid_has_every_combination_once():
    search = Search((Categorical("a", ("1", "2")), Categorical("b", ("x", "y", "z"))), "Grid", 0, minimize=True)
    made = [search.suggestion(number, [], []) for number in range(6)]
    assert sorted((values["a"], values["b"]) for values in made) == [(a, b) for a in "12" for b in "xyz"]


@pytest.mark.parametrize(
    ("each", "middle"),
    [
        pytest.param(Numeric("x", 1.0, 100.0, False, "Linear"), 50.5, id="linear"),
        pytest.param(Numeric("x", 1.0, 100.0, False, "Logarithmic"), 10.0, id="logarithmic"),
        pytest.param(Numeric("x", 0.0, 0.99, False, "ReverseLogarithmic"), 0.9, id="reverse logarithmic"),
    ],
)
def test_a_scale_puts_its_own_middle_in_the_middle(each, middle):
    assert float(each.at(0.5)) == pytest.approx(middle)
    assert [float(each.at(place)) for place in (0, 1)] == pytest.approx([each.low, each.high])
    assert each.place(each.at(0.2)) == pytest.approx(0.2)


@pytest.mark.parametrize("scaling", ["Linear", "Logarithmic"])
def test_whole_numbers_cover_their_range_to_both_ends(scaling):
    each = Numeric("n", 1, 5, True, scaling)
    draw = random.Random(0).random
    assert {each.at(draw()) for _ in range(300)} == {"1", "2", "3", "4", "5"}
    assert all(each.at(each.place(str(n))) == str(n) for n in range(1, 6))


def test_a_wide_range_without_a_scale_is_searched_by_orders_of_magnitude():
    def middle(low, high):
        ranges = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high}]}
        objective = {"Type": "Minimize", "MetricName": "m"}
        config = {"Strategy": "Random", "ParameterRanges": ranges, "HyperParameterTuningJobObjective": objective}
        return float(Search.of("job", config).ranges[0].at(0.5))

    assert middle("1e-6", "1") == pytest.approx(1e-3)
    assert middle("0", "1") == 0.5
    assert math.isclose(middle("1", "10"), 5.5)


def test_without_optuna_the_bayesian_strategy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"forecast-assets\[tuning\]"):
        Search(BOWL, "Bayesian", 1, minimize=True).suggestion(0, [], [])
    assert Search(BOWL, "Random", 1, minimize=True).suggestion(0, [], [])
