"""What can go wrong in the mathematics, by name. Each message says what was wrong, where, and what to do."""

from typing import ClassVar


class ForecastingError(ValueError):
    """Every error of this package; `forecasting.forecaster` has its own, because it stands alone."""


class ConfigurationError(ForecastingError):
    """A configuration, a rule or another argument is not one we know."""


class SeriesError(ForecastingError):
    """The figures of a series cannot be used as they are.

    Args:
        unique_id: The series.
        reason: What is wrong with it, and where.
    """

    def __init__(self, unique_id: str, reason: str) -> None:
        super().__init__(unique_id, reason)
        self.unique_id = unique_id
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.unique_id}: {self.reason}"


class SeriesTooShortError(ForecastingError):
    """A series has fewer weeks than a method needs.

    Args:
        unique_id: The series.
        weeks: Weeks there are.
        needed: Weeks the method needs.
        purpose: The method, or the configuration, that needs them.
    """

    def __init__(self, unique_id: str, weeks: int, needed: int, purpose: str = "") -> None:
        super().__init__(unique_id, weeks, needed, purpose)
        self.unique_id = unique_id
        self.weeks = weeks
        self.needed = needed
        self.purpose = purpose

    def __str__(self) -> str:
        what = f" for {self.purpose}" if self.purpose else ""
        return f"{self.unique_id}: {self.weeks} weeks{what}, {self.needed} are needed; hand over a longer history"


class FitError(ForecastingError):
    """A model could not be fitted.

    Args:
        unique_id: The series.
        configuration: Name of the configuration.
        reason: Why.
    """

    def __init__(self, unique_id: str, configuration: str, reason: str) -> None:
        super().__init__(unique_id, configuration, reason)
        self.unique_id = unique_id
        self.configuration = configuration
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.unique_id}: {self.configuration} could not be fitted: {self.reason}"


class NotPositiveError(FitError):
    """A figure has no logarithm."""


class ConstantSeriesError(FitError):
    """Every week is the same."""


class NumericalError(FitError):
    """The numbers allow no fit; each kind has its own `REASON`."""

    REASON: ClassVar[str]


class NotFiniteError(NumericalError):
    """NaN or infinity, in the series or in what was estimated from it."""

    REASON = "the series, its likelihood or its forecast is not finite; the model has no use"


class TooFewWeeksError(NumericalError):
    """Fewer weeks than parameters."""

    REASON = "there are too few weeks for so many regressors; ask for fewer harmonics or hand over a longer history"


class SingularRegressorsError(NumericalError):
    """Regressors explain one another."""

    REASON = "the regressors are collinear; ask for fewer harmonics or a longer window"


class PerfectFitError(NumericalError):
    """The regression leaves no error."""

    REASON = "the regression leaves no error to learn from; a series that repeats itself needs no model"


class NoAdmissibleModelError(NumericalError):
    """All roots are on or inside the unit circle."""

    REASON = "no ARIMA that was tried has a finite likelihood and roots outside the unit circle"


class ArtifactError(ForecastingError):
    """An artifact cannot be built, written or read back.

    Args:
        where: The file, or the member of the artifact.
        reason: What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"
