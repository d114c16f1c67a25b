import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.configuration import DEFAULT, PUBLISHED, SEASONAL_NAIVE, Configuration
from forecasting.errors import ConfigurationError

configurations = st.builds(
    Configuration,
    model=st.sampled_from(["harmonic_regression", "seasonal_naive"]),
    harmonics=st.one_of(st.just("aicc"), st.integers(0, 26)),
    holidays=st.booleans(),
    detrend=st.booleans(),
    deseasonalise=st.booleans(),
    counterfactual=st.booleans(),
)


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        (DEFAULT, "dhr(K=aicc,holidays)"),
        (PUBLISHED, "dhr(K=2,deseasonalise)"),
        (SEASONAL_NAIVE, "seasonal_naive"),
        (Configuration(harmonics=6, detrend=True, counterfactual=False), "dhr(K=6,holidays,detrend,observed)"),
        (Configuration(model="seasonal_naive", counterfactual=False), "seasonal_naive(observed)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_names_are_short_and_stable(configuration, name):
    assert configuration.name == name


@given(configurations)
def test_survives_json(configuration):
    assert Configuration.from_dict(json.loads(json.dumps(configuration.to_dict()))) == configuration


@given(configurations, configurations)
def test_harmonic_regressions_that_differ_have_different_names(one, other):
    if one.model == other.model == "harmonic_regression":
        assert (one.name == other.name) == (one == other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "prophet"}, "model 'prophet'"),
        ({"harmonics": 27}, "harmonics 27"),
        ({"harmonics": -1}, "harmonics -1"),
        ({"harmonics": True}, "harmonics True"),
        ({"harmonics": "bic"}, "harmonics 'bic'"),
        ({"holidays": "yes"}, "holidays 'yes'"),
        ({"detrend": 1}, "detrend 1"),
        ({"window": 3}, "no window"),
    ],
    ids=str,
)
def test_refuses_what_it_does_not_know(values, message):
    with pytest.raises(ConfigurationError, match=message):
        Configuration.from_dict(values)
