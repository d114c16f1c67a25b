import json
import logging
import traceback
from datetime import date, timedelta

import pytest

from resources.eia.api import API_URL, Api
from resources.eia.errors import EiaResponseError, EiaUnreachableError, ReleaseFormatError, UnknownSeriesError
from resources.eia.parse import parse
from resources.eia.published import Newest, Published

KEY = "Zq7SECRETkey"
PATH = "/v2/petroleum/cons/wpsup/data/"
FIRST = date(2024, 5, 3)
WEEKS = [FIRST + timedelta(weeks=n) for n in range(7)]


def row(week: date, *, series: str = "WGFUPUS2") -> dict[str, str]:
    return {
        "period": week.isoformat(),
        "duoarea": "NUS",
        "product-name": "Finished Motor Gasoline",
        "series": series,
        "series-description": "U.S. Product Supplied of Finished Motor Gasoline (Thousand Barrels per Day)",
        "value": str(9000 + WEEKS.index(week)),
        "units": "MBBL/D",
    }


@pytest.fixture
def answer(reply):
    """EIA's API over seven weeks: filters, sorts and pages as asked, and echoes the request with the key."""

    def page(seen, *, total: int | None = None):
        assert seen.query["frequency"] == ["weekly"]
        assert seen.query["data[0]"] == ["value"]
        assert seen.query["sort[0][column]"] == ["period"]
        assert seen.query["api_key"] == [KEY]
        known = seen.query["facets[series][]"] == ["WGFUPUS2"]
        rows = [row(week) for week in WEEKS] if known else []
        rows = rows[::-1] if seen.query["sort[0][direction]"] == ["desc"] else rows
        offset, length = int(seen.query["offset"][0]), int(seen.query["length"][0])
        body = {
            "response": {
                "total": str(len(rows) if total is None else total),
                "frequency": "weekly",
                "data": rows[offset : offset + length],
            },
            "request": {"command": PATH, "params": {"api_key": KEY}},
            "apiVersion": "2.1.8",
        }
        return reply(body=json.dumps(body).encode())

    return page


@pytest.fixture
def api(server, now, limits) -> Api:
    return Api(now=now, api_key=KEY, base_url=server.url + "/v2/", limits=limits, page_rows=3)


def test_the_default_address_is_the_official_one() -> None:
    assert API_URL == "https://api.eia.gov/v2/"


def test_pages_are_merged_into_one_document_of_rows_as_published(server, api, answer, now) -> None:
    server.on(PATH, answer)
    got = api.published("WGFUPUS2")
    assert isinstance(got, Published)
    assert [seen.query["offset"] for seen in server.seen] == [["0"], ["3"], ["6"]]
    assert json.loads(got.content)["rows"] == [row(week) for week in WEEKS]
    assert (got.format, got.source, got.fetched_at) == ("json", "api", now())
    frame = parse(got)
    assert frame["y"].tolist() == [9000.0 + n for n in range(7)]
    assert frame["ds"].dt.date.tolist() == WEEKS


def test_equal_rows_make_equal_bytes_however_they_were_paged(server, api, answer, now, limits) -> None:
    server.on(PATH, answer)
    whole = Api(now=now, api_key=KEY, base_url=server.url + "/v2", limits=limits).published("WGFUPUS2")
    assert isinstance(whole, Published)
    paged = api.published("WGFUPUS2")
    assert isinstance(paged, Published)
    assert whole.sha256 == paged.sha256


def test_the_newest_week_is_one_row(server, api, answer) -> None:
    server.on(PATH, answer)
    assert api.newest_week("WGFUPUS2") == Newest(WEEKS[-1])
    assert (server.seen[0].query["length"], server.seen[0].query["sort[0][direction]"]) == (["1"], ["desc"])
    assert len(server.seen) == 1


def test_a_page_given_twice_is_refused_when_read(server, api, reply) -> None:
    page = {"response": {"total": 4, "data": [row(week) for week in WEEKS[:2]]}}
    server.on(PATH, reply(body=json.dumps(page).encode()))
    got = api.published("WGFUPUS2")
    assert isinstance(got, Published)
    with pytest.raises(ReleaseFormatError, match="week 2024-05-03: given twice"):
        parse(got)


def test_pages_without_end_are_not_asked_for(server, api, reply) -> None:
    page = {"response": {"total": 10**9, "data": [row(week) for week in WEEKS[:3]]}}
    server.on(PATH, reply(body=json.dumps(page).encode()))
    with pytest.raises(
        EiaResponseError, match="60 rows of WGFUPUS2 came, 1000000000 were announced: a page is missing"
    ):
        api.published("WGFUPUS2")
    assert len(server.seen) == 21


def test_a_series_the_route_lacks_is_unknown(server, api, answer) -> None:
    server.on(PATH, answer)
    for ask in (api.published, api.newest_week):
        with pytest.raises(UnknownSeriesError, match="WGFUPUS9 is not at .*/petroleum/cons/wpsup/data/"):
            ask("WGFUPUS9")


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        pytest.param(
            [(403, {"error": {"code": "API_KEY_INVALID", "message": f"An invalid api_key {KEY} was supplied."}})],
            "HTTP 403: .*API_KEY_INVALID.*Check EIA_API_KEY",
            id="a wrong key",
        ),
        pytest.param([(404, {"error": "Not found", "code": 404})], "HTTP 404: .*Not found", id="a wrong route"),
        pytest.param([(200, {"error": f"Invalid facet, api_key={KEY}"})], "no rows but .*Invalid facet", id="an error"),
        pytest.param([(200, {"response": {"total": "x", "data": []}, "api_key": KEY})], "no rows but", id="no total"),
        pytest.param([(200, {"response": {"total": 3, "data": {"a": KEY}}})], "not a list of rows", id="no list"),
        pytest.param([(200, {"response": {"total": 3, "data": []}})], "0 rows .* 3 were announced", id="no rows"),
        pytest.param([(200, None)], "no rows but an HTML page", id="a page"),
        pytest.param(
            [
                (200, {"response": {"total": 4, "data": [row(WEEKS[0]), row(WEEKS[1]), row(WEEKS[2])]}}),
                (200, {"response": {"total": 5, "data": [row(WEEKS[3])]}}),
            ],
            "the total changed from 4 to 5 rows between pages. Try again",
            id="a release between pages",
        ),
    ],
)
def test_an_answer_without_rows_is_refused_in_its_own_words(server, api, reply, replies, said: str) -> None:
    bodies = [(status, b"<html>" if body is None else json.dumps(body).encode()) for status, body in replies]
    server.on(PATH, *(reply(status, body) for status, body in bodies))
    with pytest.raises(EiaResponseError, match=said) as caught:
        api.published("WGFUPUS2")
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("row_", [{}, {"period": None}, {"period": "2024-13-01"}], ids=["no period", "null", "no date"])
def test_a_newest_row_without_period_is_refused(server, api, reply, row_) -> None:
    server.on(PATH, reply(body=json.dumps({"response": {"total": 1, "data": [row_]}}).encode()))
    with pytest.raises(EiaResponseError, match="no period"):
        api.newest_week("WGFUPUS2")


@pytest.mark.parametrize("fault", ["none", "status", "hang", "cut", "redirect", "refused"])
def test_the_key_is_in_no_log_message_or_address(server, api, answer, reply, caplog, fault: str) -> None:
    caplog.set_level(logging.DEBUG)
    faulty = {
        "none": answer,
        "status": reply(500, KEY.encode()),
        "hang": reply(hang=True),
        "cut": reply(body=KEY.encode(), cut=True),
        "redirect": reply(302, headers={"Location": f"http://localhost/?api_key={KEY}"}),
        "refused": reply(401, f"<title>bad api_key {KEY}</title>".encode()),
    }
    server.on(PATH, faulty[fault])
    seen = repr(api)
    try:
        got = api.published("WGFUPUS2")
        seen += repr(got)
    except (EiaResponseError, EiaUnreachableError) as error:
        seen += "".join(traceback.format_exception(error)) + repr(vars(error))
    assert "api_key=***" in caplog.text or fault == "hang", "an answer is logged with its address"
    assert KEY not in seen + caplog.text
