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
REVISIONS: Columns = {
    **_SERIES,
    **_WEEK,
    "before": ("double", f"As it was known before, {_KBD}; empty where the week had no figure"),
    "after": ("double", f"As this release says, {_KBD}"),
    "known": ("timestamp", "The week whose observations said before; the week itself where it was fetched twice"),
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
    "seconds": ("double", "Seconds of computing, fits that it shares with other trials included"),
    "searched": ("timestamp", "The week whose run tried it: an earlier one where a search is not due"),
    "protocol": ("string", "Checksum of what was searched and how it was scored"),
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
    "configuration": ("string", "Label of the configuration"),
    "cutoff": ("timestamp", "Last week the forecast knows"),
    "observed": ("bool", "The week counts: it does not lie within a break"),
}
TUNING_ERRORS: Columns = {
    **_SERIES,
    "configuration": ("string", "Label of the configuration"),
    "cutoff": ("timestamp", "Last week the forecast knows: the origin"),
    "horizon": ("int", "Weeks after the cutoff"),
    **_WEEK,
    "y": ("double", f"What the forecast is compared with, {_KBD}"),
    "mean": ("double", f"Forecast, {_KBD}"),
    "se": ("double", "Standard error of the forecast on the log scale"),
    "observed": ("bool", "y was observed: the week does not lie within a break"),
}
CHAMPIONS: Columns = {
    **_SERIES,
    **{
        name: TUNING_TRIALS[name]
        for name in ("model", "harmonics", "holidays", "detrend", "deseasonalise", "counterfactual")
    },
}
FAILURES: Columns = {
    "stage": ("string", "The asset at which the series failed"),
    **_SERIES,
    "message": ("string", "The error, by name and in words"),
}
RESIDUALS: Columns = {**_SERIES, **_WEEK, "residual": ("double", "One-step residual on the log scale")}
DIAGNOSTICS: Columns = {
    **_SERIES,
    "test": ("string", "Shapiro-Wilk or Ljung-Box"),
    "lag": ("int", "Lag of the Ljung-Box test"),
    "statistic": ("double", "Test statistic"),
    "p_value": ("double", "Small: normality, or independence, is rejected"),
}

FORECAST_CHANGES: Columns = {
    **_SERIES,
    **_WEEK,
    "horizon": ("int", "Weeks after the cutoff of this week's forecast"),
    "before": ("double", f"What last week forecast, {_KBD}"),
    "after": ("double", f"What this week forecasts, {_KBD}"),
    "change": ("double", f"after - before, {_KBD}: the sum of the four parts"),
    "new_code": ("double", f"Because the code fits or forecasts otherwise, {_KBD}"),
    "revised_data": ("double", f"Because weeks known before have other values, or the break another span, {_KBD}"),
    "new_data": ("double", f"Because a week has arrived, {_KBD}"),
    "hyper_parameters": ("double", f"Because another configuration was chosen, {_KBD}"),
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
    return {
        **_SERIES,
        **_WEEK,
        "cutoff": ("timestamp", "Last week the forecast knows"),
        "horizon": ("int", "Weeks after the cutoff"),
        "mean": ("double", f"Forecast, {_KBD}: the median of its distribution"),
        **_bounds(levels),
        "interval": ("string", "conformal, or normal where a model was not calibrated"),
        "model": ("string", "Configuration that made it"),
        "role": ("string", "candidate, or what stands in for a series that the gate held back"),
        "source": ("string", "live, api, file or sample (simulated)"),
    }


def accuracy_columns(levels: Sequence[float]) -> Columns:
    """The columns of the scores of earlier forecasts, with a pair for each level in per cent."""
    intervals = {
        f"{measure}-{level:g}": ("double", text.format(f"{level:g} % interval"))
        for level in levels
        for measure, text in (
            ("inside", "1 where y lies in the {}, else 0; empty where the forecast was made without it"),
            ("width", f"Width of the {{}}, {_KBD}"),
        )
    }
    return {
        **_SERIES,
        "ds": ("timestamp", "The week that was forecast and has arrived"),
        "cutoff": ("timestamp", "Last week the forecast knew"),
        "horizon": ("int", "Weeks after the cutoff"),
        "y": ("double", f"Observed, as the week's own release has it, {_KBD}"),
        "mean": ("double", f"Forecast, {_KBD}"),
        "error": ("double", f"mean - y, {_KBD}: positive where the forecast was too high"),
        "absolute_error": ("double", f"Its size, {_KBD}"),
        "scaled_error": ("double", "Its size over the seasonal naive's in-sample error, no unit; the mean is MASE"),
        "pinball": ("double", f"Mean quantile loss over the median and the bounds of all levels, {_KBD}"),
        **intervals,
        "naive": ("double", f"Seasonal naive forecast at the same cutoff: the same week of last year, {_KBD}"),
        "naive_error": ("double", f"naive - y, {_KBD}"),
        "interval": ("string", "conformal, or normal where a model was not calibrated"),
        "model": ("string", "Configuration that made the forecast"),
        "role": ("string", "candidate, or what stood in for a series that the gate held back"),
        "source": ("string", "live, api, file or sample (simulated)"),
    }


def held_out_columns(levels: Sequence[float]) -> Columns:
    """The columns of the held-out weeks, with a pair for each level in per cent."""
    return {**HELD_OUT, **_bounds(levels)}


def lake_tables(levels: Sequence[float]) -> Mapping[str, Columns]:
    """The columns of every table that a week of the lake may have, in the order in which they are made."""
    return {
        "release": RELEASE,
        "revisions": REVISIONS,
        "observations": OBSERVATIONS,
        "outlier_flags": OUTLIER_FLAGS,
        "structural_break": STRUCTURAL_BREAK,
        "counterfactual": COUNTERFACTUAL,
        "tuning_trials": TUNING_TRIALS,
        "tuning_errors": TUNING_ERRORS,
        "champions": CHAMPIONS,
        "model_scores": model_score_columns(levels),
        "held_out": held_out_columns(levels),
        "residuals": RESIDUALS,
        "diagnostics": DIAGNOSTICS,
        "model_diagnostics": DIAGNOSTICS,
        "failures": FAILURES,
        "forecast": forecast_columns(levels),
        "forecast_accuracy": accuracy_columns(levels),
        "forecast_changes": FORECAST_CHANGES,
    }


def schema(columns: Columns) -> dg.TableSchema:
    """The columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[dg.TableColumn(name, type=kind, description=text) for name, (kind, text) in columns.items()]
    )


def _bounds(levels: Sequence[float]) -> Columns:
    return {
        f"{side}-{level:g}": ("double", f"{word} bound of the {level:g} % interval, {_KBD}")
        for level in levels
        for side, word in (("lo", "Lower"), ("hi", "Upper"))
    }
