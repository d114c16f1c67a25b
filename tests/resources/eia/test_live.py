from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from resources.eia.errors import (
    EiaResponseError,
    EiaUnreachableError,
    ReleaseTooLargeError,
    UnknownSeriesError,
    WorkbookError,
)
from resources.eia.live import LIVE_URL, Live
from resources.eia.parse import parse
from resources.eia.published import Newest, NotModified, Published, Validators

PATH = "/hist_xls/WGFUPUS2w.xls"


@pytest.fixture
def live(server, now, limits) -> Live:
    return Live(now=now, base_url=server.url + "/hist_xls/", limits=limits)


def test_the_default_address_is_the_official_one() -> None:
    assert LIVE_URL == "https://www.eia.gov/dnav/pet/hist_xls/"


def test_a_workbook_comes_byte_for_byte_with_its_origin(server, reply, live, now, make_workbook) -> None:
    content = make_workbook()
    server.on(PATH, reply(body=content, headers={"ETag": '"7"', "Last-Modified": "Wed, 03 Jul 2024 14:30:00 GMT"}))
    got = live.published("WGFUPUS2")
    assert isinstance(got, Published)
    assert (got.content, got.format, got.source, got.url) == (content, "xls", "live", server.url + PATH)
    assert got.fetched_at == now()
    assert got.validators == Validators('"7"', "Wed, 03 Jul 2024 14:30:00 GMT")
    assert parse(got)["y"].tolist() == [8969.0, 9424.0]


def test_the_newest_week_is_asked_conditionally(server, reply, live, make_workbook) -> None:
    server.on(PATH, reply(body=make_workbook(), headers={"ETag": '"7"'}), reply(304))
    newest = live.newest_week("WGFUPUS2")
    assert newest == Newest(date(2024, 6, 28), Validators('"7"'))
    assert live.newest_week("WGFUPUS2", validators=newest.validators) == NotModified(server.url + PATH)
    assert server.seen[1].headers["if-none-match"] == '"7"'


def test_the_official_workbook_is_taken(server, reply, live, shared_data: Path) -> None:
    server.on(PATH, reply(body=(shared_data / "WGFUPUS2w_2017-01-25.xls").read_bytes()))
    assert live.newest_week("WGFUPUS2") == Newest(date(2017, 1, 20))


def test_a_page_instead_of_a_workbook_is_refused(server, reply, live) -> None:
    server.on(PATH, reply(body=b"<html><head><title>EIA - down for maintenance</title></head></html>"))
    with pytest.raises(EiaResponseError, match="instead of a workbook, an HTML page, 'EIA - down for maintenance'"):
        live.published("WGFUPUS2")


def test_a_missing_workbook_is_an_unknown_series(live) -> None:
    with pytest.raises(UnknownSeriesError, match="series WGFUPUS9 is not at .*WGFUPUS9w.xls"):
        live.published("WGFUPUS9")


def test_a_refusal_is_not_taken_for_an_unknown_series(server, reply, live) -> None:
    server.on(PATH, reply(403, b"Access denied"))
    with pytest.raises(EiaResponseError, match="HTTP 403: Access denied"):
        live.published("WGFUPUS2")


def test_a_workbook_cut_by_the_server_itself_is_refused_when_read(server, reply, live, make_workbook) -> None:
    server.on(PATH, reply(body=make_workbook()[:2000]))
    with pytest.raises(WorkbookError):
        live.newest_week("WGFUPUS2")


def test_limits_hold(server, reply, live, make_workbook) -> None:
    server.on(PATH, reply(body=make_workbook()))
    with pytest.raises(ReleaseTooLargeError):
        replace(live, limits=replace(live.limits, max_bytes=100)).published("WGFUPUS2")
    server.on("/slow/WGFUPUS2w.xls", reply(hang=True))
    with pytest.raises(EiaUnreachableError):
        replace(live, base_url=server.url + "/slow", limits=replace(live.limits, attempts=1)).published("WGFUPUS2")
