"""Figures of every stage as PNG bytes: 900 x 450 pixels, one style, one series each, no global state."""

from forecasting.plots.forecasts import change_bars, coverage_by_horizon, error_by_horizon, fan_chart
from forecasting.plots.history import correlograms, counterfactual, series_with_outliers, stl_panels, yearly_moments
from forecasting.plots.model import coverage_bars, held_out, residual_panels
from forecasting.plots.tuning import leaderboard, splits

__all__ = [
    "change_bars",
    "correlograms",
    "counterfactual",
    "coverage_bars",
    "coverage_by_horizon",
    "error_by_horizon",
    "fan_chart",
    "held_out",
    "leaderboard",
    "residual_panels",
    "series_with_outliers",
    "splits",
    "stl_panels",
    "yearly_moments",
]
