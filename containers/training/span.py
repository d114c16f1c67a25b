"""The training span as a training job receives it."""

import pandas as pd

from containers.contract import Paths
from containers.tables import TableError, read_table
from containers.training.settings import Settings

COLUMNS = ("unique_id", "ds", "y", "counterfactual", "replaced")


def read_span(paths: Paths, settings: Settings) -> pd.DataFrame:
    """The channel `counterfactual`: every series, or the job's only one, up to and including the week of the job.

    Returns:
        Columns `COLUMNS`, ordered by series and week.

    Raises:
        MissingChannelError: There is no such channel.
        TableError: It holds no series, or one that does not end with the week: its held-out weeks would be
        others.
    """
    span = read_table(paths.channel("counterfactual"), COLUMNS).sort_values(["unique_id", "ds"], ignore_index=True)
    if span.empty:
        raise TableError("the channel counterfactual holds no series")
    if settings.series is not None:
        span = span[span["unique_id"] == settings.series].reset_index(drop=True)
        if span.empty:
            raise TableError(f"the channel counterfactual does not hold the series {settings.series}")
    last = span.groupby("unique_id")["ds"].max()
    other = last[last != pd.Timestamp(settings.week)]
    if len(other):
        raise TableError(
            f"series {other.index[0]} ends on {other.iloc[0]:%Y-%m-%d} in the channel counterfactual, "
            f"the job is for the week {settings.week}"
        )
    return span


def before_held_out(span: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The weeks that tuning may see: all but the held-out ones at the end."""
    return span[span["ds"] <= pd.Timestamp(settings.cutoff)].reset_index(drop=True)
