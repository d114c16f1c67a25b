import warnings

import numpy as np
import pandas as pd
import pytest

from forecasting.transforms import Transform, levels, n_parameters


def sample(n=200, seed=2):
    t = np.arange(n)
    return 8 + 0.001 * t + 0.1 * np.sin(2 * np.pi * t / 52) + np.random.default_rng(seed).normal(0, 0.01, n)


def each(test):
    """Every transformation there is."""
    test = pytest.mark.parametrize("detrend", [False, True], ids=["level", "detrended"])(test)
    return pytest.mark.parametrize("deseasonalise", [False, True], ids=["seasonal", "deseasonalised"])(test)


def test_nothing_is_taken_off_unless_asked():
    transform = Transform.fit(sample(), detrend=False, deseasonalise=False)
    assert transform == Transform(None, None)
    assert transform.n_parameters == 0
    assert not transform.level(np.arange(10)).any()
    assert transform.to_dict() == {"trend": None, "season": None}


def test_a_line_is_found_again():
    transform = Transform.fit(3 + 0.5 * np.arange(20), detrend=True, deseasonalise=False)
    assert transform.trend == pytest.approx((3, 0.5))
    assert transform.n_parameters == 2
    assert transform.level(np.array([100])) == pytest.approx([53])


def test_a_season_repeats_by_absolute_week():
    transform = Transform.fit(sample(), detrend=False, deseasonalise=True)
    assert transform.n_parameters == 52
    assert sum(transform.season) == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(transform.level(np.arange(52)), transform.level(np.arange(520, 572)))


@each
def test_equals_the_transformers_of_sktime(detrend, deseasonalise):
    from sktime.forecasting.trend import PolynomialTrendForecaster
    from sktime.transformations.series.detrend import Deseasonalizer, Detrender

    n, ahead = 200, 104
    index = pd.period_range("2013-01-04", periods=n + ahead, freq="W-FRI")
    left, expected = pd.Series(sample(n), index=index[:n]), np.zeros(n + ahead)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sktime's own deprecations
        for wanted, transformer in (
            (detrend, Detrender(PolynomialTrendForecaster(degree=1))),
            (deseasonalise, Deseasonalizer(sp=52, model="additive")),
        ):
            if wanted:
                transformer.fit(left)
                expected -= transformer.transform(pd.Series(0.0, index=index)).to_numpy()
                left = transformer.transform(left)
    transform = Transform.fit(sample(n), detrend=detrend, deseasonalise=deseasonalise)
    np.testing.assert_allclose(transform.level(np.arange(n + ahead)), expected, atol=1e-9)


@each
def test_many_samples_at_once_are_each_taken_as_if_alone(detrend, deseasonalise):
    samples = np.stack([sample(150, seed) * (1 + seed) for seed in range(4)])
    found = levels(samples, weeks=180, detrend=detrend, deseasonalise=deseasonalise)
    alone = [Transform.fit(row, detrend=detrend, deseasonalise=deseasonalise) for row in samples]
    np.testing.assert_allclose(found, [transform.level(np.arange(180)) for transform in alone], rtol=1e-13)
    assert {t.n_parameters for t in alone} == {n_parameters(detrend=detrend, deseasonalise=deseasonalise)}
