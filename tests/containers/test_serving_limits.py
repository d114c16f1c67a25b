"""How much and how long the endpoint lets a client take, on a real server whose clocks run faster."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.served import ROOT, Endpoint, free_port, save, small_artifact, start, until_healthy

FAST = {"HEAD_S": 0.4, "BODY_S": 0.8, "ANSWER_S": 0.5, "KEEP_ALIVE_S": 2, "CONNECTIONS": 20}
"""Longer than a loaded machine needs for one request."""
POST = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"


def start_fast(root: Path) -> Endpoint:
    """The serving process with other limits; everything else is as it is served."""
    port = free_port()
    set_limits = "; ".join(f"limits.{name} = {value!r}" for name, value in FAST.items())
    code = (
        f"import os, sys; from containers.serving import limits; {set_limits}; "
        "from containers.serving.__main__ import main; sys.exit(main(['serve'], os.environ))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={"SM_ML_ROOT": str(root), "SAGEMAKER_BIND_TO_PORT": str(port), "PATH": ""},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Endpoint(port, process)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    running = start_fast(save(tmp_path_factory.mktemp("limits") / "ml", small_artifact()))
    until_healthy(running)
    yield running
    running.process.terminate()
    _, err = running.process.communicate(timeout=30)
    assert running.process.returncode == 0
    assert "Traceback" not in err, err


def connected(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), timeout=10)


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the server closes; it times out if the server never does."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def dropped_within(seconds: float, connection: socket.socket, request: bytes) -> bool:
    """Whether the server cuts a connection on which requests are sent and nothing is read."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection.send(request)
        except BlockingIOError:
            time.sleep(0.01)
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


def status_of_next(connection: socket.socket) -> int:
    """Reads one answer whole."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and error of an answer that is the only one on its connection, and the last."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer
    assert b"connection: close" in head.lower()
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(b"", "the head of the request did not come within 0.4 s", id="nothing"),
        pytest.param(b"\r\n", "the head of the request did not come within 0.4 s", id="an empty line"),
        pytest.param(b"POST /invo", "the head of the request did not come within 0.4 s", id="half a line"),
        pytest.param(POST, "the head of the request did not come within 0.4 s", id="half a head"),
        pytest.param(POST + b"Content-Length: 9\r\n\r\n{", "the body did not come within 0.8 s", id="half a body"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "the body did not come within 0.8 s", id="a chunk"
        ),
    ],
)
def test_a_request_that_never_ends_is_told_so_and_let_go(endpoint: Endpoint, sent: bytes, said: str) -> None:
    with connected(endpoint) as connection:
        connection.sendall(sent)
        assert refusal(until_closed(connection)) == (408, said)


@pytest.mark.parametrize(
    ("start", "drop", "status"),
    [
        pytest.param(b"", b"\r\n", 408, id="empty lines"),
        pytest.param(POST, b"X-Slow: 1\r\n", 408, id="headers"),
        pytest.param(POST + b"Content-Length: 100000\r\n\r\n", b" ", 408, id="body"),
    ],
)
def test_a_drop_now_and_then_wins_no_time(endpoint: Endpoint, start: bytes, drop: bytes, status: int) -> None:
    began = time.monotonic()
    with connected(endpoint) as connection:
        connection.sendall(start)
        connection.settimeout(0.05)
        answer = b""
        while not answer:
            assert time.monotonic() - began < 8
            try:
                connection.sendall(drop)
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert int(answer.split()[1]) == status


@pytest.mark.parametrize("between", [b"", b"\r\n", b"GET /pi"], ids=["nothing", "an empty line", "half a line"])
def test_a_kept_connection_is_not_kept_for_ever(endpoint: Endpoint, between: bytes) -> None:
    with connected(endpoint) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 200")
        connection.sendall(between)
        rest = until_closed(connection)
        assert rest == b"" if between == b"" else refusal(rest)[0] == 408


def test_what_is_left_of_a_refused_body_has_its_time_too(endpoint: Endpoint) -> None:
    with connected(endpoint) as connection:
        connection.sendall(POST + b"Content-Type: text/csv\r\nContent-Length: 100000\r\n\r\n1,2")
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 415")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_refused_body_that_ends_leaves_the_connection_usable(endpoint: Endpoint) -> None:
    with connected(endpoint) as connection:
        connection.sendall(POST + b"Content-Type: text/csv\r\nContent-Length: 100000\r\n\r\n")
        assert status_of_next(connection) == 415
        connection.sendall(b"x" * 100_000)
        time.sleep(0.5)  # longer than a head may take
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status_of_next(connection) == 200


def test_an_endless_head_is_refused(endpoint: Endpoint) -> None:
    with connected(endpoint) as connection:
        connection.sendall(POST + b"X-Long: " + b"x" * 60_000)
        time.sleep(0.1)
        connection.sendall(b"x" * 10_000)
        assert refusal(until_closed(connection)) == (431, "the head of the request is larger than 65536 bytes")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET /p\xffng HTTP/1.1\r\n\r\n",
        b"* * *\r\n\r\n",
    ],
    ids=["TLS", "words", "bytes in the path", "asterisks"],
)
def test_what_is_not_http_is_refused(endpoint: Endpoint, sent: bytes) -> None:
    with connected(endpoint) as connection:
        connection.sendall(sent)
        assert refusal(until_closed(connection)) == (400, "this is not a request of HTTP/1.1")


def test_an_answer_that_nobody_fetches_is_dropped(endpoint: Endpoint) -> None:
    body = json.dumps({"periods": 104, "levels": [50, 60, 70, 80, 85, 90, 95, 97.5, 99, 99.9]}).encode()
    ask = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # little is taken off the server's hands
        connection.settimeout(10)
        connection.connect(("127.0.0.1", endpoint.port))
        connection.setblocking(False)
        assert dropped_within(10, connection, ask)


def test_beyond_so_many_connections_the_answer_is_503_until_some_are_closed(endpoint: Endpoint) -> None:
    with ExitStack() as held:
        for _ in range(FAST["CONNECTIONS"] - 1):
            held.enter_context(connected(endpoint))
        answer = endpoint.ask("GET", "/ping")
        assert (answer.status, answer.body) == (503, b"Service Unavailable")
    until_healthy_again = time.monotonic() + 10
    while endpoint.ask("GET", "/ping").status != 200:
        assert time.monotonic() < until_healthy_again
    assert endpoint.invoke({"periods": 1}).status == 200


def test_slow_clients_do_not_keep_others_waiting(endpoint: Endpoint) -> None:
    with ExitStack() as held:
        for _ in range(10):
            held.enter_context(connected(endpoint)).sendall(POST + b"Content-Length: 9\r\n\r\n{")
        began = time.monotonic()
        assert endpoint.invoke({"periods": 1}).status == 200
        assert time.monotonic() - began < FAST["BODY_S"]


def test_a_client_that_leaves_in_the_middle_leaves_no_traceback(endpoint: Endpoint) -> None:
    with connected(endpoint) as connection:
        connection.sendall(POST + b"Content-Length: 9\r\n\r\n{")
    assert endpoint.ask("GET", "/ping").status == 200  # that nothing was logged is seen at the end of the fixture


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="listening sockets are read from /proc")
def test_the_endpoint_listens_on_loopback_alone_unless_told(tmp_path: Path) -> None:
    running = start(save(tmp_path / "one", small_artifact()))
    told = start(save(tmp_path / "two", small_artifact()), SM_BIND_HOST="0.0.0.0")
    for server, address in ((running, "0100007F"), (told, "00000000")):
        until_healthy(server)
        lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
        assert [line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{server.port:04X}")] == [
            f"{address}:{server.port:04X}"
        ]
        server.process.terminate()
        server.process.communicate(timeout=30)
