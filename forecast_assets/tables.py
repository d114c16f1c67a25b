"""The lake's tables: their columns, types, units and meaning, in one place."""

from collections.abc import Mapping, Sequence

import dagster as dg

Columns = Mapping[str, tuple[str, str]]

_KBD = "thousand barrels per day"
_SERIES: Columns = {"unique_id": ("string", "EIA series")}
_WEEK: Columns = {"ds": ("timestamp", "Week, named by its Friday")}

RELEASE: Columns = {
    **_SERIES,
    "source": ("string", "live, api, file or sample (simulated)"),
    "format": ("string", "xls, csv or json"),
    "url": ("string", "Where it came from"),
    "sha256": ("string", "Checksum of the bytes as published, kept under blobs/"),
    "bytes": ("int", "Their number"),
    "fetched_at": ("timestamp", "When they were fetched, UTC"),
    "etag": ("string", "HTTP validator, empty if there was none"),
    "last_modified": ("string", "HTTP validator, empty if there was none"),
    "newest": ("timestamp", "Last week in these bytes"),
    "reconstructed": ("bool", "The bytes are of a later week and are cut off at this one"),
}
OBSERVATIONS: Columns = {
    **_SERIES,
    **_WEEK,
    "y": ("double", f"Product supplied, {_KBD}"),
    "source": ("string", "live, api, file or sample (simulated)"),
}
OUTLIER_FLAGS: Columns = {
    **_SERIES,
    **_WEEK,
    "y": ("double", f"Observed, {_KBD}"),
    "trend": ("double", f"Trend of the robust STL, {_KBD}"),
    "seasonal": ("double", f"Seasonal component, {_KBD}"),
    "remainder": ("double", f"What is left, {_KBD}"),
    "lower": ("double", f"Lower fence of the remainder, {_KBD}"),
    "upper": ("double", f"Upper fence of the remainder, {_KBD}"),
    "outlier": ("bool", "The remainder lies outside the fences"),
}
STRUCTURAL_BREAK: Columns = {
    **_SERIES,
    "name": ("string", "Which of the configured breaks"),
    "start": ("timestamp", "First week"),
    "end": ("timestamp", "Last week"),
    "weeks": ("int", "Its length"),
    "outliers": ("int", "Outliers within"),
    "share": ("double", "Share of its weeks that are outliers"),
    "fitted_from": ("timestamp", "The counterfactual learns from this day to the start"),
}
COUNTERFACTUAL: Columns = {
    **_SERIES,
    **_WEEK,
    "y": ("double", f"Observed, {_KBD}"),
    "counterfactual": ("double", f"Had the break not happened, {_KBD}; the observed value outside the break"),
    "replaced": ("bool", "The week lies within the break"),
}
TUNING_TRIALS: Columns = {
    **_SERIES,
    "configuration": ("string", "Label of the configuration"),
    "model": ("string", "Kind of model"),
    "harmonics": ("string", "Fourier pairs K, or aicc: chosen by AICc in each window"),
    "holidays": ("bool", "U.S. holiday weeks are regressors"),
    "detrend": ("bool", "A linear trend is taken out first"),
    "deseasonalise": ("bool", "A season of 52 means is taken out first"),
    "counterfactual": ("bool", "Fitted to the counterfactual, not to the observed weeks"),
    "status": ("string", "ok, or the name of the error that ended the trial"),
    "reason": ("string", "The error's message"),
    "n_origins": ("int", "Origins with a score"),
    "n_points": ("int", "Forecasts scored"),
    "loss": ("double", "Mean squared error, (thousand barrels per day)^2"),
    "se": ("double", "Overlap-robust standard error of the loss"),
    "delta": ("double", "Paired difference of the loss to the default configuration's"),
    "delta_se": ("double", "Overlap-robust standard error of that difference"),
    "n_parameters": ("double", "Estimated parameters, mean over origins"),
    "rank": ("int", "By loss"),
    "chosen": ("bool", "The configuration that the model uses"),
    "seconds": ("double", "Processor time of the trial"),
}
MODEL_SCORES: Columns = {
    **_SERIES,
    "role": ("string", "candidate, champion or seasonal_naive"),
    "configuration": ("string", "Label of the configuration"),
    "interval": ("string", "conformal or normal"),
    "weeks": ("int", "Held-out weeks that were observed"),
    "mae": ("double", f"Mean absolute error over the held-out weeks, {_KBD}"),
    "mase": ("double", "Mean absolute scaled error: relative to the in-sample seasonal naive"),
    "rmse": ("double", f"Root mean squared error, {_KBD}"),
    "bias": ("double", f"Mean of forecast minus observed, {_KBD}"),
}
HELD_OUT: Columns = {
    **_SERIES,
    "role": ("string", "candidate, champion or seasonal_naive"),
    **_WEEK,
    "horizon": ("int", "Weeks after the cutoff"),
    "y": ("double", f"Observed, {_KBD}"),
    "mean": ("double", f"Forecast, {_KBD}"),
}
RESIDUALS: Columns = {**_SERIES, **_WEEK, "residual": ("double", "One-step residual on the log scale")}
DIAGNOSTICS: Columns = {
    **_SERIES,
    "test": ("string", "Shapiro-Wilk or Ljung-Box"),
    "lag": ("int", "Lag of the Ljung-Box test"),
    "statistic": ("double", "Test statistic"),
    "p_value": ("double", "Small: normality, or independence, is rejected"),
}


def model_score_columns(levels: Sequence[float]) -> Columns:
    """The columns of the scores, with coverage and width of the interval of each level in per cent."""
    coverages = {
        f"coverage-{level:g}": ("double", f"Share of the weeks inside the {level:g} % interval") for level in levels
    }
    widths = {f"width-{level:g}": ("double", f"Mean width of the {level:g} % interval, {_KBD}") for level in levels}
    return {**MODEL_SCORES, **coverages, **widths}


def forecast_columns(levels: Sequence[float]) -> Columns:
    """The columns of the forecast table, with a pair for each level in per cent."""
    bounds = {
        f"{side}-{level:g}": ("double", f"{word} bound of the {level:g} % interval, {_KBD}")
        for level in levels
        for side, word in (("lo", "Lower"), ("hi", "Upper"))
    }
    return {
        **_SERIES,
        **_WEEK,
        "cutoff": ("timestamp", "Last week the forecast knows"),
        "horizon": ("int", "Weeks after the cutoff"),
        "mean": ("double", f"Forecast, {_KBD}: the median of its distribution"),
        **bounds,
        "interval": ("string", "conformal, or normal where a model was not calibrated"),
        "model": ("string", "Configuration that made it"),
        "role": ("string", "candidate, or what stands in for a series that the gate held back"),
        "source": ("string", "live, api, file or sample (simulated)"),
    }


def schema(columns: Columns) -> dg.TableSchema:
    """The columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type=kind, description=text) for name, (kind, text) in columns.items()]
    )
