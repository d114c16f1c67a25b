"""Whatever is sent, declared and accepted: an answer as documented, or a refusal by name."""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from containers.serving import request
from containers.serving.app import create_app, negotiate
from containers.serving.limits import BODY_LIMIT_BYTES
from containers.serving.request import FIELDS, ForecastRequest, RequestError, parse
from tests.served import small_artifact

SERIES = ("WDIUPUS2", "WGFUPUS2")
SOME = settings(max_examples=150, deadline=None, derandomize=True)
MANY = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))

numbers = st.integers() | st.floats() | st.sampled_from([1, 104, 105, 0.9, 80, 1e400, -0.0, 10**400, 2**63])
texts = (
    st.text(max_size=12)
    | st.from_regex(request.CONF_TEXT)
    | st.from_regex(request.LEVEL_TEXT)
    | st.sampled_from([*SERIES, "conformal", "normal", "csv", "records", "10", "\ud800", "NaN", "0" * 400, "9" * 5000])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(FIELDS) | texts, values, max_size=5)
plausible = st.fixed_dictionaries(
    {},
    optional={
        "periods": st.integers(0, 105) | st.sampled_from(["1", "104", "105", "01"]),
        "levels": st.lists(st.floats(0, 100) | st.sampled_from([80, "95", "80.0"]), max_size=11),
        "conf": st.floats(0, 1) | st.sampled_from(["0.9", "0.99", "1"]),
        "series": st.sampled_from([*SERIES, "X"]) | st.lists(st.sampled_from(SERIES), max_size=3),
        "interval": st.sampled_from(["conformal", "normal", "bootstrap"]),
        "format": st.sampled_from(["csv", "records", "xml"]),
    },
)
nested = st.tuples(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]), st.integers(1, 60_000)).map(
    lambda parts: parts[0][0] * parts[1] + b"1" + parts[0][1] * parts[1]
)
written = (objects | plausible | values).map(lambda value: json.dumps(value).encode())
spoiled = st.builds(
    lambda body, at, byte: body[:at] + bytes([byte]) + body[at + 1 :], written, st.integers(0, 200), st.integers(0, 255)
)
bodies = st.binary(max_size=200) | written | spoiled | nested
media = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "application/json;charset=latin-1", "text/csv", "", ";;;"]
) | st.text(st.characters(max_codepoint=255), max_size=30)
accepts = (
    st.sampled_from(["text/csv", "application/json", "*/*", "text/*;q=0.5, application/json;q=nan", "image/png", ",;,"])
    | st.text(st.characters(max_codepoint=255), max_size=40)
    | st.lists(
        st.tuples(
            st.sampled_from(["text/csv", "*/*", "application/*", "a"]),
            st.floats() | st.text(st.characters(max_codepoint=255), max_size=5),
        ).map(lambda part: f"{part[0]};q={part[1]}"),
        max_size=6,
    ).map(",".join)
)


def understood(body: bytes) -> ForecastRequest | RequestError:
    try:
        return parse(body, available=SERIES, default_series=None)
    except RequestError as refusal:
        return refusal


def check_request(body: bytes) -> None:
    found = understood(body)
    if isinstance(found, RequestError):
        assert found.status == 400
        assert len(json.dumps(found.body())) < 1000  # of a body, however long, only a little is repeated
        return
    assert 1 <= found.periods <= request.MAX_PERIODS
    assert 1 <= len(found.levels) <= request.MAX_LEVELS
    assert all(0 < level < 100 for level in found.levels)
    assert found.series
    assert set(found.series) <= set(SERIES)


def check_accept(header: str) -> None:
    try:
        form, status = negotiate(header), 200
    except RequestError as refusal:
        form, status = None, refusal.status
    assert (form, status) in {("records", 200), ("csv", 200), (None, 406)}


def send(app: Starlette, body: bytes, content_type: str | None, accept: str | None) -> tuple[int, str, bytes]:
    """One POST to /invocations, in chunks; status, media type and body of the answer."""
    headers = {b"content-type": content_type, b"accept": accept}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/invocations",
        "raw_path": b"/invocations",
        "query_string": b"",
        "root_path": "",
        "headers": [(name, value.encode("latin-1")) for name, value in headers.items() if value is not None],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    chunks: Iterator[bytes] = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, object]:
        chunk = next(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def keep(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, keep))
    start, *rest = sent
    told = dict(start["headers"])[b"content-type"].decode()
    return start["status"], told.partition(";")[0], b"".join(part.get("body", b"") for part in rest)


def check_answer(app: Starlette, body: bytes, content_type: str | None, accept: str | None) -> None:
    status, told, content = send(app, body, content_type, accept)
    if status == 200 and told == "text/csv":
        header, *lines = content.decode().splitlines()
        assert lines
        assert {line.count(",") for line in lines} == {header.count(",")}
        return
    assert told == "application/json"
    answer = json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))
    if status == 200:
        assert all(len(row) >= 4 for row in answer)
        return
    assert status in {400, 406, 415}
    assert answer["error"]
    assert set(answer) <= {"error", "field"}


@pytest.fixture(scope="module")
def app() -> Starlette:
    return create_app(small_artifact(), default_series=None)


@SOME
@given(bodies)
def test_any_body_is_a_request_or_refused_by_name(body: bytes) -> None:
    check_request(body)


@SOME
@given(accepts)
def test_any_accept_header_chooses_a_form_or_is_refused_by_name(header: str) -> None:
    check_accept(header)


@SOME
@given(body=bodies, content_type=st.none() | media, accept=st.none() | accepts)
def test_any_request_is_answered_as_documented(
    app: Starlette, body: bytes, content_type: str | None, accept: str | None
) -> None:
    check_answer(app, body, content_type, accept)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@MANY
@given(body=bodies, content_type=st.none() | media, accept=st.none() | accepts)
def test_any_of_thousands_of_requests_is_answered_as_documented(
    app: Starlette, body: bytes, content_type: str | None, accept: str | None
) -> None:
    check_request(body)
    if accept is not None:
        check_accept(accept)
    check_answer(app, body, content_type, accept)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"series": [' + b'"WGFUPUS2",' * 90_000 + b'"X"]}', id="many names"),
        pytest.param(b'{"levels": [' + b"1," * 400_000 + b"1]}", id="many levels"),
        pytest.param(b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}", id="many fields"),
        pytest.param(b'{"periods": ' + b"1" * 900_000 + b"}", id="long number"),
        pytest.param(b'{"periods": 1e' + b"9" * 900_000 + b"}", id="long exponent"),
        pytest.param(b'{"conf": "0.' + b"0" * 900_000 + b'1"}', id="long text"),
        pytest.param(b"[" * BODY_LIMIT_BYTES, id="deep"),
    ],
)
def test_the_largest_bodies_are_refused_in_no_time(body: bytes) -> None:
    assert len(body) <= BODY_LIMIT_BYTES
    check_request(body)
    assert isinstance(understood(body), RequestError)


def test_a_body_beyond_the_limit_is_refused_whatever_it_is(app: Starlette) -> None:
    status, _, content = send(app, b" " * (BODY_LIMIT_BYTES + 1), None, None)
    assert (status, json.loads(content)["error"]) == (413, "the body is larger than 1000000 bytes")
