"""EIA as an HTTP server: it publishes by the platform's own clock, and answers as badly as it is told to."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from resources.clock import Clock
from tests.year.figures import etag_of

HANG_S = 40.0  # longer than any client waits for a byte


@dataclass(frozen=True)
class Publication:
    """Bytes that are to be had from a time on."""

    since: datetime
    content: bytes
    what: str


@dataclass(frozen=True)
class Answered:
    """One answer.

    Attributes:
        now: The platform's time.
        status: Of HTTP; 0 where none was given.
        what: Which publication, or which mischief.
    """

    now: datetime
    status: int
    what: str


class Source:
    """The release server.

    Args:
        clock: The platform's: what is published is a matter of its time.
    """

    def __init__(self, clock: Clock, path: str) -> None:
        self._clock, self._path = clock, path
        self._lock = threading.Lock()
        self._publications: list[Publication] = []
        self._mischief: list[str] = []
        self._after = ""
        self._answered: list[Answered] = []
        self.stopping = threading.Event()
        self.url = ""

    def publish(self, *publications: Publication) -> None:
        with self._lock:
            self._publications = sorted([*self._publications, *publications], key=lambda each: each.since)

    def misbehave(self, kind: str, times: int, *, after: str = "") -> None:
        """Answer so many requests with a 5xx status, or not at all; if told, after a publication was handed out."""
        with self._lock:
            self._mischief, self._after = [kind] * times, after

    def behave(self) -> None:
        with self._lock:
            self._mischief = []

    def seen(self, since: int = 0) -> list[Answered]:
        """What was answered, from a position on."""
        with self._lock:
            return self._answered[since:]

    @property
    def position(self) -> int:
        with self._lock:
            return len(self._answered)

    def counted(self, since: int = 0) -> dict[str, int]:
        """How often each was answered: `{"200 week 2023-11-10": 2, "304 week 2023-11-10": 40, "503 5xx": 3}`."""
        return dict(Counter(f"{each.status} {each.what}" for each in self.seen(since)))

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def answer(self, path: str, etag: str | None) -> tuple[int, bytes, str | None]:
        """Status, body and ETag; status 0 for no answer at all."""
        now = self._clock.now()
        with self._lock:
            mischief = self._mischief.pop(0) if self._mischief and not self._after else ""
            current = next((each for each in reversed(self._publications) if each.since <= now), None)
            status, body, tag, what = 404, b"", None, path
            if mischief == "hang":
                status, what = 0, "hang"
            elif mischief:
                status, what = 503, mischief
            elif path == self._path and current is not None:
                tag, what = etag_of(current.content), current.what
                status, body = (304, b"") if etag == tag else (200, current.content)
                if (status, what) == (200, self._after):
                    self._after = ""
            self._answered.append(Answered(now, status, what))
        return status, body, tag


class _Handler(BaseHTTPRequestHandler):
    source: Source

    def do_GET(self) -> None:
        status, body, tag = self.source.answer(self.path, self.headers.get("If-None-Match"))
        if not status:
            self.source.stopping.wait(HANG_S)
            self.close_connection = True
            return
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # a client that was killed, or has waited long enough


@contextmanager
def publishing(clock: Clock, series: str) -> Iterator[Source]:
    """The release server, while the block runs."""
    source = Source(clock, f"/{series}w.xls")
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"source": source}))
    http.daemon_threads = True
    source.url = f"http://127.0.0.1:{http.server_address[1]}/{series}w.xls"
    thread = threading.Thread(target=http.serve_forever, args=(0.1,))
    thread.start()
    try:
        yield source
    finally:
        source.stopping.set()
        http.shutdown()
        thread.join()
        http.server_close()
