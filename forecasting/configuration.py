"""What to fit: one frozen value, the same for search, fit, artifact and leaderboard."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from forecasting.errors import ConfigurationError

ModelName = Literal["harmonic_regression", "seasonal_naive"]
MAX_HARMONICS = 26
"""A weekly season of 365.25 / 7 weeks has no more than 26 harmonics."""


@dataclass(frozen=True)
class Configuration:
    """A point of the search space.

    Attributes:
        model: Which model; the attributes below it, except `counterfactual`, steer the harmonic regression alone.
        harmonics: Fourier pairs K, 0 to 26, or "aicc" to choose K by AICc.
        holidays: Whether the weeks of U.S. federal holidays are regressors.
        detrend: Whether a linear trend is taken off the log series first.
        deseasonalise: Whether an additive season of 52 weeks is taken off next.
        counterfactual: Whether the model learns from the series with structural breaks replaced, or as observed.
            The caller chooses the series accordingly.

    Raises:
        ConfigurationError: A value is none of these.
    """

    model: ModelName = "harmonic_regression"
    harmonics: int | Literal["aicc"] = "aicc"
    holidays: bool = True
    detrend: bool = False
    deseasonalise: bool = False
    counterfactual: bool = True

    def __post_init__(self) -> None:
        if self.model not in get_args(ModelName):
            raise ConfigurationError(f"model {self.model!r}: it is one of {', '.join(get_args(ModelName))}")
        counted = type(self.harmonics) is int and 0 <= self.harmonics <= MAX_HARMONICS
        if not counted and self.harmonics != "aicc":
            raise ConfigurationError(f"harmonics {self.harmonics!r}: a whole number 0..{MAX_HARMONICS}, or 'aicc'")
        for name in ("holidays", "detrend", "deseasonalise", "counterfactual"):
            if type(getattr(self, name)) is not bool:
                raise ConfigurationError(f"{name} {getattr(self, name)!r}: it is true or false")

    @property
    def name(self) -> str:
        """A short stable label, such as `dhr(K=aicc,holidays)`; `observed` marks a fit without the counterfactual.

        >>> Configuration(harmonics=2, holidays=False, deseasonalise=True).name
        'dhr(K=2,deseasonalise)'
        """
        observed = [] if self.counterfactual else ["observed"]
        if self.model == "seasonal_naive":
            return f"seasonal_naive({observed[0]})" if observed else "seasonal_naive"
        switches = [name for name in ("holidays", "detrend", "deseasonalise") if getattr(self, name)]
        return f"dhr({','.join([f'K={self.harmonics}', *switches, *observed])})"

    def to_dict(self) -> dict[str, Any]:
        """The attributes by name, JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The configuration that `to_dict` gave; attributes left out take their default.

        Raises:
            ConfigurationError: A name or a value is unknown.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigurationError(f"a configuration has no {', '.join(sorted(unknown))}")
        return cls(**values)

    @classmethod
    def from_text(cls, point: Mapping[str, str]) -> Self:
        """The configuration of a point of `search_space`.

        >>> Configuration.from_text({"harmonics": "2", "holidays": "false"}).name
        'dhr(K=2)'

        Raises:
            ConfigurationError: There is no such configuration.
        """
        values: dict[str, Any] = {name: {"true": True, "false": False}.get(text, text) for name, text in point.items()}
        if str(values.get("harmonics", "")).isdigit():
            values["harmonics"] = int(values["harmonics"])
        return cls.from_dict(values)


def search_space(*, max_harmonics: int = 12) -> dict[str, tuple[str, ...]]:
    """What every hyper-parameter may be, as text: each combination is a candidate, the first the default.

    Args:
        max_harmonics: K is 0 to this many, and chosen by AICc among them.
    """
    return {
        "counterfactual": ("true", "false"),
        "holidays": ("true", "false"),
        "detrend": ("false", "true"),
        "deseasonalise": ("false", "true"),
        "harmonics": ("aicc", *(str(K) for K in range(max_harmonics + 1))),
    }


DEFAULT = Configuration()
"""Harmonic regression with ARIMA errors, K by AICc, holiday weeks: the best of the field on held-out years."""

PUBLISHED = Configuration(harmonics=2, holidays=False, deseasonalise=True)
"""The configuration that the reference system published."""

SEASONAL_NAIVE = Configuration(model="seasonal_naive", harmonics=0, holidays=False)
"""The same week of last year: what any other model must beat."""
