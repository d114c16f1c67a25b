"""A lake whose tables hold something of every kind, made up but typed as the platform types them."""

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from forecast_assets.tables import Columns, lake_tables
from resources.lake import Lake

WEEKS = (date(2023, 10, 27), date(2023, 11, 3), date(2023, 11, 10))
SERIES = ("WDIUPUS2", "WGFUPUS2")


def fill(lake: Lake, *, levels: Sequence[float] = (80, 95), weeks: Sequence[date] = WEEKS) -> None:
    """Write every table of some weeks."""
    for week in weeks:
        for name, columns in lake_tables(levels).items():
            lake.write(name, week, frame(name, columns, week))


def frame(name: str, columns: Columns, week: date, *, rows: int = 8) -> pd.DataFrame:
    """Rows of both series, the same for the same table and week."""
    random = np.random.default_rng([week.toordinal(), sum(name.encode())])
    made = {column: _values(column, kind, week, rows, random) for column, (kind, _) in columns.items()}
    return pd.DataFrame(made)


def _values(column: str, kind: str, week: date, rows: int, random: np.random.Generator) -> object:
    ahead = np.arange(rows) // len(SERIES)
    numbers = random.normal(8800, 300, rows)
    numbers[-1] = numbers[-1] if column in {"mean", "y"} else np.nan  # what is not known
    of_their_own = {
        "unique_id": [SERIES[row % len(SERIES)] for row in range(rows)],
        "ds": pd.to_datetime([week + timedelta(weeks=int(weeks)) for weeks in ahead]),
        "fetched_at": pd.date_range(f"{week} 23:30", periods=rows, freq="min", tz="UTC"),
        "horizon": ahead + 1,
    }
    of_a_kind = {
        "timestamp": pd.to_datetime([week] * rows),
        "int": pd.array(random.integers(0, 1000, rows), dtype="Int64"),
        "bool": random.random(rows) < 0.5,
        "double": numbers,
        "string": [f"{column} {'é' if row else chr(39)} {row % 3}" for row in range(rows)],
    }
    return of_their_own.get(column, of_a_kind[kind])
