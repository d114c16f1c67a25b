"""A service that takes messages over HTTP, as a test wants it: up, down, or refusing."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """Takes what Apprise posts to `json://`.

    Attributes:
        taken: The messages, as `title` and `message`.
        status: What it answers from now on.
    """

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._server: ThreadingHTTPServer | None = None
        self.up()

    def url(self, secret: str = "") -> str:
        """Its address, as Apprise writes them."""
        return f"json://{secret}127.0.0.1:{self._port}/"

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.taken]

    def up(self) -> None:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.asked += 1
                if hook.status == 200:
                    hook.taken.append(body)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None
