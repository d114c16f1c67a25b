"""Keep releases: the bytes as published go into the lake under their checksum, with a record of their origin."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from resources.eia.calendar import due
from resources.eia.client import EiaClient
from resources.eia.errors import EiaResponseError, WeekNotReleasedError
from resources.eia.parse import parse
from resources.eia.published import NotModified, Published, Validators
from resources.lake import Kind, Lake

TABLE = "release"


def keep_release(source: EiaClient, lake: Lake, *, series: Sequence[str], week: date) -> pd.DataFrame:
    """Fetch the newest release of every series and keep it as that of a week.

    Where the source has moved on to later weeks, what was kept of this week as published stays; a week that was never
    kept is recorded as reconstructed from the later release. Nothing is written unless every series is there.

    Args:
        source: Where releases come from.
        lake: Where they are kept.
        series: EIA series.
        week: The week the release is for.

    Returns:
        A row a series, in the columns of the lake's `release` table.

    Raises:
        WeekNotReleasedError: A series does not reach the week yet.
        MixedLakeError: The figures are simulated and the lake's are real, or the reverse.
    """
    kept = records_of(lake, week) if lake.has(TABLE, week) else {}
    rows: list[Mapping[str, Any]] = []
    contents: list[bytes] = []
    kinds: set[Kind] = set()
    for unique_id in series:
        published = current_release(source, lake, unique_id)
        kinds.add("simulated" if published.source == "sample" else "real")
        newest = parse(published)["ds"].max().date()
        if newest < week:
            raise WeekNotReleasedError(unique_id, week, newest=newest, due=due(week))
        if newest > week and unique_id in kept and not kept[unique_id]["reconstructed"]:
            rows.append(kept[unique_id])
            continue
        contents.append(published.content)
        rows.append(_record(published, newest=newest, week=week))
    for kind in sorted(kinds):
        lake.claim(kind)
    for content in contents:
        lake.put_blob(content)
    return pd.DataFrame(rows)


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


def newest_kept(lake: Lake, unique_id: str) -> Published | None:
    """The release of a series that was fetched last, of whatever week."""
    for week in reversed(lake.weeks(TABLE)):
        found = records_of(lake, week).get(unique_id)
        if found is not None:
            return kept_release(lake, found)
    return None


def records_of(lake: Lake, week: date) -> dict[str, Mapping[str, Any]]:
    """The records of the `release` table of a week, by series."""
    rows = lake.read(TABLE, week).to_dict("records")
    return {str(row["unique_id"]): {str(name): value for name, value in row.items()} for row in rows}


def current_release(source: EiaClient, lake: Lake, unique_id: str) -> Published:
    """The newest release, taken from the lake where the source says that it has not changed."""
    previous = newest_kept(lake, unique_id)
    if previous is not None and previous.validators != Validators():
        answer = source.published(unique_id, validators=previous.validators)
        if isinstance(answer, Published):
            return answer
        if answer.url == previous.url:
            return previous
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
