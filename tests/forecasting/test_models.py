import json

import numpy as np
import pandas as pd
import pytest

from forecasting import models, schema
from forecasting.configuration import DEFAULT, PUBLISHED, SEASONAL_NAIVE, Configuration
from forecasting.errors import (
    ConfigurationError,
    ConstantSeriesError,
    FitError,
    NotPositiveError,
    PerfectFitError,
    SeriesTooShortError,
)

SMALL = Configuration(harmonics=1, holidays=False)


@pytest.mark.parametrize("configuration", [SMALL, SEASONAL_NAIVE, PUBLISHED], ids=lambda c: c.name)
def test_every_model_keeps_the_contract(simulated, configuration):
    fitted = models.fit(simulated, configuration)
    schema.check_entry(json.loads(json.dumps(fitted.entry)))
    assert fitted.entry["unique_id"] == "SIM"
    assert fitted.entry["cutoff"] == "2023-11-10"
    assert fitted.entry["n"] == len(simulated)
    assert Configuration.from_dict(fitted.entry["configuration"]) == configuration
    assert fitted.residuals.index[-1] == simulated.index[-1]
    assert np.isfinite(fitted.residuals).all()


def spoilt(series, week, value):
    copy = series.copy()
    copy.iloc[week] = value
    return copy


@pytest.mark.parametrize("configuration", [SMALL, SEASONAL_NAIVE], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (
            lambda s: spoilt(s, 3, 0.0),
            NotPositiveError,
            r"1 weeks are not positive numbers, the first 2020-11-13: 0\.0",
        ),
        (
            lambda s: spoilt(s, slice(3, 5), -7.0),
            NotPositiveError,
            r"2 weeks are not positive numbers, the first 2020-11-13: -7\.0",
        ),
        (lambda s: spoilt(s, 3, np.nan), NotPositiveError, r"the first 2020-11-13: nan"),
        (lambda s: spoilt(s, 3, np.inf), NotPositiveError, r"the first 2020-11-13: inf"),
        (lambda s: s * 0 + 5, ConstantSeriesError, r"every week is 5\.0"),
        (lambda s: s.drop(s.index[3]), FitError, "2020-11-13 breaks the row"),
        (lambda s: s.iloc[::-1], FitError, "breaks the row"),
        (lambda s: s.set_axis(s.index + pd.Timedelta(days=1)), FitError, "2020-10-24 breaks the row"),
        (lambda s: s.reset_index(drop=True), FitError, "the index is RangeIndex"),
    ],
    ids=["zero", "negative", "nan", "infinite", "constant", "gap", "backwards", "saturdays", "no days"],
)
def test_figures_that_cannot_be_used_are_named(simulated, configuration, spoil, error, message):
    with pytest.raises(FitError, match=message) as caught:
        models.fit(spoil(simulated), configuration)
    assert type(caught.value) is error
    assert caught.value.unique_id == "SIM"
    assert caught.value.configuration == configuration.name


@pytest.mark.parametrize("configuration", [DEFAULT, SEASONAL_NAIVE], ids=lambda c: c.name)
def test_two_seasons_are_needed(simulated, configuration):
    with pytest.raises(SeriesTooShortError, match="SIM: 103 weeks for .*, 104 are needed"):
        models.fit(simulated.iloc[-103:], configuration)
    models.fit(simulated.iloc[-104:], configuration, max_harmonics=1)


@pytest.mark.parametrize("arguments", [{"season_length": 2.0}, {"max_harmonics": -1}], ids=str)
def test_senseless_arguments_are_refused(simulated, arguments):
    with pytest.raises(ConfigurationError):
        models.fit(simulated, SMALL, **arguments)


@pytest.mark.parametrize(
    ("configuration", "wave"), [(SMALL, 0.3), (SMALL, 0.0), (DEFAULT, 0.0)], ids=["wave", "line", "line, K by AICc"]
)
def test_a_series_without_noise_is_refused_by_name(simulated, configuration, wave):
    t = np.arange(len(simulated))
    smooth = pd.Series(np.exp(8 + 0.001 * t + wave * np.sin(2 * np.pi * t / 52)), index=simulated.index, name="SIM")
    with pytest.raises(PerfectFitError, match="SIM: dhr.* leaves no error"):
        models.fit(smooth, configuration, season_length=52)
