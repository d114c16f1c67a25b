"""Dynamic harmonic regression: Fourier pairs and holiday weeks, with ARIMA errors, on the log of the series.

Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., sections 10.3 to 10.5; the automatic choice of
the ARIMA is that of Hyndman & Khandakar (2008), J. Stat. Softw. 27(3), as statsforecast has it.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import likelihood
from forecasting.configuration import Configuration
from forecasting.regressors import collinear, fourier, fourier_names, holiday_weeks
from forecasting.schema import MAX_HORIZON, SEASON
from forecasting.transforms import Transform

Floats = npt.NDArray[np.float64]

PERFECT = 1e-16
"""An innovation variance of log y below this is rounding error: the regression fits the series exactly."""

Constant = Literal["none", "intercept", "drift"]


@dataclass(frozen=True)
class _Design:
    """The regressors of a sample that survive the rank check: `kept` Fourier columns, then holidays."""

    columns: Floats
    kept: list[int]
    fourier_dropped: list[str]
    holidays: list[str]
    holidays_dropped: list[str]

    @property
    def matrix(self) -> Floats | None:
        """The columns as statsforecast wants them: None when there are none."""
        return self.columns if self.columns.shape[1] else None


def fit(
    log_y: Floats,
    fridays: pd.DatetimeIndex,
    configuration: Configuration,
    *,
    season_length: float,
    max_harmonics: int,
) -> tuple[dict[str, Any], Floats]:
    """Members of the artifact, and innovations, of log y.

    With `harmonics="aicc"` the order of the ARIMA is searched with every harmonic in, K is chosen among
    0..max_harmonics by the AICc of the exact likelihood at that one order (AICc compare at one order of differencing
    only), and the order is searched again at the chosen K. Everything is fitted by statsforecast but the likelihoods
    that rank K: its optimiser goes astray at some K and not at others, and would decide the choice.

    Args:
        log_y: Log of consecutive weeks, shape (n,).
        fridays: Their Fridays.
        configuration: What to fit.
        season_length: Length of the yearly season, weeks.
        max_harmonics: Largest K that is tried.

    Returns:
        The members, and the innovations, shape (n,), log scale.

    Raises:
        ValueError: No model can be estimated; the message says why.
    """
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which can only be limited once it is loaded
    from threadpoolctl import threadpool_limits

    n = len(log_y)
    transform = Transform.fit(log_y, detrend=configuration.detrend, deseasonalise=configuration.deseasonalise)
    x = log_y - transform.level(np.arange(n))
    weeks = pd.date_range(fridays[0], periods=n + MAX_HORIZON, freq="W-FRI")
    flags = holiday_weeks(weeks) if configuration.holidays else pd.DataFrame(index=weeks)
    hyperparameters: dict[str, Any] = {}
    # Threads only get in each other's way at this size, and their number can change the last digits.
    with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
        # Candidates that do not converge warn, and lose by their AICc; the winner is checked by `_usable`.
        warnings.simplefilter("ignore")
        if configuration.harmonics == "aicc":
            largest = min(max_harmonics, int(season_length // 2))
            designs = [_design(K, flags, n, season_length) for K in range(largest + 1)]
            full = _search(x, designs[-1])
            aicc = _aicc_by_harmonics(x, designs, full)
            K = int(np.argmin(aicc))  # noqa: N806 - K is what the literature calls it
            hyperparameters["aicc_by_harmonics"] = [value if math.isfinite(value) else None for value in aicc]
            design = designs[K]
            fitted = full if largest == K else _search(x, design, like=full)
        else:
            K = configuration.harmonics  # noqa: N806
            design = _design(K, flags, n, season_length)
            fitted = _search(x, design)
    _usable(fitted)
    hyperparameters |= {"K": K, "order": list(_order(fitted)), "constant": _constant(fitted), "aicc": _aicc(fitted)}
    members = {
        "hyperparameters": hyperparameters,
        "transform": transform.to_dict(),
        **_regression(fitted, design, flags.iloc[n:], K, season_length),
        "arima": _arima(fitted),
        "n_parameters": len(fitted["coef"]) + 1 + transform.n_parameters,
    }
    return members, np.asarray(fitted["residuals"], dtype=np.float64)


def _design(K: int, flags: pd.DataFrame, n: int, season_length: float) -> _Design:  # noqa: N803
    sample = flags.iloc[:n]
    # A holiday seen once would be fitted to one week's error, and repeat that error every year.
    seen = [name for name in flags.columns if sample[name].sum() > 1]
    names = [*fourier_names(K), *seen]
    columns = np.column_stack(
        [fourier(np.arange(n), period=season_length, K=K), sample[seen].to_numpy(dtype=np.float64)]
    )
    dropped = set(collinear(columns, names))
    kept = [i for i, name in enumerate(names) if name not in dropped]
    return _Design(
        columns=np.ascontiguousarray(columns[:, kept]),
        kept=[i for i in kept if i < 2 * K],
        fourier_dropped=[name for name in names[: 2 * K] if name in dropped],
        holidays=[names[i] for i in kept if i >= 2 * K],
        holidays_dropped=[name for name in flags.columns if name in dropped or name not in seen],
    )


def _aicc_by_harmonics(x: Floats, designs: Sequence[_Design], full: dict[str, Any]) -> list[float]:
    """AICc of every design at the order and constant of the fit of the last, which has the most harmonics."""
    start = np.array(list(full["coef"].values())[: full["arma"][0] + full["arma"][1]], dtype=np.float64)
    constant = _constant(full) != "none"
    order = _order(full)
    return [likelihood.aicc(x, design.columns, order=order, constant=constant, start=start) for design in designs]


def _search(x: Floats, design: _Design, like: dict[str, Any] | None = None) -> dict[str, Any]:
    """The automatic ARIMA, unless a benchmark at the same differencing has the lower AICc.

    The stepwise search ranks candidates by an approximation and fits its favourite exactly, but keeps it even when
    that last optimisation goes astray, hundreds of units of AICc above ARIMA(1,d,1). So ARIMA(1,d,1), and the order of
    the fit `like` it if one is given, stand as benchmarks.
    """
    from statsforecast.arima import auto_arima_f

    found: dict[str, Any] = auto_arima_f(
        x, period=SEASON, seasonal=False, ic="aicc", approximation=True, xreg=design.matrix
    )
    d = _order(found)[1]
    benchmarks = [_exact(x, design, (1, d, 1), "intercept" if d == 0 else "none")]
    if like is not None and _order(like)[1] == d:
        benchmarks.append(_exact(x, design, _order(like), _constant(like)))
    return min([found, *(fitted for fitted in benchmarks if fitted)], key=_aicc)


def _exact(x: Floats, design: _Design, order: tuple[int, int, int], constant: Constant) -> dict[str, Any] | None:
    """The maximum-likelihood fit of an order, or None where the optimiser finds no admissible model."""
    from statsforecast.arima import Arima

    try:
        fitted: dict[str, Any] = Arima(
            x,
            order=order,
            xreg=design.matrix,
            include_mean=constant == "intercept",
            include_drift=constant == "drift",
            method="CSS-ML",
        )
    except (ValueError, ArithmeticError):
        return None
    return fitted


def _aicc(fitted: dict[str, Any] | None) -> float:
    value = math.inf if fitted is None else float(fitted.get("aicc", math.inf))
    return math.inf if math.isnan(value) else value


def _order(fitted: dict[str, Any]) -> tuple[int, int, int]:
    p, q, d = (int(fitted["arma"][i]) for i in (0, 1, 5))
    return p, d, q


def _constant(fitted: dict[str, Any]) -> Constant:
    if "intercept" in fitted["coef"]:
        return "intercept"
    return "drift" if "drift" in fitted["coef"] else "none"


def _usable(fitted: dict[str, Any]) -> None:
    if not math.isfinite(_aicc(fitted)):
        raise ValueError("no ARIMA has a finite likelihood")
    arrays = [fitted["model"][name] for name in ("a", "P", "phi", "theta")]
    if not all(np.all(np.isfinite(values)) for values in (*arrays, list(fitted["coef"].values()))):
        raise ValueError("the estimates are not finite")
    # The first `d` errors rest on the diffuse start and never vanish.
    variance = float(np.mean(fitted["residuals"][_order(fitted)[1] :] ** 2))
    if not variance > PERFECT or not fitted["sigma2"] > 0:
        raise ValueError(f"the regression leaves no error (variance {variance:.1e}) to learn from")


def _regression(
    fitted: dict[str, Any],
    design: _Design,
    future: pd.DataFrame,
    K: int,  # noqa: N803
    season_length: float,
) -> dict[str, Any]:
    slopes = [float(value) for name, value in fitted["coef"].items() if name.startswith("ex_")]
    pairs = [0.0] * (2 * K)
    for i, value in zip(design.kept, slopes, strict=False):
        pairs[i] = value
    return {
        "fourier": {
            "period": float(season_length),
            "coefficients": pairs,
            "phase": len(design.columns),
            "dropped": design.fourier_dropped,
        },
        "holidays": {
            "columns": design.holidays,
            "coefficients": slopes[len(design.kept) :],
            "weeks": future[design.holidays].to_numpy().tolist() if design.holidays else [],
            "dropped": design.holidays_dropped,
        },
    }


def _arima(fitted: dict[str, Any]) -> dict[str, Any]:
    model = fitted["model"]
    return {
        "order": list(_order(fitted)),
        "intercept": float(fitted["coef"].get("intercept", 0.0)),
        "drift": float(fitted["coef"].get("drift", 0.0)),
        "phi": model["phi"].tolist(),
        # statsforecast pads theta with zeros where p exceeds q + 1.
        "theta": model["theta"][: _order(fitted)[2]].tolist(),
        "sigma2": float(fitted["sigma2"]),
        "a": model["a"].tolist(),
        "P": model["P"].tolist(),
        "h": float(model["h"]),
    }
