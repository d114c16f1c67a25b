"""Taking in what has landed: what is a good release is kept, what is none is set aside and said so, once."""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from resources.alerts import Alert, Alerts
from resources.eia.errors import EiaError, shown
from resources.eia.parse import parse
from resources.eia.published import SIMULATED, Published
from resources.eia.release import Demands, examine
from resources.lake import Lake, MixedLakeError
from resources.landing.arrival import Arrival, Place
from resources.landing.errors import LandingPlaceError, LandingReadError, LandingRefusedError
from resources.landing.records import Landings

KEY = "landing:"
_PLACE = f"{KEY}/"  # no file is called so
_LINK = "/automation"
_NAME = re.compile(r"(?i:(?P<csv>[A-Z0-9_]+)\.csv|(?P<xls>[A-Z0-9_]+)w\.xls)")
_NO_CONSEQUENCE = "No other file waits for it, and what serves keeps serving. Forecasts are made without it"


@dataclass(frozen=True)
class Intake:
    """What takes in files.

    Attributes:
        landings: Where good ones are kept.
        alerts: Whom bad ones are told.
        series: The configured series.
        demands: What a release that ends with a week must satisfy.
        now: The time now, aware.
        say: Told in a few words what becomes of each file.
    """

    landings: Landings
    alerts: Alerts
    series: Collection[str]
    demands: Callable[[date], Demands]
    now: datetime
    say: Callable[[str], None]

    @property
    def lake(self) -> Lake:
        """Where everything is kept."""
        return self.landings.lake

    def take(self, place: Place) -> int:
        """Take in what has landed; gives how many files are news.

        One file is never in the way of another: what is refused is set aside, what cannot be read now is left where it
        is. Whatever ends this half way is gone through again at the next look, and what was kept is not kept twice.

        Raises:
            LandingPlaceError: The place cannot be looked at.
            LakeError: The lake cannot be read or written.
        """
        with self._said_where(place.where):
            news = sum(self._took(arrival) for arrival in place.arrivals())
        self.alerts.close(_PLACE, recovery=f"{place.where} can be looked at again.")
        return news

    @contextmanager
    def _said_where(self, where: str) -> Iterator[None]:
        try:
            yield
        except LandingPlaceError as error:
            what = f"Nobody sees what lands at {where}"
            why = str(error)
            consequence = "What others bring starts nothing until that is mended; then nothing of it is missing."
            self.alerts.open(Alert(_PLACE, "Landings cannot be looked at", what, why, consequence, link=_LINK))
            raise

    def _took(self, arrival: Arrival) -> bool:
        name, content = shown(arrival.name), None
        key = f"{KEY}{name}"
        try:
            brought = arrival.read()
            if brought is None:
                self.say(f"{name}: it is being written, the next look will tell")
                return False
            content = brought.content
            unique_id, form = self._series_of(arrival.name)
            published = self._published(unique_id, form, content, arrival.url)
            newest = self._examined(published)
        except FileNotFoundError:
            self.say(f"{name}: it was gone before it was read")
            arrival.settle()
            return False
        except LandingReadError as error:
            self._alert(key, "cannot be read", name, error, "It is read as soon as that is possible.")
            return False
        except (EiaError, MixedLakeError, LandingRefusedError) as error:
            self._refuse(arrival, key, name, error, content)
            return False
        is_news = self.landings.keep(published, newest=newest, modified=brought.modified)
        arrival.settle()
        self.alerts.close(key, recovery=f"A good {name} has landed; it ends with {newest}.")
        self.say(f"{name}: {unique_id} to {newest}, {'taken in' if is_news else 'known already'}")
        return is_news

    def _series_of(self, name: str) -> tuple[str, Literal["csv", "xls"]]:
        found = _NAME.fullmatch(name)
        if found is None:
            raise LandingRefusedError(name, "its name is not of that form")
        form: Literal["csv", "xls"] = "csv" if found["csv"] else "xls"
        unique_id = str(found[form]).upper()
        if unique_id not in self.series:
            raise LandingRefusedError(name, f"no series {unique_id} is configured")
        return unique_id, form

    def _published(self, unique_id: str, form: Literal["csv", "xls"], content: bytes, url: str) -> Published:
        source: Literal["sample", "file"] = "sample" if content.startswith(SIMULATED) else "file"
        return Published(unique_id, content, format=form, source=source, url=url, fetched_at=self.now)

    def _examined(self, published: Published) -> date:
        """The week with which a release ends, once it has been looked at as a run would."""
        offered, held = "simulated" if published.source == "sample" else "real", self.lake.kind
        if held not in {None, offered}:
            raise MixedLakeError(self.lake.uri, held=str(held), offered=offered)
        newest: date = parse(published)["ds"].max().date()
        return examine(published, self.lake, self.demands(newest))

    def _refuse(self, arrival: Arrival, key: str, name: str, error: Exception, content: bytes | None) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._alert(key, "was refused", name, error, f"It is set aside in {arrival.aside}. {_NO_CONSEQUENCE}.")
        try:
            arrival.set_aside(f"{arrival.url}\n{self.now.isoformat(timespec='seconds')}\n{reason}", content)
        except LandingReadError as failure:
            self.say(str(failure))

    def _alert(self, key: str, happened: str, name: str, error: Exception, consequence: str) -> None:
        self.say(f"{name}: {type(error).__name__}: {error}")
        what = f"The landed file {name} {happened}"
        why = f"{type(error).__name__}: {error}"
        self.alerts.open(Alert(key, f"{name} {happened}", what, why, consequence, link=_LINK))
