"""The release server keeps to the platform's clock, and what it serves is read or refused as each fault means it."""

import random
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from resources.clock import Clock
from resources.eia.calendar import due
from resources.eia.errors import EiaError, WorkbookError
from resources.eia.workbook import read_workbook
from tests.year.figures import SPOILED, Figures
from tests.year.source import Publication, publishing

SERIES, WEEK = "WDIUPUS2", date(2023, 7, 14)


@pytest.fixture(scope="module")
def figures(shared_data: Path) -> Figures:
    day = WEEK - timedelta(weeks=2)
    return Figures(shared_data, SERIES, {WEEK: {day: 4321.0}})


def test_a_release_is_to_be_had_from_its_hour_on(figures: Figures, tmp_path: Path) -> None:
    now = tmp_path / "now"
    with publishing(Clock(fixed=str(now)), SERIES) as source:
        old, new = (figures.release(figures.vintage(week)) for week in (WEEK - timedelta(weeks=1), WEEK))
        source.publish(Publication(due(WEEK), new, "new"), Publication(due(WEEK) - timedelta(weeks=1), old, "old"))
        now.write_text((due(WEEK) - timedelta(minutes=1)).isoformat())
        before = httpx.get(source.url)
        unchanged = httpx.get(source.url, headers={"If-None-Match": before.headers["ETag"]})
        now.write_text(due(WEEK).isoformat())
        after = httpx.get(source.url, headers={"If-None-Match": before.headers["ETag"]})
        source.misbehave("5xx", 1, after="new")
        told = [httpx.get(source.url, headers={"If-None-Match": after.headers["ETag"]}).status_code for _ in range(2)]
        statuses = [httpx.get(source.url).status_code for _ in range(3)]
        assert source.counted() == {"200 old": 1, "304 old": 1, "304 new": 2, "200 new": 3, "503 5xx": 1}
    assert (before.content, unchanged.status_code, after.content) == (old, 304, new)
    assert told == [304, 304], "nothing was handed out yet"
    assert statuses == [200, 503, 200]


def test_a_revision_is_in_every_release_from_its_week_on(figures: Figures) -> None:
    day = WEEK - timedelta(weeks=2)
    assert figures.vintage(WEEK)[day] == 4321.0
    assert figures.vintage(WEEK + timedelta(weeks=1), revised=False)[day] == 4321.0
    assert figures.vintage(WEEK, revised=False)[day] != 4321.0


def test_regenerated_bytes_hold_the_same_values(figures: Figures) -> None:
    one, two = (figures.release(figures.vintage(WEEK), made=made) for made in (0, 1))
    assert one != two
    assert read_workbook(one, unique_id=SERIES) == read_workbook(two, unique_id=SERIES)


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_spoilt_differs_from_the_release(figures: Figures, kind: str) -> None:
    good = read_workbook(figures.release(figures.vintage(WEEK, revised=False)), unique_id=SERIES)
    content = SPOILED[kind](figures, WEEK, random.Random(3))
    if kind in {"truncated workbook", "HTML page", "column added"}:
        with pytest.raises(WorkbookError) as caught:
            read_workbook(content, unique_id=SERIES)
        assert isinstance(caught.value, EiaError)
    else:
        assert read_workbook(content, unique_id=SERIES) != good
