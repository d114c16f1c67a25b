"""Whom alerts reach: an HTTP server that an Apprise channel `json://` posts to, and that may be down for a while."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Message:
    """An alert as it came.

    Attributes:
        at: Monotonic seconds.
        title: Its title.
        text: Its body.
        kind: `failure`, `warning`, `success` or `info`, as Apprise calls it.
    """

    at: float
    title: str
    text: str
    kind: str

    @property
    def week(self) -> str:
        """The week it is about; empty where it is about none."""
        found = re.search(r"^Week: (\S+)$", self.text, re.MULTILINE)
        return found[1] if found else ""


class Inbox:
    """What came, and what was turned away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: list[Message] = []
        self._refused: list[Message] = []
        self._down = False
        self.url = ""

    def break_down(self) -> None:
        """Answer 500 from now on."""
        self._down = True

    def recover(self) -> None:
        self._down = False

    @property
    def messages(self) -> list[Message]:
        with self._lock:
            return list(self._messages)

    @property
    def refused(self) -> list[Message]:
        """What was answered with 500."""
        with self._lock:
            return list(self._refused)

    def take(self, content: dict[str, Any]) -> int:
        message = Message(
            time.monotonic(), str(content.get("title", "")), str(content.get("message", "")), str(content.get("type"))
        )
        with self._lock:
            (self._refused if self._down else self._messages).append(message)
        return 500 if self._down else 200


class _Handler(BaseHTTPRequestHandler):
    inbox: Inbox

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.inbox.take(content))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Inbox]:
    """The receiver, while the block runs."""
    inbox = Inbox()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"inbox": inbox}))
    http.daemon_threads = True
    inbox.url = f"json://127.0.0.1:{http.server_address[1]}/"
    thread = threading.Thread(target=http.serve_forever, args=(0.1,))
    thread.start()
    try:
        yield inbox
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
