"""What the source offers a refresh: the week it has come to and the figures of any week, or nothing to be read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import overload

import dagster as dg

from forecast_assets.standing import Standing
from resources.alerts import Alerts
from resources.eia import values
from resources.eia.calendar import newest_due
from resources.eia.errors import EiaError, EiaUnreachableError
from resources.eia.watch import LOOK, Look, Seen, look
from resources.lake import Lake
from sensors.refreshing import UNREADABLE, Answer, ask_for

LATE = "late:"
_FRIDAY = 4


@dataclass(frozen=True)
class Offer:
    """Releases of all series.

    Attributes:
        found: As they were read.
        week: The newest week that every series has, and that is due: a refresh makes all series of a week or none.
    """

    found: Look
    week: date

    @property
    def newest(self) -> date:
        """The newest day of any series."""
        return max(self.found.newest.values())

    @property
    def seen(self) -> Mapping[str, Seen]:
        """What makes the next look cheap."""
        return self.found.seen

    def lacking(self, week: date) -> dict[str, date]:
        """The series that do not have a week, with the newest day they have."""
        return {name: newest for name, newest in self.found.newest.items() if newest < week}

    def values(self, lake: Lake, week: date) -> str:
        """The digest of the figures that a refresh of a week would be made from."""
        return values.offered(lake, week, self.found.frames)


@dataclass(frozen=True)
class Unreadable:
    """The source answers, and not with releases of the series."""

    error: EiaError

    def ask(self, standing: Standing, instance: dg.DagsterInstance, *, by: str) -> Answer:
        """Start the refresh of the week that is due, whose check says what is wrong; not if that week is made.

        A page in a release's place may differ each time, so what is asked for is named by what is wrong with it.
        """
        week = newest_due(standing.clock.now())
        said = f"{type(self.error).__name__}: {self.error}"
        if standing.is_refreshed(week):
            return Answer(None, f"week {week} is refreshed; what the source has now is no release. {said}", "waiting")
        name = UNREADABLE + hashlib.sha256(said.encode()).hexdigest()[:16]
        return ask_for(week, name, standing=standing, instance=instance, by=by)


@overload
def offer(standing: Standing) -> Offer | Unreadable: ...


@overload
def offer(standing: Standing, *, seen: Mapping[str, Seen]) -> Offer | Unreadable | None: ...


def offer(standing: Standing, *, seen: Mapping[str, Seen] | None = None) -> Offer | Unreadable | None:
    """Look at the source.

    Args:
        standing: How the lake stands, and its source.
        seen: What the last look found.

    Returns:
        What it offers; None where nothing has changed since it was seen.

    Raises:
        EiaUnreachableError: The source does not answer.
    """
    now, series = standing.clock.now(), standing.settings.series_ids
    try:
        found = look(standing.eia.open(series, now=now, limits=LOOK), series, seen=seen)
    except EiaUnreachableError:
        raise
    except EiaError as error:
        return Unreadable(error)
    if found is None:
        return None
    newest = min(found.newest.values())
    newest -= timedelta(days=(newest.weekday() - _FRIDAY) % 7)  # a day that is no Friday is refused by the run
    return Offer(found, min(newest, newest_due(now)))


def close_late(alerts: Alerts, week: date) -> None:
    """Close the alerts of weeks that were late and have come.

    Args:
        alerts: The alerts.
        week: The newest week that the source has.
    """
    for key in alerts.open_keys(LATE):
        if date.fromisoformat(key.removeprefix(LATE)) <= week:
            alerts.close(key, recovery=f"The source has week {week}.")
