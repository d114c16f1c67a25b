"""When a week is released.

EIA's release schedule (https://www.eia.gov/petroleum/supply/weekly/schedule.php): the Weekly Petroleum Status Report of
a week ending Friday appears on the following Wednesday at 10:30 a.m. Eastern Time; where a federal holiday falls on the
Monday, Tuesday or Wednesday, on Thursday. EIA may deviate: holiday releases have come later in the day, Christmas weeks
on the Friday, and outages took a week (June 2022). So `due` is the earliest time to look, never a promise: whoever
polls goes on after it, and what a source has is only known by asking it.
"""

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

EASTERN = ZoneInfo("America/New_York")
RELEASE_TIME = time(10, 30)
WEEK = timedelta(days=7)
_FRIDAY = 4


def due(week: date) -> datetime:
    """The earliest time at which the figures of a week are released.

    Args:
        week: The Friday on which the week ends.

    Returns:
        An aware time in America/New_York, on the Wednesday or Thursday after the Friday.

    Raises:
        ValueError: `week` is not a Friday.
    """
    if week.weekday() != _FRIDAY:
        raise ValueError(f"EIA's weeks end on Fridays, {week} is a {week:%A}")
    wednesday = week + timedelta(days=5)
    delayed = any(wednesday - timedelta(days=back) in _federal_holidays(wednesday.year) for back in range(3))
    return datetime.combine(wednesday + timedelta(days=delayed), RELEASE_TIME, tzinfo=EASTERN)


def newest_due(now: datetime) -> date:
    """The newest week whose release time has passed, as a Friday.

    Args:
        now: An aware time.

    Raises:
        ValueError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"now must carry a time zone, {now} has none")
    today = now.astimezone(EASTERN).date()
    week = today - timedelta(days=(today.weekday() - _FRIDAY) % 7)
    while due(week) > now:
        week -= WEEK
    return week


@lru_cache(maxsize=8)
def _federal_holidays(year: int) -> frozenset[date]:
    # The year before too: New Year's Day is a Wednesday whose Monday and Tuesday lie in the old year.
    return frozenset(holidays.country_holidays("US", years=[year - 1, year]))
