"""Looking at a source again: what has changed, at the price of what has changed."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from resources.eia.api import Api
from resources.eia.client import EiaClient
from resources.eia.errors import EiaResponseError, EiaUnreachableError, WorkbookError
from resources.eia.watch import LOOK, Look, Seen, look

BOTH = ["WGFUPUS2", "WREUPUS2"]
NEXT = date(2024, 7, 5)


def found(seen: Look | None) -> Look:
    assert seen is not None
    return seen


@pytest.fixture
def live(server, now) -> EiaClient:
    return EiaClient.open("live", now=now, limits=LOOK, live_url=server.url)


@pytest.fixture
def books(server, reply, make_workbook):
    """Workbooks by series, each with a validator."""

    def put(name: str, body: bytes | None = None, *, etag: str = '"1"') -> None:
        body = make_workbook(keys=("Sourcekey", name)) if body is None else body

        def answer(seen):
            return reply(304) if seen.headers.get("if-none-match") == etag else reply(body=body, headers={"ETag": etag})

        server._scripts[f"/{name}w.xls"] = [answer]

    for name in BOTH:
        put(name)
    return put


def test_nothing_new_is_a_conditional_request_a_series(server, live, books) -> None:
    first = found(look(live, BOTH))
    assert first.newest == dict.fromkeys(BOTH, date(2024, 6, 28))
    server.seen.clear()
    assert look(live, BOTH, seen=first.seen) is None
    assert [request.headers["if-none-match"] for request in server.seen] == ['"1"', '"1"']


def test_where_one_series_has_changed_all_are_read(live, books, make_workbook) -> None:
    first = found(look(live, BOTH))
    rows = [(date(2024, 6, 21), 8969), (date(2024, 6, 28), 9425)]
    books("WREUPUS2", make_workbook(rows, keys=("Sourcekey", "WREUPUS2")), etag='"2"')
    second = found(look(live, BOTH, seen=first.seen))
    assert {name: frame["y"].iloc[-1] for name, frame in second.frames.items()} == {"WGFUPUS2": 9424, "WREUPUS2": 9425}
    assert [seen.etag for seen in second.seen.values()] == ['"1"', '"2"']


def test_what_is_no_release_is_an_error_with_a_name(live, books) -> None:
    books("WGFUPUS2", b"<html><title>Sorry</title></html>")
    with pytest.raises(EiaResponseError, match="Sorry"):
        look(live, BOTH)
    books("WGFUPUS2", bytes.fromhex("d0cf11e0a1b11ae1") + b"cut")
    with pytest.raises(WorkbookError):
        look(live, BOTH)


def test_a_look_ends_in_time_however_many_series_there_are(live, books) -> None:
    times = iter([0.0, 1.0, 31.0])
    with pytest.raises(EiaUnreachableError, match="within 30 s"):
        look(live, BOTH, elapsed=lambda: next(times))


def test_of_the_api_one_row_is_asked_for_within_the_hour(server, reply, now) -> None:
    """The API knows no validators: a new week shows at once, a revision within the hour."""
    weeks = [date(2024, 6, 21), date(2024, 6, 28)]

    def answer(seen):
        descending = seen.query["sort[0][direction]"] == ["desc"]
        rows = [
            {"period": str(week), "series": "WGFUPUS2", "value": "9000", "units": "MBBL/D"}
            for week in (weeks[::-1][:1] if descending else weeks)
        ]
        return reply(body=json.dumps({"response": {"total": str(len(weeks)), "data": rows}}).encode())

    server.on("/v2/petroleum/cons/wpsup/data/", answer)
    api = Api(now=now, api_key="a-key-of-tests", base_url=server.url + "/v2/")
    first = found(look(EiaClient(api), ["WGFUPUS2"]))
    assert look(EiaClient(api), ["WGFUPUS2"], seen=first.seen) is None
    assert server.seen[-1].query["length"] == ["1"]
    later = replace(api, now=lambda: now() + timedelta(minutes=61))
    assert look(EiaClient(later), ["WGFUPUS2"], seen=first.seen) is not None
    weeks.append(NEXT)
    assert found(look(EiaClient(api), ["WGFUPUS2"], seen=first.seen)).newest == {"WGFUPUS2": NEXT}


def test_what_was_seen_is_kept_as_json() -> None:
    seen = Seen(etag='"1"', last_modified=None, newest=NEXT, at=datetime(2024, 7, 10, tzinfo=UTC))
    assert Seen.model_validate_json(seen.model_dump_json()) == seen
