import pickle

import pytest

from forecasting.errors import ArtifactError, FitError, ForecastingError, SeriesError, SeriesTooShortError

ERRORS = [
    (SeriesError("WGF", "week 2020-01-03 stands twice"), "WGF: week 2020-01-03 stands twice"),
    (
        SeriesTooShortError("WGF", 50, 104, "dhr(K=2)"),
        "WGF: 50 weeks for dhr(K=2), 104 are needed; hand over a longer history",
    ),
    (SeriesTooShortError("WGF", 50, 104), "WGF: 50 weeks, 104 are needed; hand over a longer history"),
    (FitError("WGF", "dhr(K=2)", "singular"), "WGF: dhr(K=2) could not be fitted: singular"),
    (ArtifactError("model.tar.gz", "empty"), "model.tar.gz: empty"),
]


@pytest.mark.parametrize(("error", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_messages_say_what_and_where(error, message):
    assert str(error) == message
    assert isinstance(error, ForecastingError)


@pytest.mark.parametrize("error", [error for error, _ in ERRORS], ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
