"""The training span: the weeks a model of a week may learn from, and which series have them all."""

from datetime import date, timedelta

import pandas as pd

from forecasting.errors import SeriesTooShortError


def span_start(week: date, *, weeks: int) -> date:
    """The first week of a span of some weeks that ends with a week."""
    return week - timedelta(weeks=weeks - 1)


def split_by_length(
    history: pd.DataFrame, *, start: date, week: date
) -> tuple[pd.DataFrame, dict[str, SeriesTooShortError]]:
    """The series that reach back to the start of the span, and an error for each of the others.

    Args:
        history: `unique_id`, `ds`, any further columns.
        start: First week of the span, a Friday.
        week: Last week of the span.

    Returns:
        The rows of the series that are long enough, and the errors by series.
    """
    first = history.groupby("unique_id", sort=True)["ds"].min()
    needed = (week - start).days // 7 + 1
    errors = {
        str(series): SeriesTooShortError(
            str(series), (week - began.date()).days // 7 + 1, needed, f"the training span of {week}"
        )
        for series, began in first.items()
        if began > pd.Timestamp(start)
    }
    return history[~history["unique_id"].isin(list(errors))], errors
