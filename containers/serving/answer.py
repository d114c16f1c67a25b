"""Forecasts as the endpoint sends them: records or CSV, in the reference system's short form or the full one.

The short form has the columns `date`, `lower_pi_<conf>`, `predictions`, `upper_pi_<conf>`; the full one
`unique_id`, `ds`, `cutoff`, `horizon`, `interval`, `mean` and `lo-<level>`, `hi-<level>` for every level.
Both are lists of records in JSON and a header line with one line each in CSV. Intervals are conformal where the
series is calibrated and normal where it is not, unless the request says which; the full form names them. The
first row is the week after the last observed one. Floats are written so that they read back to the last bit.
"""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from containers.serving.request import ForecastRequest, RequestError
from forecasting import forecaster

Record = dict[str, str | int | float]


def records(series: Mapping[str, forecaster.SeriesForecaster], request: ForecastRequest) -> list[Record]:
    """The forecast rows that the request asks for, series by series, weeks in order.

    Raises:
        RequestError: Conformal intervals are asked for where a series has none.
    """
    return [row for name in request.series for row in _series_records(name, series[name], request)]


def _series_records(name: str, series: forecaster.SeriesForecaster, request: ForecastRequest) -> list[Record]:
    best = forecaster.best_interval(series.entry)
    if request.interval == "conformal" and best != "conformal":
        raise RequestError(f"series {name} has no conformal scores; ask for interval normal", field="interval")
    interval = request.interval or best
    rows = series.forecast(horizon=request.periods, levels=request.levels, interval=interval)
    if request.conf is not None:
        return _short(rows, forecaster.label(request.levels[0]), request.conf)
    cutoff = series.entry["cutoff"]
    return [
        {"unique_id": name, "ds": row["ds"], "cutoff": cutoff, "horizon": row["horizon"], "interval": interval, **row}
        for row in rows
    ]


def _short(rows: list[dict[str, Any]], level: str, conf: float) -> list[Record]:
    low, high, lower, upper = f"lo-{level}", f"hi-{level}", f"lower_pi_{conf}", f"upper_pi_{conf}"
    return [{"date": row["ds"], lower: row[low], "predictions": row["mean"], upper: row[high]} for row in rows]


def as_json(content: object) -> bytes:
    """Compact JSON; a number that JSON cannot hold is an error, never `NaN` in the answer."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def as_csv(rows: list[Record]) -> bytes:
    """A header line and one line per record."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
