"""What observations must be, and the one place that says so.

One series, known as of one week: Fridays, one row a week, positive plausible figures, up to that week and not beyond.
Weeks the source leaves out inside the history are allowed and reported (all products lack 1991-05-03 at EIA itself),
but not where a model needs every week.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from resources.eia.calendar import due
from resources.eia.errors import Finding, MissingWeeksError, ObservationsInvalidError, WeekNotReleasedError

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

_REMEDIES = {
    "a Friday": "EIA's weeks end on Fridays; look at the source",
    "once a week": "the source gives this week more than once; mend it",
    "in order": "sort the source by date",
    "a finite number": "the source holds no number here; mend it",
    "positive": "product supplied is above zero; look at the source",
}


@dataclass(frozen=True)
class ObservationsReport:
    """What a validated series is.

    Attributes:
        unique_id: The series.
        first: Its first week.
        last: Its last week, the week asked for.
        rows: How many weeks it has.
        gaps: Fridays between first and last without a figure.
    """

    unique_id: str
    first: date
    last: date
    rows: int
    gaps: tuple[date, ...]


def validate(
    frame: pd.DataFrame,
    *,
    unique_id: str,
    week: date,
    plausible: tuple[float, float] | None = None,
    complete_from: date | None = None,
) -> tuple[pd.DataFrame, ObservationsReport]:
    """The observations of a series as known when a week was released.

    Args:
        frame: `ds` (datetime64) and `y` (float64, thousand barrels per day), as parsed; may go beyond the week.
        unique_id: The series.
        week: The Friday after which nothing may be seen.
        plausible: Lowest and highest figure to believe, thousand barrels per day.
        complete_from: The day from which on no week may be missing; a series that begins later is only young.

    Returns:
        `unique_id`, `ds`, `y`, one row a week with `ds <= week`, and the report on it.

    Raises:
        WeekNotReleasedError: The last row is not `week`.
        ObservationsInvalidError: Any of the rules is broken; every violation is listed.
        MissingWeeksError: Weeks are missing from `complete_from` on.
    """
    import pandera.pandas as pa

    known = frame.loc[frame["ds"] <= pd.Timestamp(week), ["ds", "y"]].reset_index(drop=True)
    if known.empty or known["ds"].max() != pd.Timestamp(week):
        newest = frame["ds"].max().date() if len(frame) else None
        raise WeekNotReleasedError(unique_id, week, newest=newest, due=due(week))
    try:
        checked = schema(plausible).validate(known, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise ObservationsInvalidError(unique_id, _findings(error.failure_cases, known)) from error
    checked.insert(0, "unique_id", pd.Series([unique_id] * len(checked), dtype="str"))
    report = _report(checked, unique_id)
    missing = [gap for gap in report.gaps if complete_from is not None and gap >= complete_from]
    if complete_from is not None and missing:
        raise MissingWeeksError(unique_id, missing, needed_from=complete_from)
    return checked, report


def schema(plausible: tuple[float, float] | None = None) -> "DataFrameSchema":
    """The pandera schema of one series' `ds` and `y`.

    Args:
        plausible: Lowest and highest figure to believe, thousand barrels per day.
    """
    import numpy as np
    import pandera.pandas as pa

    figures = [
        pa.Check(np.isfinite, error="a finite number", ignore_na=False),
        pa.Check(lambda y: ~(y <= 0), error="positive"),
    ]
    if plausible is not None:
        low, high = plausible
        figures.append(pa.Check(lambda y: ~((y < low) | (y > high)), error=f"plausible, {low:g} to {high:g}"))
    weeks = [
        pa.Check(lambda ds: ds.dt.dayofweek == 4, error="a Friday"),
        pa.Check(lambda ds: ~ds.duplicated(), error="once a week"),
        pa.Check(lambda ds: ~(ds.diff() < pd.Timedelta(0)), error="in order"),
    ]
    return pa.DataFrameSchema(
        {
            "ds": pa.Column("datetime64[us]", weeks),
            # NaN is left to the check, which names the week.
            "y": pa.Column("float64", figures, nullable=True),
        },
        strict=True,
    )


def _findings(cases: pd.DataFrame, frame: pd.DataFrame) -> list[Finding]:
    found = [_finding(case, frame) for case in cases.to_dict("records")]
    return sorted(found, key=lambda finding: -1 if finding.row is None else finding.row)


def _finding(case: dict[Hashable, Any], frame: pd.DataFrame) -> Finding:
    rule = str(case["check"])
    if pd.isna(case["index"]):
        return Finding(None, None, f"column {case['column']}: {rule} ({case['failure_case']})", "mend the source")
    row = int(case["index"])
    week, value = frame["ds"].iloc[row], frame["y"].iloc[row]
    said = f"{week:%A}" if case["column"] == "ds" else f"{value:g}"
    remedy = _REMEDIES.get(rule, "look at the source; if the figure is right, widen plausible_kbd of the series")
    return Finding(week.date(), row + 1, f"must be {rule}, is {said}" if said else rule, remedy)


def _report(frame: pd.DataFrame, unique_id: str) -> ObservationsReport:
    weeks = pd.DatetimeIndex(frame["ds"])
    missing = pd.date_range(weeks[0], weeks[-1], freq="7D").difference(weeks)
    return ObservationsReport(
        unique_id=unique_id,
        first=weeks[0].date(),
        last=weeks[-1].date(),
        rows=len(frame),
        gaps=tuple(day.date() for day in missing),
    )
