import pickle

import pytest

from forecasting.errors import (
    ArtifactError,
    FitError,
    ForecastingError,
    NotPositiveError,
    NumericalError,
    SeriesError,
    SeriesTooShortError,
)

NUMERICAL = NumericalError.__subclasses__()

ERRORS = [
    (SeriesError("WGF", "week 2020-01-03 stands twice"), "WGF: week 2020-01-03 stands twice"),
    (
        SeriesTooShortError("WGF", 50, 104, "dhr(K=2)"),
        "WGF: 50 weeks for dhr(K=2), 104 are needed; hand over a longer history",
    ),
    (SeriesTooShortError("WGF", 50, 104), "WGF: 50 weeks, 104 are needed; hand over a longer history"),
    (FitError("WGF", "dhr(K=2)", "singular"), "WGF: dhr(K=2) could not be fitted: singular"),
    (NotPositiveError("WGF", "dhr(K=2)", "week 3"), "WGF: dhr(K=2) could not be fitted: week 3"),
    *(
        (kind("WGF", "dhr(K=2)", kind.REASON), f"WGF: dhr(K=2) could not be fitted: {kind.REASON}")
        for kind in NUMERICAL
    ),
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


def test_every_numerical_error_has_a_reason_of_its_own():
    assert len({kind.REASON for kind in NUMERICAL}) == len(NUMERICAL) == 5
    assert all(issubclass(kind, FitError) for kind in NUMERICAL)
