"""Series that failed by name: each stage records its own, and the others go on without them."""

from collections.abc import Mapping
from datetime import date

import pandas as pd

from resources.lake import Lake

TABLE = "failures"
_COLUMNS = ["stage", "unique_id", "message"]


def record_failures(lake: Lake, week: date, stage: str, failures: Mapping[str, str]) -> None:
    """Put the failures of a stage in place of those it recorded before.

    Args:
        lake: Where they are kept.
        week: Of which week.
        stage: The asset.
        failures: What went wrong, by series.
    """
    before = recorded_failures(lake, week)
    now = pd.DataFrame(
        [{"stage": stage, "unique_id": name, "message": text} for name, text in failures.items()], columns=_COLUMNS
    )
    lake.write(TABLE, week, pd.concat([before[before["stage"] != stage], now], ignore_index=True).astype("str"))


def recorded_failures(lake: Lake, week: date) -> pd.DataFrame:
    """The failures of a week: `stage`, `unique_id`, `message`."""
    return lake.read(TABLE, week) if lake.has(TABLE, week) else pd.DataFrame(columns=_COLUMNS)
