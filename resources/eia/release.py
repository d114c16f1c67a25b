"""Keep releases: the bytes as published go into the lake under their checksum, with a record of their origin.

A release is looked at whole before anything of it is kept: what cannot be read, is not valid, or contradicts what was
known, is refused and leaves the lake as it was.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd

from resources.eia.calendar import newest_due
from resources.eia.client import EiaClient
from resources.eia.errors import EiaError, EiaResponseError, FutureWeekError, OlderReleaseError
from resources.eia.history import newest_known, refuse_lost_weeks, refuse_other_scale
from resources.eia.observations import validate
from resources.eia.parse import parse
from resources.eia.published import NotModified, Published, Validators
from resources.lake import Kind, Lake, LakeError, MixedLakeError

TABLE = "release"


@dataclass(frozen=True)
class Demands:
    """What a release of a week must satisfy.

    Attributes:
        week: The week; the release must reach it.
        now: The time now, aware: nothing may be newer than the week due by then.
        complete_from: From this day to the week no figure may be missing.
        plausible: Lowest and highest figure to believe of each series, thousand barrels per day.
    """

    week: date
    now: datetime
    complete_from: date
    plausible: Mapping[str, tuple[float, float]]


def keep_release(source: EiaClient, lake: Lake, demands: Demands) -> pd.DataFrame:
    """Fetch the newest release of every series and keep it as that of a week.

    Where the source has moved on to later weeks, what was kept of this week as published stays; a week that was never
    kept is recorded as reconstructed from the later release. Nothing is written unless every series is there and good.

    Args:
        source: Where releases come from.
        lake: Where they are kept.
        demands: The week, the series, and what they must satisfy.

    Returns:
        A row a series, in the columns of the lake's `release` table.

    Raises:
        EiaError: As `examine`, or the source cannot give a release.
        MixedLakeError: The figures are simulated and the lake's are real, or the reverse.
    """
    week = demands.week
    kept = records_of(lake, week) if lake.has(TABLE, week) else {}
    rows: list[Mapping[str, Any]] = []
    contents: list[bytes] = []
    held = lake.kind
    for unique_id in demands.plausible:
        published = current_release(source, lake, unique_id)
        kind: Kind = "simulated" if published.source == "sample" else "real"
        if held not in {None, kind}:  # before figures of the one kind are compared with the other
            raise MixedLakeError(lake.uri, held=str(held), offered=kind)
        held = kind
        try:
            newest = examine(published, lake, demands)
        except EiaError as error:
            error.add_note(f"The release is at {published.url}, {len(published.content):,} bytes")
            raise
        if newest > week and unique_id in kept and not kept[unique_id]["reconstructed"]:
            rows.append(kept[unique_id])
            continue
        contents.append(published.content)
        rows.append(_record(published, newest=newest, week=week))
    if held is not None:
        lake.claim(held)
    for content in contents:
        lake.put_blob(content)
    return pd.DataFrame(rows)


def examine(published: Published, lake: Lake, demands: Demands) -> date:
    """Look at a release before it is kept, the weeks after the one it is for included: they are kept with it.

    Args:
        published: The release of a series.
        lake: What was known before.
        demands: What it must satisfy.

    Returns:
        Its newest week.

    Raises:
        ReleaseFormatError, SeriesMismatchError, UnitError: As `parse`.
        OlderReleaseError: The same address had a later week before.
        FutureWeekError: It holds a week that is not due yet.
        ScaleChangedError: It is a multiple of what was known.
        ObservationsInvalidError, WeekNotReleasedError, MissingWeeksError: As `validate`.
        HistoryShortenedError: It lacks weeks that were known.
    """
    unique_id, where = published.unique_id, published.url
    plausible = demands.plausible[unique_id]
    frame = parse(published)
    newest: date = frame["ds"].max().date()
    record = newest_record(lake, unique_id)
    if record is not None and record["url"] == where and newest < record["newest"].date():
        raise OlderReleaseError(unique_id, url=where, newest=newest, kept=record["newest"].date())
    latest = newest_due(demands.now)
    if newest > latest:
        raise FutureWeekError(unique_id, newest, newest_due=latest, where=where)
    known = newest_known(lake, unique_id)
    if known is not None:
        refuse_other_scale(frame, known, unique_id=unique_id, where=where)
    validate(frame, unique_id=unique_id, week=newest, plausible=plausible)
    validate(frame, unique_id=unique_id, week=demands.week, plausible=plausible, complete_from=demands.complete_from)
    if known is not None:
        refuse_lost_weeks(frame, known, unique_id=unique_id, where=where)
    return newest


def kept_release(lake: Lake, record: Mapping[str, Any]) -> Published:
    """The release that a record of the `release` table stands for, with its bytes."""
    return Published(
        unique_id=str(record["unique_id"]),
        content=lake.blob(str(record["sha256"])),
        format=record["format"],
        source=record["source"],
        url=str(record["url"]),
        fetched_at=pd.Timestamp(record["fetched_at"]).to_pydatetime(),
        etag=record["etag"] or None,
        last_modified=record["last_modified"] or None,
    )


def newest_record(lake: Lake, unique_id: str) -> Mapping[str, Any] | None:
    """The record of the release of a series that the lake holds for the newest week."""
    for week in reversed(lake.weeks(TABLE)):
        found = records_of(lake, week).get(unique_id)
        if found is not None:
            return found
    return None


def records_of(lake: Lake, week: date) -> dict[str, Mapping[str, Any]]:
    """The records of the `release` table of a week, by series."""
    rows = lake.read(TABLE, week).to_dict("records")
    return {str(row["unique_id"]): {str(name): value for name, value in row.items()} for row in rows}


def current_release(source: EiaClient, lake: Lake, unique_id: str) -> Published:
    """The newest release, taken from the lake where the source says that it has not changed."""
    record = newest_record(lake, unique_id)
    validators = Validators(record["etag"] or None, record["last_modified"] or None) if record else Validators()
    if record is not None and validators != Validators():
        answer = source.published(unique_id, validators=validators)
        if isinstance(answer, Published):
            return answer
        if answer.url == record["url"]:
            with contextlib.suppress(LakeError):  # the bytes are gone: they are fetched again
                return kept_release(lake, record)
    answer = source.published(unique_id)
    if isinstance(answer, NotModified):
        raise EiaResponseError(answer.url, 304, "not modified, though nothing made the request conditional")
    return answer


def _record(published: Published, *, newest: date, week: date) -> dict[str, object]:
    return {
        "unique_id": published.unique_id,
        "source": published.source,
        "format": published.format,
        "url": published.url,
        "sha256": published.sha256,
        "bytes": len(published.content),
        "fetched_at": pd.Timestamp(published.fetched_at).tz_convert("UTC"),
        "etag": published.etag or "",
        "last_modified": published.last_modified or "",
        "newest": pd.Timestamp(newest),
        "reconstructed": newest > week,
    }
