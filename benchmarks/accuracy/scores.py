"""Scores of a backtest: by series and period, relative to the seasonal naive forecast, and paired against a reference.

Metrics are those of `forecasting.scoring`; here they are pooled over origins and horizons, then over series.
"""

import math

import numpy as np
import pandas as pd

from forecasting import scoring

LEVELS = (80.0, 90.0, 95.0)
"""Coverage and width are reported at these, per cent."""

QUANTILE_LEVELS = (20.0, 40.0, 60.0, 80.0)
"""Their bounds, with the median, are the quantiles .1, .2, ... .9."""

RATIOS = ("mase", "smape", "rmse", "mae", "wql")
"""Scores that are compared with the seasonal naive forecast's."""

_CELL = ["period", "variant", "unique_id"]


def wql(forecasts: pd.DataFrame) -> float:
    """Weighted quantile loss over the quantiles .1 to .9: twice the pinball loss over the sum of what came (no unit).

    Source: Gasthaus et al. (2019), Probabilistic forecasting with spline quantile function RNNs; the mean over the
    quantiles approximates the continuous ranked probability score.

    Args:
        forecasts: y, mean (the median), and `lo-<level>`, `hi-<level>` for `QUANTILE_LEVELS`.
    """
    y = forecasts["y"]
    losses = [scoring.pinball(y, forecasts["mean"], level=0.5)]
    for level in QUANTILE_LEVELS:
        tail = (1 - level / 100) / 2
        losses.append(scoring.pinball(y, forecasts[f"lo-{level:g}"], level=tail))
        losses.append(scoring.pinball(y, forecasts[f"hi-{level:g}"], level=1 - tail))
    return 2 * float(np.mean(losses)) / float(y.abs().mean())


def by_series(forecasts: pd.DataFrame) -> pd.DataFrame:
    """The scores of every variant on every series in every period, over all origins and horizons together.

    Args:
        forecasts: period, variant, unique_id, cutoff, horizon, y, mean, scale (in-sample MAE of the seasonal naive
            forecast, of the origin), and bounds; one row per scored week.

    Returns:
        Index period, variant, unique_id; columns weeks, origins, mae, rmse, smape, mase, wql, `coverage-<level>` (0 to
        1) and `width-<level>` (share of the mean of what came).
    """
    rows = {}
    for cell, rows_of_cell in forecasts.groupby(_CELL, sort=False):
        rows[cell] = _scores(rows_of_cell)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(_CELL).sort_index()


def _scores(rows: pd.DataFrame) -> dict[str, float]:
    y, mean = rows["y"].to_numpy(), rows["mean"].to_numpy()
    found: dict[str, float] = {
        "weeks": len(rows),
        "origins": rows["cutoff"].nunique(),
        "mae": scoring.mae(y, mean),
        "rmse": scoring.rmse(y, mean),
        "smape": scoring.smape(y, mean),
        "mase": scoring.mae(y / rows["scale"], mean / rows["scale"]),
        "wql": wql(rows),
    }
    for level in LEVELS:
        low, high = rows[f"lo-{level:g}"], rows[f"hi-{level:g}"]
        found[f"coverage-{level:g}"] = scoring.coverage(y, low, high)
        found[f"width-{level:g}"] = scoring.width(low, high) / float(y.mean())
    return found


def summary(scores: pd.DataFrame, *, naive: str) -> pd.DataFrame:
    """One row per period and variant: ratios to the seasonal naive forecast, coverage, width.

    Args:
        scores: what `by_series` gave.
        naive: name of the seasonal naive variant.

    Returns:
        Index period, variant; `mase` (mean over series) and for each of `RATIOS` `relative-<score>`, the geometric
        mean over series of the ratio; `coverage-<level>` pooled over series and origins; `width-<level>`, the geometric
        mean over series.
    """
    rows = {}
    for (period, variant), rows_of_cell in scores.groupby(["period", "variant"]):
        own = rows_of_cell.droplevel(["period", "variant"])
        base = scores.xs((period, naive), level=("period", "variant")).loc[own.index]
        row = {"mase": float(own["mase"].mean())}
        row |= {f"relative-{name}": geometric_mean(own[name] / base[name]) for name in RATIOS}
        row |= pooled_coverage(own)
        row |= {f"width-{level:g}": geometric_mean(own[f"width-{level:g}"]) for level in LEVELS}
        rows[period, variant] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["period", "variant"]).sort_index()


def pooled_coverage(scores: pd.DataFrame) -> dict[str, float]:
    """Coverage over all the weeks of several cells of `by_series`."""
    names = [f"coverage-{level:g}" for level in LEVELS]
    return {name: float(np.average(scores[name], weights=scores["weeks"])) for name in names}


def geometric_mean(ratios: pd.Series) -> float:
    """Geometric mean of positive numbers."""
    return math.exp(float(np.log(ratios).mean()))


def origin_errors(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error of each origin: index period, unique_id, cutoff; a column for each variant."""
    errors = (forecasts["mean"] - forecasts["y"]).abs()
    losses = errors.groupby([forecasts[name] for name in ("period", "unique_id", "cutoff", "variant")]).mean()
    return losses.unstack("variant")


def paired(forecasts: pd.DataFrame, *, reference: str, lags: int) -> pd.DataFrame:
    """Differences of the MAE to a reference, by origin, with overlap-robust standard errors (Bartlett weights).

    Errors are divided by the reference's MAE on the series in the period, so that series of different size can be
    averaged. The row `all` averages the series of an origin first: errors of one week go together across series, and
    counting them as independent would make the standard error too small.

    Args:
        forecasts: as `by_series`.
        reference: name of the variant that the others are compared with.
        lags: how many later origins overlap one, see `scoring.overlap_lags`.

    Returns:
        period, variant, unique_id (or `all`), origins, difference and standard_error (share of the reference's MAE,
        negative is better), t.
    """
    errors = origin_errors(forecasts)
    scaled = errors.div(errors[reference].groupby(level=["period", "unique_id"]).transform("mean"), axis="index")
    rows = []
    for period, of_period in scaled.groupby(level="period", sort=False):
        cells = {"all": of_period.groupby(level="cutoff").mean()}
        cells |= {str(name): rows.droplevel(["period", "unique_id"]) for name, rows in of_period.groupby("unique_id")}
        for unique_id, losses in cells.items():
            for variant in losses.columns.drop(reference):
                # A variant that failed on a series has no losses there.
                own = losses[[variant, reference]].dropna()
                if own.empty:
                    continue
                difference, error = scoring.paired_difference(own[variant], own[reference], lags=lags)
                rows.append(_paired_row(str(period), str(variant), unique_id, len(own), difference, error))
    return pd.DataFrame(rows)


def _paired_row(
    period: str, variant: str, unique_id: str, origins: int, difference: float, error: float
) -> dict[str, object]:
    t = difference / error if error > 0 else math.nan
    return {
        "period": period,
        "variant": variant,
        "unique_id": unique_id,
        "origins": origins,
        "difference": difference,
        "standard_error": error,
        "t": t,
    }
