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


def records(artifact: Mapping[str, Any], request: ForecastRequest) -> list[Record]:
    """The forecast rows that the request asks for, series by series, weeks in order.

    Raises:
        RequestError: Conformal intervals are asked for where a series has none.
    """
    return [row for name in request.series for row in _series_records(name, artifact["series"][name], request)]


def _series_records(name: str, entry: dict[str, Any], request: ForecastRequest) -> list[Record]:
    best = forecaster.best_interval(entry)
    if request.interval == "conformal" and best != "conformal":
        raise RequestError(f"series {name} has no conformal scores; ask for interval normal", field="interval")
    interval = request.interval or best
    rows = forecaster.forecast(entry, horizon=request.periods, levels=request.levels, interval=interval)
    if request.conf is not None:
        return [_short(row, request.conf) for row in rows]
    return [
        {"unique_id": name, "ds": row["ds"], "cutoff": entry["cutoff"], "horizon": row["horizon"], "interval": interval}
        | {column: value for column, value in row.items() if column not in {"ds", "horizon"}}
        for row in rows
    ]


def _short(row: Mapping[str, Any], conf: float) -> Record:
    low, high = (next(row[column] for column in row if column.startswith(side)) for side in ("lo-", "hi-"))
    return {"date": row["ds"], f"lower_pi_{conf}": low, "predictions": row["mean"], f"upper_pi_{conf}": high}


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
