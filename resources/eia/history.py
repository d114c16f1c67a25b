"""What a release says about weeks that were known: a revision is a fact, another scale or a lost week is an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from resources.eia.errors import HistoryShortenedError, ScaleChangedError
from resources.lake import Lake

TABLE = "observations"

# Weekly figures are hardly ever revised, and then single weeks; a median over all of them moves when the unit or the
# definition does. Units that EIA uses side by side differ by 7, 42 or 1000.
MAX_FACTOR = 1.5


@dataclass(frozen=True)
class Known:
    """A series as an earlier run knew it.

    Attributes:
        week: The week of that run.
        y: The figures, thousand barrels per day, by week.
    """

    week: date
    y: pd.Series


def newest_known(lake: Lake, unique_id: str, *, before: date | None = None) -> Known | None:
    """The newest observations of a series that the lake holds.

    Args:
        lake: The lake.
        unique_id: The series.
        before: Only those of weeks before this one.
    """
    for week in reversed(lake.weeks(TABLE)):
        if before is None or week < before:
            known = known_in(lake, unique_id, week=week)
            if known is not None:
                return known
    return None


def known_in(lake: Lake, unique_id: str, *, week: date) -> Known | None:
    """The observations of a series that the lake holds for a week."""
    table = lake.read(TABLE, week)
    rows = table[table["unique_id"] == unique_id]
    return None if rows.empty else Known(week, _by_week(rows))


def refuse_other_scale(frame: pd.DataFrame, known: Known, *, unique_id: str, where: str) -> None:
    """Refuse a series that is a multiple of what it was.

    Args:
        frame: `ds`, `y` as parsed.
        known: The series as it was known.
        unique_id: The series.
        where: The address of the release.

    Raises:
        ScaleChangedError: The median of new over old figures is beyond `MAX_FACTOR`, up or down.
    """
    ratios = (_by_week(frame) / known.y).dropna()
    factor = float(ratios.median()) if len(ratios) else 1.0
    if factor > 0 and not 1 / MAX_FACTOR <= factor <= MAX_FACTOR:
        raise ScaleChangedError(unique_id, factor=factor, weeks=len(ratios), known=known.week, where=where)


def refuse_lost_weeks(frame: pd.DataFrame, known: Known, *, unique_id: str, where: str) -> None:
    """Refuse a series that lacks weeks which were known, up to its own last; arguments as `refuse_other_scale`.

    Raises:
        HistoryShortenedError: Weeks are gone.
    """
    lost = known.y.index[known.y.index <= frame["ds"].max()].difference(pd.DatetimeIndex(frame["ds"]))
    if len(lost):
        raise HistoryShortenedError(unique_id, [day.date() for day in lost], known=known.week, where=where)


def revisions(lake: Lake, week: date, observations: pd.DataFrame) -> pd.DataFrame:
    """Which known values a week's observations change.

    Compared with the newest observations of a week before; and with those of the week itself, where it was fetched
    before and said otherwise. What was recorded of the week in that way before stays.

    Args:
        lake: The lake, with what it held before these observations.
        week: The week.
        observations: `unique_id`, `ds`, `y` of the week.

    Returns:
        `unique_id`, `ds`, `before`, `after` (thousand barrels per day; `before` is NaN where a week had no figure), and
        `known`, the week of the observations that said `before`. No row for a series that was not known.
    """
    names = [str(name) for name in observations["unique_id"].unique()]
    parts = [_recorded(lake, week, names)]
    for name, rows in observations.groupby("unique_id", sort=False):
        known = [newest_known(lake, str(name), before=week)]
        if lake.has(TABLE, week):
            known.append(known_in(lake, str(name), week=week))
        parts += [_changed(one, rows, str(name)) for one in known if one is not None]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table.drop_duplicates(ignore_index=True).sort_values(["unique_id", "ds", "known"], ignore_index=True)


def relative_size(revised: pd.DataFrame) -> pd.Series:
    """The size of each revision relative to the value before; NaN where there was none."""
    return ((revised["after"] - revised["before"]) / revised["before"]).abs()


def _changed(known: Known, rows: pd.DataFrame, unique_id: str) -> pd.DataFrame:
    after = _by_week(rows)
    after = after[after.index <= pd.Timestamp(known.week)]
    before = known.y.reindex(after.index)
    changed = pd.DatetimeIndex(after.index[before.ne(after)])
    return _table([unique_id] * len(changed), changed, before[changed], after[changed], known.week)


def _recorded(lake: Lake, week: date, names: Sequence[str]) -> pd.DataFrame:
    """The revisions within the week that an earlier run of it recorded."""
    if not lake.has("revisions", week):
        return _table([], pd.DatetimeIndex([]), [], [], week)
    table = lake.read("revisions", week)
    return table[(table["known"] == pd.Timestamp(week)) & table["unique_id"].isin(names)]


def _table(
    names: Sequence[str],
    weeks: pd.DatetimeIndex,
    before: "pd.Series | Sequence[float]",
    after: "pd.Series | Sequence[float]",
    known: date,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unique_id": pd.Series(names, dtype="str"),
            "ds": pd.Series(weeks).astype("datetime64[us]"),
            "before": pd.Series(list(before), dtype="float64"),
            "after": pd.Series(list(after), dtype="float64"),
            "known": pd.Series([pd.Timestamp(known)] * len(names)).astype("datetime64[us]"),
        }
    )


def _by_week(rows: pd.DataFrame) -> pd.Series:
    return rows.set_index("ds")["y"]
