"""A scripted HTTP server on loopback, in the place of EIA's."""

import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Seen:
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class Server:
    """Answers each path from its script, the last reply again and again; anything else is 404."""

    def __init__(self, http: ThreadingHTTPServer, *, scheme: str = "http") -> None:
        self.url = f"{scheme}://127.0.0.1:{http.server_address[1]}"
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self._scripts: dict[str, list[Reply | Callable[[Seen], Reply]]] = defaultdict(list)

    def on(self, path: str, *replies: Reply | Callable[[Seen], Reply]) -> str:
        self._scripts[path].extend(replies)
        return self.url + path

    def forget(self) -> None:
        """Drop every script and what was seen."""
        self.seen.clear()
        self._scripts.clear()

    def reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        script = self._scripts[seen.path]
        if not script:
            return Reply(404, b"<html><title>404 - File not found</title></html>")
        step = script.pop(0) if len(script) > 1 else script[0]
        return step if isinstance(step, Reply) else step(seen)


class _Handler(BaseHTTPRequestHandler):
    script: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.script.reply(Seen(parts.path, parse_qs(parts.query), headers))
        if reply.hang:
            self.script.stopping.wait(10)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body) + (100 if reply.cut else 0)))
        self.end_headers()
        if reply.status != 304:
            self.wfile.write(reply.body)

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client had seen enough


@contextmanager
def serving(*, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that runs while the block does; with `tls` it speaks https."""
    handler = type("Handler", (_Handler,), {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that turns away is what tests are about
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    handler.script = Server(http, scheme="https" if tls else "http")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield handler.script
    finally:
        handler.script.stopping.set()
        http.shutdown()
        thread.join()
        http.server_close()
