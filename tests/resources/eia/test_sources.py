from datetime import date, datetime
from pathlib import Path

import pytest

from resources.eia.api import Api
from resources.eia.calendar import EASTERN
from resources.eia.errors import MissingApiKeyError, SourceSpecError
from resources.eia.files import LocalFiles, RemoteFiles
from resources.eia.live import Live
from resources.eia.parse import parse
from resources.eia.published import Newest, NotModified, Published
from resources.eia.sample import simulate
from resources.eia.sources import Sample, open_source


def test_each_name_opens_its_source(tmp_path: Path, now) -> None:
    assert isinstance(open_source("live", now=now), Live)
    assert isinstance(open_source(" api ", now=now, api_key=" k "), Api)
    assert isinstance(open_source("sample", now=now), Sample)
    assert isinstance(open_source(str(tmp_path), now=now), LocalFiles)
    assert isinstance(open_source("https://example.org/weekly", now=now), RemoteFiles)


@pytest.mark.parametrize("key", [None, "", "  "])
def test_the_api_needs_a_key(now, key: str | None) -> None:
    with pytest.raises(MissingApiKeyError, match="set EIA_API_KEY"):
        open_source("api", now=now, api_key=key)


@pytest.mark.parametrize("spec", ["auto", "", " "])
def test_what_does_not_decide_is_no_source(now, spec: str) -> None:
    with pytest.raises(SourceSpecError, match="Say live, api, sample"):
        open_source(spec, now=now)


def test_the_sample_is_released_by_the_calendar_and_marked(now) -> None:
    source = open_source("sample", now=now)
    got = source.published("WGFUPUS2")
    assert isinstance(got, Published)
    assert (got.source, got.url, got.fetched_at) == ("sample", "sample:WGFUPUS2", now())
    frame = parse(got)
    assert frame.equals(simulate("WGFUPUS2", last=date(2024, 6, 28)))
    assert source.newest_week("WGFUPUS2") == Newest(date(2024, 6, 28), got.validators)


def test_the_sample_is_unchanged_until_the_next_week_is_due() -> None:
    clock = [datetime(2024, 7, 10, 10, 29, tzinfo=EASTERN)]
    source = Sample(now=lambda: clock[0])
    first = source.published("WGFUPUS2")
    assert isinstance(first, Published)
    assert isinstance(source.published("WGFUPUS2", validators=first.validators), NotModified)
    assert isinstance(source.newest_week("WGFUPUS2", validators=first.validators), NotModified)
    assert isinstance(source.published("WDIUPUS2", validators=first.validators), Published)
    clock[0] = datetime(2024, 7, 10, 10, 30, tzinfo=EASTERN)
    second = source.published("WGFUPUS2", validators=first.validators)
    assert isinstance(second, Published)
    assert second.content.startswith(first.content)
    assert parse(second)["ds"].max().date() == date(2024, 7, 5)
