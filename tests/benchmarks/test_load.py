"""The load generator, against a server that is slow, wrong or gone."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import load


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # all connections of the generator are opened at once


@contextmanager
def serving(answer: Callable[[bytes], tuple[int, bytes] | None]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answered = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.close_connection = answered is None
            if answered is not None:
                status, body = answered
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


QUESTIONS = [load.question({"periods": number}) for number in range(100)]


def test_latency_counts_from_when_a_question_was_due() -> None:
    one_at_a_time = threading.Lock()

    def slow(body: bytes) -> tuple[int, bytes]:
        with one_at_a_time:
            time.sleep(0.02)
        return 200, body

    due_s = [number / 200 for number in range(30)]
    with serving(slow) as port:
        result = load.open_loop(port, QUESTIONS, due_s)
    # The last of 30 is due after 0.145 s and answered after 0.6 s: a generator that waited for answers would say 0.02.
    assert 0.4 < max(result.latencies_s) < 3
    assert (len(result.latencies_s), len(result.lateness_s), result.errors) == (30, 30, 0)
    assert result.bodies[7] == b'{"periods": 7}'


def test_all_clients_ask_before_anybody_is_answered_and_go_on_until_time_is_up() -> None:
    asked = threading.Event()
    everybody = threading.Barrier(load.CONNECTIONS, action=asked.set)

    def together(body: bytes) -> tuple[int, bytes]:
        if not asked.is_set():
            everybody.wait(timeout=30)
        return 200, body

    with serving(together) as port:
        result = load.closed_loop(port, QUESTIONS, seconds=0.3)
    assert result.errors == 0
    assert len(result.latencies_s) > load.CONNECTIONS
    assert 0 < result.generator_share <= 1
    assert result.answered_per_s == pytest.approx(len(result.latencies_s) / result.seconds)


def test_other_statuses_and_changing_answers_are_errors() -> None:
    answers = itertools.count()
    with serving(lambda _body: (500, b"no")) as port:
        assert load.open_loop(port, QUESTIONS, [0.0, 0.0, 0.0]).errors == 3
    with serving(lambda _body: (200, str(next(answers)).encode())) as port:
        result = load.closed_loop(port, QUESTIONS[:1], seconds=0.05)
    assert result.errors == len(result.latencies_s) - 1


def test_answers_that_never_come_are_errors() -> None:
    with serving(lambda _body: None) as port:
        result = load.open_loop(port, QUESTIONS, [0.0] * 60)
    assert result.errors == 60
    assert result.latencies_s == []
