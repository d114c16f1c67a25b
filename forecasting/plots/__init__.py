"""Figures of every stage as PNG bytes: 900 x 450 pixels, one style, one series each, no global state."""

from forecasting.plots.forecasts import fan_chart
from forecasting.plots.history import counterfactual, series_with_outliers
from forecasting.plots.model import coverage_bars, held_out, residual_panels
from forecasting.plots.tuning import leaderboard

__all__ = [
    "counterfactual",
    "coverage_bars",
    "fan_chart",
    "held_out",
    "leaderboard",
    "residual_panels",
    "series_with_outliers",
]
