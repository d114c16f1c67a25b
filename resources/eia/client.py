"""The one client of EIA's figures, whatever the source."""

import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Self

from resources.eia.api import API_URL
from resources.eia.calendar import newest_due
from resources.eia.errors import Finding, FutureWeekError, ObservationsInvalidError
from resources.eia.fetch import LIMITS, Limits
from resources.eia.live import LIVE_URL
from resources.eia.published import Newest, NotModified, Published, Source, Validators
from resources.eia.sources import open_source

log = logging.getLogger(__name__)


class EiaClient:
    """Asks a source for releases, and remembers the newest weeks so that asking again is cheap.

    Args:
        source: Where figures come from.
        progress: Told in a few words what is being done.
    """

    def __init__(self, source: Source, *, progress: Callable[[str], None] | None = None) -> None:
        self.source = source
        self._progress = progress
        self._newest: dict[str, Newest] = {}

    @classmethod
    def open(
        cls,
        spec: str,
        *,
        now: Callable[[], datetime],
        series: Sequence[str] = (),
        api_key: str | None = None,
        limits: Limits = LIMITS,
        live_url: str = LIVE_URL,
        api_url: str = API_URL,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """A client of the source a user names; arguments and errors as `open_source`."""
        source = open_source(
            spec, now=now, series=series, api_key=api_key, limits=limits, live_url=live_url, api_url=api_url
        )
        return cls(source, progress=progress)

    def newest_week(self, series: Sequence[str]) -> date:
        """The newest week that every one of the series has.

        Args:
            series: EIA series, at least one.

        Raises:
            ValueError: No series.
            ObservationsInvalidError: What a source says is newest is not a Friday.
            FutureWeekError: It is not due yet.
            EiaError: The source cannot tell.
        """
        if not series:
            raise ValueError("newest_week needs at least one series")
        return min(self._newest_of(unique_id).week for unique_id in series)

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The newest release of a series, or `NotModified` where the validators still hold.

        Raises:
            EiaError: The source cannot give it.
        """
        self._say(f"{unique_id}: asking for the release")
        got = self.source.published(unique_id, validators=validators)
        if isinstance(got, NotModified):
            self._say(f"{unique_id}: not modified at {got.url}")
        else:
            self._say(
                f"{unique_id}: {len(got.content):,} bytes of {got.format} from {got.url}, sha256 {got.sha256[:12]}"
            )
        return got

    def _newest_of(self, unique_id: str) -> Newest:
        known = self._newest.get(unique_id)
        got = self.source.newest_week(unique_id, validators=known.validators if known else None)
        if isinstance(got, Newest):
            self._refuse_what_is_no_week(unique_id, got.week)
            self._newest[unique_id] = got
            self._say(f"{unique_id}: newest week {got.week}")
        return self._newest[unique_id]

    def _refuse_what_is_no_week(self, unique_id: str, week: date) -> None:
        if week.weekday() != 4:
            problem = f"the newest day must be a Friday, is {week:%A}"
            raise ObservationsInvalidError(unique_id, [Finding(week, None, problem, "look at the source")])
        latest = newest_due(self.source.now())
        if week > latest:
            raise FutureWeekError(unique_id, week, newest_due=latest, where="the source")

    def _say(self, words: str) -> None:
        log.info(words)
        if self._progress:
            self._progress(words)
