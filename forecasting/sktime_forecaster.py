"""The harmonic regression as an sktime forecaster, for pipelines and benchmarks that speak sktime.

The only module that needs sktime, an extra of this package; nothing else may import it. On weekly Fridays it gives the
numbers of `forecasting.models.fit` and `forecasting.forecaster.forecast`; beyond them it takes what sktime hands over:
any index without gaps, any length of season, series with zeros and negative figures (`log=False`), short ones.
"""

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import harmonic_regression
from forecasting.conditioning import condition
from forecasting.configuration import Configuration
from forecasting.errors import ConfigurationError, SeriesError
from forecasting.forecaster import OverflowedForecastError, moments
from forecasting.models import SEASON_LENGTH
from forecasting.schema import SEASON
from forecasting.transforms import Transform

try:
    from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
    from sktime.utils.warnings import warn
except ModuleNotFoundError as missing:
    raise ImportError(
        f"forecasting.sktime_forecaster needs sktime ({missing}): pip install 'forecast-assets[sktime]'"
    ) from missing

Floats = npt.NDArray[np.float64]

SMALLEST_VARIANCE = float(np.finfo(np.float64).tiny)
"""Stands for the innovation variance of a straight line, which has none: its intervals have no width."""

STRAIGHT = 1e-16
"""A variance about the line below this is rounding error, on the scale of the model."""

SHORTEST = 8
"""Fewer periods than this tell nothing of their errors."""


class DynamicHarmonicRegression(BaseForecaster):  # type: ignore[misc] # sktime has no types
    """Dynamic harmonic regression with ARMA or ARIMA errors, order and number of harmonics chosen by AICc.

    Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., sections 10.3 to 10.5.

    Forecasts reach 104 periods ahead. With `log=True` they are medians, exp of the mean of log y; quantiles, intervals
    and variances are those of a log-normal, and `predict_proba`, which knows normals alone, is refused. In-sample
    predictions are the series less its residuals: one step ahead, NaN where the differences begin. A straight line
    leaves no error to learn from: it is continued, with a warning, and its intervals have no width.

    `update` estimates anew from all data seen. With `update_params=False` it keeps the estimates and filters the new
    data through the model, so that forecasts start from them.

    Args:
        season_length: Periods in a season, more than 2; by default a year of weeks.
        harmonics: Fourier pairs K, 0 to 26, or "aicc" to choose K among 0..`max_harmonics`.
        max_harmonics: Largest K that "aicc" tries, as far as half a season allows.
        holidays: Whether weeks of U.S. federal holidays are regressors; the index must be weeks that end on Friday.
        detrend: Whether a linear trend is taken off first.
        deseasonalise: Whether an additive season of 52 periods is taken off next, whatever `season_length` is.
        log: Whether the logarithm of the series is modelled.

    Attributes:
        order_: Order (p, d, q) of the ARIMA.
        harmonics_: Number K of Fourier pairs.
        model_: What the artifact of this package holds of a model: coefficients, regressors, state. JSON-ready.

    Raises:
        ConfigurationError: A parameter makes no sense, or `holidays` meets other than weeks that end on Friday.
        SeriesError: The index has gaps or no frequency; there are fewer than 8 periods, or than two seasons where a
            season is modelled; a figure is infinite, or has no logarithm; an update ends before the data seen, or
            revises them with `update_params=False`; a prediction is asked for from before the data.
        FitError: No model can be estimated; the message says why.
        HorizonError: A forecast is asked for more than 104 periods ahead.
        OverflowedForecastError: A forecast is too large to be represented.

    Example:
        >>> from sktime.datasets import load_airline
        >>> from forecasting.sktime_forecaster import DynamicHarmonicRegression
        >>> forecaster = DynamicHarmonicRegression(season_length=12, harmonics=4).fit(load_airline(), fh=[1, 2, 3])
        >>> forecaster.order_[1], forecaster.predict().size
        (1, 3)
    """

    _tags = {  # noqa: RUF012 - sktime reads it so
        "authors": ["forecast-assets"],
        "maintainers": ["forecast-assets"],
        "capability:exogenous": False,
        "capability:multivariate": False,
        "capability:missing_values": False,
        "capability:categorical_in_X": False,
        "capability:insample": True,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:update": True,
        "capability:unequal_length": True,
        "requires-fh-in-fit": False,
        "y_inner_mtype": "pd.Series",
        "property:randomness": "deterministic",
    }

    # What an update needs is in `_cur_y`. sktime's own memory is off, as from sktime 1.3 on, but can be switched on
    # later; its constructor leaves these two out then, and its methods miss them.
    _config = {"remember_data": False}  # noqa: RUF012
    _y = _X = None

    def __init__(
        self,
        season_length: float = SEASON_LENGTH,
        harmonics: int | Literal["aicc"] = "aicc",
        max_harmonics: int = 12,
        holidays: bool = False,
        detrend: bool = False,
        deseasonalise: bool = False,
        log: bool = True,
    ) -> None:
        self.season_length = season_length
        self.harmonics = harmonics
        self.max_harmonics = max_harmonics
        self.holidays = holidays
        self.detrend = detrend
        self.deseasonalise = deseasonalise
        self.log = log
        super().__init__()

    def _fit(self, y: pd.Series, X: None, fh: ForecastingHorizon | None) -> Self:  # noqa: N803 - sktime's name
        del X, fh
        configuration = self._configuration()
        _refuse_short(y, configuration, self.season_length)
        _refuse_gaps(y)
        values, fridays = self._values(y), self._fridays(y.index)
        # Errors of a logarithm are shares of one. Any other series is brought to one scale, or its unit would decide
        # what counts as rounding error, and as a diffuse start.
        self._location, self._scale = (0.0, 1.0) if self.log else (float(np.mean(values)), float(np.std(values)) or 1.0)
        x = (values - self._location) / self._scale
        line = Transform.fit(x, detrend=True, deseasonalise=False)
        if np.var(x - line.level(np.arange(len(x)))) <= STRAIGHT:
            warn(f"{_name(y)} is a straight line: it is continued, with intervals of no width", UserWarning, obj=self)
            members, residuals = _straight(line, len(x), self.season_length), np.zeros(len(x))
        else:
            members, residuals = harmonic_regression.fit(
                x,
                fridays,
                configuration,
                unique_id=_name(y),
                season_length=self.season_length,
                max_harmonics=self.max_harmonics,
            )
        p, d, q = members["arima"]["order"]
        self.order_, self.harmonics_ = (p, d, q), members["hyperparameters"]["K"]
        self.model_ = {"unique_id": _name(y), "model": "harmonic_regression", "n": len(x), **members}
        self._fitted = np.concatenate([np.full(d, np.nan), x[d:] - residuals])
        self._cur_y = y.copy()
        return self

    def _update(self, y: pd.Series, X: None = None, update_params: bool = True) -> Self:  # noqa: N803
        seen = self._cur_y
        if y.index[-1] < seen.index[-1]:
            raise SeriesError(_name(y), f"the update ends at {y.index[-1]}, but data were seen to {seen.index[-1]}")
        pooled = pd.concat([seen[~seen.index.isin(y.index)], y]).sort_index()
        if update_params:
            return self._fit(pooled, X, None)
        known = y.index.isin(seen.index)
        if not np.array_equal(y[known], seen.loc[y.index[known]]):
            raise SeriesError(_name(y), "the update revises data seen before; fit anew, or update the parameters too")
        _refuse_gaps(pooled)
        new = pooled[len(seen) :]
        if len(new):
            x = (self._values(new) - self._location) / self._scale
            self.model_, predicted = condition(self.model_, x, self._fridays(new.index))
            self._fitted = np.concatenate([self._fitted, predicted])
            self._cur_y = pooled
        return self

    def _predict(self, fh: ForecastingHorizon, X: None) -> pd.Series:  # noqa: N803
        del X
        steps = self._steps(fh)
        ahead = steps > 0
        x = np.full(len(steps), np.nan)
        x[~ahead] = self._fitted[steps[~ahead] - 1]
        if ahead.any():
            x[ahead] = self._moments(steps[ahead])[0]
        return pd.Series(self._original(x), index=fh.to_absolute_index(self.cutoff), name=self._cur_y.name)

    def _predict_quantiles(self, fh: ForecastingHorizon, X: None, alpha: list[float]) -> pd.DataFrame:  # noqa: N803
        from scipy.special import ndtri

        del X
        mean, se = self._moments(self._steps(fh))
        return pd.DataFrame(
            self._original(mean[:, None] + se[:, None] * ndtri(np.array(alpha))),
            index=fh.to_absolute_index(self.cutoff),
            columns=self._get_columns(method="predict_quantiles", alpha=alpha),
        )

    def _predict_var(self, fh: ForecastingHorizon, X: None = None, cov: bool = False) -> pd.DataFrame:  # noqa: N803
        del X
        if cov:
            raise NotImplementedError("the covariance of two horizons is not known; cov=False gives variances")
        mean, se = self._moments(self._steps(fh))
        # The variance of the log-normal, where sktime would take that of the normal with the same quartiles.
        variance = np.expm1(se**2) * self._original(2 * mean + se**2) if self.log else (se * self._scale) ** 2
        return pd.DataFrame(
            variance, index=fh.to_absolute_index(self.cutoff), columns=self._get_columns(method="predict_var")
        )

    def _predict_proba(self, fh: ForecastingHorizon, X: None, marginal: bool = True) -> object:  # noqa: N803
        if self.log or not marginal:
            raise NotImplementedError(
                "only marginal normal distributions are known, and with log=True forecasts are log-normal; "
                "predict_quantiles, predict_interval and predict_var have them"
            )
        return super()._predict_proba(fh=fh, X=X, marginal=marginal)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Parameters for sktime's test suite, whose series have 15 to 50 periods, and zeros."""
        del parameter_set
        return [
            {"season_length": 4, "harmonics": 1, "log": False},
            {"season_length": 7, "max_harmonics": 2, "detrend": True, "log": False},
        ]

    def _configuration(self) -> Configuration:
        if not self.season_length > 2 or self.max_harmonics < 0:
            raise ConfigurationError(
                f"season_length {self.season_length} exceeds 2, max_harmonics {self.max_harmonics} is 0 or more"
            )
        return Configuration(
            harmonics=self.harmonics,
            holidays=self.holidays,
            detrend=self.detrend,
            deseasonalise=self.deseasonalise,
        )

    def _values(self, y: pd.Series) -> Floats:
        """The figures, or their logarithms, shape (n,)."""
        values: Floats = y.to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(values) | (self.log & (values <= 0)))
        if len(bad):
            wrong = "have no logarithm, which log=False does without" if self.log else "are not finite"
            raise SeriesError(_name(y), f"{len(bad)} figures {wrong}, the first at {y.index[bad[0]]}: {values[bad[0]]}")
        return np.log(values) if self.log else values

    def _original(self, x: Floats) -> Floats:
        """From the scale of the model back to that of the series."""
        if not self.log:
            return self._location + self._scale * x
        try:
            with np.errstate(over="raise"):
                return np.exp(x)
        except FloatingPointError as error:
            raise OverflowedForecastError(
                f"series {self.model_['unique_id']}: a forecast is too large a number"
            ) from error

    def _fridays(self, index: pd.Index) -> pd.DatetimeIndex:
        """The days on which the weeks end; without holidays any do, the model does not look at them."""
        if not self.holidays:
            return pd.date_range("1970-01-02", periods=len(index), freq="W-FRI")
        if isinstance(index, pd.PeriodIndex) and index.freqstr == "W-FRI":
            return index.to_timestamp(how="end").normalize()
        days = index.tz_localize(None).normalize() if isinstance(index, pd.DatetimeIndex) else pd.DatetimeIndex([])
        if days.empty or days[0].weekday() != 4 or not (np.diff(days) == np.timedelta64(7, "D")).all():
            raise ConfigurationError(
                f"holidays are those of weeks that end on Friday, but the index begins with {index[0]!r}; give it "
                "consecutive Fridays or W-FRI periods, or set holidays=False"
            )
        return days

    def _steps(self, fh: ForecastingHorizon) -> npt.NDArray[np.int64]:
        """Periods after the last one seen, shape (horizon,), none before the first."""
        if self._cur_y.index[-1] != self.cutoff[0]:
            raise SeriesError(
                self.model_["unique_id"],
                f"the update to {self.cutoff[0]} failed, {self._cur_y.index[-1]} is what was learnt",
            )
        steps = np.asarray(fh.to_relative(self.cutoff), dtype=np.int64)
        if steps.min() <= -len(self._fitted):
            raise SeriesError(
                self.model_["unique_id"], f"nothing is known {-steps.min()} periods before the last, {self.cutoff[0]}"
            )
        return steps

    def _moments(self, steps: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Means and standard errors on the scale of the model, `steps` >= 1 after the last period."""
        pairs = np.array(moments(self.model_, int(steps.max())))[steps - 1]
        return pairs[:, 0], pairs[:, 1]


def _name(y: pd.Series) -> str:
    return "the series" if y.name is None else str(y.name)


def _refuse_short(y: pd.Series, configuration: Configuration, season_length: float) -> None:
    """Refuse fewer than two full seasons, which cannot tell a season from a trend."""
    needed = max(
        SHORTEST,
        2 * SEASON if configuration.deseasonalise else 0,
        int(2 * season_length) if configuration.harmonics != 0 else 0,
    )
    if len(y) < needed:
        raise SeriesError(_name(y), f"{len(y)} periods for {configuration.name}, {needed} are needed")


def _refuse_gaps(y: pd.Series) -> None:
    """Refuse an index in which a period may be missing: the model counts rows."""
    index = y.index
    if isinstance(index, pd.PeriodIndex):
        whole = index.is_full
    elif isinstance(index, pd.DatetimeIndex):
        whole = index.freq is not None or pd.infer_freq(index) is not None
    else:
        whole = pd.api.types.is_integer_dtype(index.dtype) and bool((np.diff(index) == 1).all())
    if not whole:
        raise SeriesError(
            _name(y),
            f"the index from {index[0]} to {index[-1]} has gaps, or no frequency; fill it, "
            "or use periods or consecutive whole numbers",
        )


def _straight(line: Transform, n: int, season_length: float) -> dict[str, Any]:
    """Members of the artifact of a line without errors."""
    return {
        "hyperparameters": {"K": 0, "order": [0, 0, 0], "constant": "none", "aicc": None},
        "transform": line.to_dict(),
        "fourier": {"period": float(season_length), "coefficients": [], "phase": n, "dropped": []},
        "holidays": {"columns": [], "coefficients": [], "weeks": [], "dropped": []},
        "arima": {
            "order": [0, 0, 0],
            "intercept": 0.0,
            "drift": 0.0,
            "phi": [],
            "theta": [],
            "sigma2": SMALLEST_VARIANCE,
            "a": [0.0],
            "P": [[0.0]],
            "h": 0.0,
        },
        "n_parameters": line.n_parameters,
    }
