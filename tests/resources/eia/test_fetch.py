import gzip
import logging
import socket
import time
from dataclasses import replace

import httpx
import pytest

from resources.eia.errors import EiaResponseError, EiaUnreachableError, ReleaseTooLargeError
from resources.eia.fetch import LIMITS, Download, Limits, describe, download, may_follow, scrub
from resources.eia.published import NotModified, Validators


def test_an_answer_comes_whole_with_its_validators(server, reply, limits) -> None:
    url = server.on("/a", reply(body=b"abc", headers={"ETag": '"1"', "Last-Modified": "Wed, 03 Jul 2024 14:30:00 GMT"}))
    got = download(url, limits=limits)
    assert isinstance(got, Download)
    assert (got.content, got.etag, got.last_modified) == (b"abc", '"1"', "Wed, 03 Jul 2024 14:30:00 GMT")


def test_validators_make_the_request_conditional(server, reply, limits) -> None:
    url = server.on("/a", reply(304))
    assert download(url, validators=Validators('"1"', "yesterday"), limits=limits) == NotModified(url)
    assert server.seen[0].headers["if-none-match"] == '"1"'
    assert server.seen[0].headers["if-modified-since"] == "yesterday"


def test_not_modified_without_a_condition_is_no_answer(server, reply, limits) -> None:
    with pytest.raises(EiaResponseError) as caught:
        download(server.on("/a", reply(304)), limits=limits)
    assert caught.value.status == 304


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(server, reply, limits, status: int) -> None:
    got = download(server.on("/a", reply(status), reply(body=b"ok")), limits=limits)
    assert isinstance(got, Download)
    assert got.content == b"ok"
    assert len(server.seen) == 2


def test_another_attempt_is_logged_and_not_printed(server, reply, limits, caplog, capfd) -> None:
    url = server.on("/a", reply(503), reply(body=b"ok"))
    download(url, limits=limits)
    assert f"{url}: HTTP 503; attempt 2 in 0.0 s" in caplog.messages
    assert capfd.readouterr().out == ""


def test_a_lasting_fault_is_tried_as_often_as_allowed(server, reply, limits) -> None:
    with pytest.raises(EiaUnreachableError, match=r"HTTP 503 \(3 attempts\)") as caught:
        download(server.on("/a", reply(503)), limits=limits)
    assert (len(server.seen), caught.value.attempts, caught.value.retry_after_s) == (3, 3, 300.0)


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_final_answer_is_not_tried_again(server, reply, limits, status: int) -> None:
    url = server.on("/a", reply(status, b"<!DOCTYPE html><html><TITLE>Not\n here</TITLE></html>"))
    with pytest.raises(EiaResponseError, match=f"HTTP {status}: an HTML page, 'Not here'") as caught:
        download(url, limits=limits)
    assert (len(server.seen), caught.value.status) == (1, status)
    assert ("refuses this machine" in str(caught.value)) == (status == 403)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Retry-After": "1"}, id="seconds"),
        pytest.param({"Retry-After": "Fri, 05 Jul 2024 10:00:01 GMT"}, id="a date against the server's own"),
    ],
)
def test_a_server_that_names_its_wait_is_obeyed(server, reply, limits, headers, monkeypatch) -> None:
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.date_time_string", lambda *_: "Fri, 05 Jul 2024 10:00:00 GMT"
    )
    started = time.monotonic()
    download(server.on("/a", reply(429, headers=headers), reply(body=b"ok")), limits=limits)
    assert 1.0 <= time.monotonic() - started < 2.0


def test_a_wait_beyond_the_bound_is_handed_to_the_caller(server, reply, limits) -> None:
    started = time.monotonic()
    with pytest.raises(EiaUnreachableError, match="try again in 3600 s") as caught:
        download(server.on("/a", reply(429, headers={"Retry-After": "3600"})), limits=limits)
    assert time.monotonic() - started < 1.0
    assert (caught.value.retry_after_s, caught.value.attempts) == (3600.0, 1)


def test_a_server_that_hangs_is_left(server, reply, limits) -> None:
    url = server.on("/a", reply(hang=True), reply(body=b"ok"))
    assert isinstance(download(url, limits=limits), Download)
    with pytest.raises(EiaUnreachableError, match="ReadTimeout"):
        download(server.on("/b", reply(hang=True)), limits=replace(limits, attempts=2))


def test_a_cut_answer_is_tried_again_and_never_handed_over(server, reply, limits) -> None:
    got = download(server.on("/a", reply(body=b"hal", cut=True), reply(body=b"whole")), limits=limits)
    assert isinstance(got, Download)
    assert got.content == b"whole"
    with pytest.raises(EiaUnreachableError, match="RemoteProtocolError"):
        download(server.on("/b", reply(body=b"hal", cut=True)), limits=limits)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"x" * 1001, {}, id="announced"),
        pytest.param(gzip.compress(b"x" * 1001), {"Content-Encoding": "gzip"}, id="after decompression"),
    ],
)
def test_an_oversize_answer_is_refused(server, reply, limits, body, headers) -> None:
    with pytest.raises(ReleaseTooLargeError, match="1,000 bytes"):
        download(server.on("/a", reply(body=body, headers=headers)), limits=replace(limits, max_bytes=1000))
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "deflate"])
def test_an_encoding_that_was_not_asked_for_is_not_decoded(server, reply, limits, encoding: str, status: int) -> None:
    body = gzip.compress(gzip.compress(bytes(100_000_000), 1))
    started = time.process_time()
    with pytest.raises(EiaResponseError, match=f"encoded as '{encoding}', only gzip was asked for"):
        download(server.on("/a", reply(status, body, headers={"Content-Encoding": encoding})), limits=limits)
    assert time.process_time() - started < 1.0


def test_a_redirect_on_the_same_host_is_followed(server, reply, limits) -> None:
    server.on("/b", reply(body=b"there"))
    got = download(server.on("/a", reply(302, headers={"Location": "/b"})), limits=limits)
    assert isinstance(got, Download)
    assert got.content == b"there"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("http://localhost:{port}/b", id="another host"),
        pytest.param("http://127.0.0.1:1/b", id="another port"),
        pytest.param("ftp://127.0.0.1/b", id="another scheme"),
        pytest.param("http://127.0.0.1.example.org/b", id="a host that begins alike"),
    ],
)
def test_a_redirect_elsewhere_is_refused(server, reply, limits, target: str) -> None:
    location = target.format(port=server.url.rpartition(":")[2])
    with pytest.raises(EiaResponseError, match="redirects to"):
        download(server.on("/a", reply(302, headers={"Location": location})), limits=limits)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("here", "there", "followed"),
    [
        ("https://www.eia.gov/a", "https://www.eia.gov/b", True),
        ("https://www.eia.gov/a", "https://eia.gov/a", True),
        ("https://eia.gov/a", "https://ir.eia.gov/a", True),
        ("http://www.eia.gov/a", "https://www.eia.gov/a", True),
        ("https://www.eia.gov/a", "http://www.eia.gov/a", False),
        ("https://www.eia.gov/a", "https://www.eia.gov:8443/a", False),
        ("https://www.eia.gov/a", "https://www.noteia.gov/a", False),
        ("https://www.eia.gov/a", "https://eia.gov.example.org/a", False),
    ],
)
def test_a_redirect_must_stay_on_https_with_the_same_organisation(here: str, there: str, followed: bool) -> None:
    assert may_follow(httpx.URL(here), httpx.URL(there)) is followed


def test_redirects_in_a_circle_end(server, reply, limits) -> None:
    with pytest.raises(EiaResponseError, match="more than 5 redirects"):
        download(server.on("/a", reply(301, headers={"Location": "/a"})), limits=limits)


def test_nobody_listening_is_unreachable(limits) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(EiaUnreachableError, match="ConnectError") as caught:
            download(f"http://127.0.0.1:{taken.getsockname()[1]}/a", limits=limits)
    assert caught.value.attempts == 3


def test_a_host_that_swallows_connections_is_left_within_the_offline_bound() -> None:
    """The queue of a listener that accepts nothing is filled, so a further connection is neither taken nor refused."""
    limits = Limits(connect_s=0.4, offline_s=0.6, backoff_s=0.01)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/a"
        started = time.monotonic()
        with pytest.raises(EiaUnreachableError, match="ConnectTimeout"):
            download(url, limits=limits)
        assert time.monotonic() - started < 1.0
        for one in waiting:
            one.close()


def test_a_slow_answer_leaves_the_next_attempt_its_time_to_connect(server, reply, limits) -> None:
    url = server.on("/a", reply(hang=True), reply(body=b"ok"))
    assert isinstance(download(url, limits=replace(limits, offline_s=0.1)), Download)


def test_a_machine_without_a_network_fails_within_fifteen_seconds_by_default() -> None:
    started = time.monotonic()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        with pytest.raises(EiaUnreachableError):
            download(url)
    assert time.monotonic() - started < LIMITS.offline_s == 15.0


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://h/v2/?a=1&api_key=S3CRET&b=2", "https://h/v2/?a=1&api_key=***&b=2"),
        ("https://user:S3CRET@h/file.csv", "https://***@h/file.csv"),
        ("https://h/f.csv?X-Amz-Signature=S3CRET&X-Amz-Date=1", "https://h/f.csv?X-Amz-Signature=***&X-Amz-Date=1"),
        ('{"params": {"api_key": "S3CRET", "n": 1}}', '{"params": {"api_key": "***", "n": 1}}'),
        ("key S3CRET is not known", "key *** is not known"),
        ("(b'Location', b'/x?api_key=S3CRET')", "(b'Location', b'/x?api_key=***')"),
    ],
)
def test_secrets_are_scrubbed(text: str, clean: str) -> None:
    assert scrub(text, secret="S3CRET") == clean


def test_the_http_libraries_log_no_key(server, reply, limits, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    url = server.on("/a", reply(302, headers={"Location": "/b?api_key=S3CRET"}), reply(503))
    server.on("/b", reply(503))
    with pytest.raises(EiaUnreachableError) as caught:
        download(url, params=[("api_key", "S3CRET")], limits=limits, secret="S3CRET")
    assert "HTTP Request: GET" in caplog.text
    assert "receive_response_headers" in caplog.text
    assert "S3CRET" not in caplog.text + str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "an empty answer"),
        (b"<html>sorry</html>", "an HTML page"),
        (b'{"error": "nope",\n "code": 404}', '{"error": "nope", "code": 404}'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"PK\x03\x04" + bytes(100), "no text but bytes that begin 50 4b 03 04 00 00 00 00"),
    ],
    ids=["empty", "html", "json", "not UTF-8", "not text"],
)
def test_an_unexpected_answer_is_described(body: bytes, said: str) -> None:
    assert describe(body) == said
