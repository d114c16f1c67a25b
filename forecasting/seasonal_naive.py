"""Seasonal naive: a week is forecast by the same week of last year. What any other model must beat."""

from typing import Any

import numpy as np
import numpy.typing as npt

from forecasting.errors import PerfectFitError
from forecasting.schema import SEASON

Floats = npt.NDArray[np.float64]


def fit(log_y: Floats, *, unique_id: str) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    """Members of the artifact, and residuals, of log y.

    The standard error at horizon h is sigma sqrt(floor((h - 1) / 52) + 1), sigma the root mean square of the
    differences over 52 weeks (Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed., section 5.5).

    Args:
        log_y: Log of consecutive weeks, shape (n,), n >= 104.
        unique_id: The series, for the error.

    Returns:
        The members, and the residuals, shape (n - 52,).

    Raises:
        PerfectFitError: Every week equals that of the year before.
    """
    residuals = log_y[SEASON:] - log_y[:-SEASON]
    sigma = float(np.sqrt(np.mean(residuals**2)))
    if not sigma > 0:
        raise PerfectFitError(unique_id, "seasonal_naive", PerfectFitError.REASON)
    members = {
        "hyperparameters": {"season": SEASON},
        "seasonal_naive": {"values": [float(value) for value in log_y[-SEASON:]], "sigma": sigma},
        "n_parameters": 1,
    }
    return members, residuals
