"""Looking at a source again and again: whether it has something new, at a few hundred bytes a series where it has not.

A look is bounded in time as a whole, because whoever looks has others waiting; what fails is looked at again soon.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd
from pydantic import BaseModel, ConfigDict

from resources.eia.api import Api
from resources.eia.client import EiaClient
from resources.eia.errors import EiaUnreachableError
from resources.eia.fetch import Limits
from resources.eia.parse import parse
from resources.eia.published import Newest, NotModified, Published, Validators

LOOK = Limits(connect_s=5, read_s=10, total_s=15, offline_s=5, attempts=1)
"""One attempt a series: the next look is the next attempt."""

_WITHIN_S = 30.0  # a tick of a sensor has 60
_WHOLE_EVERY = timedelta(hours=1)


class Seen(BaseModel):
    """What a look found of a series.

    Attributes:
        etag: The server's validator, if it gave one.
        last_modified: The server's other validator, if it gave one.
        newest: The newest day of the release.
        at: When the release was read as a whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    etag: str | None
    last_modified: str | None
    newest: date
    at: datetime

    @property
    def validators(self) -> Validators:
        """What makes the next question conditional."""
        return Validators(self.etag, self.last_modified)


@dataclass(frozen=True)
class Look:
    """Releases as they are now.

    Attributes:
        frames: `ds` and `y` by series, as parsed.
        seen: What the next look needs to be cheap, by series.
    """

    frames: Mapping[str, pd.DataFrame]
    seen: Mapping[str, Seen]

    @property
    def newest(self) -> dict[str, date]:
        """The newest day of each series."""
        return {name: seen.newest for name, seen in self.seen.items()}


def look(
    source: EiaClient,
    series: Sequence[str],
    *,
    seen: Mapping[str, Seen] | None = None,
    elapsed: Callable[[], float] = time.monotonic,
) -> Look | None:
    """Look whether any series has changed since it was seen; where one has, all are read.

    Args:
        source: Where releases are.
        series: Which.
        seen: What the last look found.
        elapsed: Seconds since some moment.

    Returns:
        None where nothing has changed.

    Raises:
        EiaUnreachableError: The source does not answer, or not in time.
        EiaError: What it gives is no release of the series.
    """
    seen, began, now = seen or {}, elapsed(), source.source.now()

    def ask(unique_id: str, known: Seen | None) -> Published | None:
        if elapsed() - began > _WITHIN_S:
            reason = f"not every series was answered for within {_WITHIN_S:.0f} s"
            raise EiaUnreachableError(unique_id, reason)
        return _changed(source, unique_id, known, now=now)

    fresh = {name: ask(name, seen.get(name)) for name in series}
    if not any(fresh.values()):
        return None
    releases = {name: found or ask(name, None) for name, found in fresh.items()}
    frames = {name: parse(found) for name, found in releases.items() if found is not None}
    return Look(
        frames,
        {
            name: Seen(
                etag=found.etag, last_modified=found.last_modified, newest=frames[name]["ds"].max().date(), at=now
            )
            for name, found in releases.items()
            if found is not None
        },
    )


def _changed(source: EiaClient, unique_id: str, known: Seen | None, *, now: datetime) -> Published | None:
    """The release of a series, or None where it is the one that was seen."""
    if known is not None and isinstance(source.source, Api) and now - known.at < _WHOLE_EVERY:
        # The API knows no validators; its newest row is a cheap question, and revisions may wait for the hour.
        found = source.source.newest_week(unique_id)
        if isinstance(found, Newest) and found.week == known.newest:
            return None
    got = source.published(unique_id, validators=known.validators if known else None)
    return None if isinstance(got, NotModified) else got
