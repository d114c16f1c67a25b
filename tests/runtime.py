"""SageMaker's runtime as a test scripts it: what InvokeEndpoint answers next, over HTTP, and what it was sent."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT = "123456789012"
SECRET_NAMES = (ACCOUNT, "arn:aws", "petroleum-endpoint", "Traceback", "botocore", "InvokeEndpoint")
"""What no caller may read."""


@dataclass
class Reply:
    """One answer of the runtime; `cut` closes the connection instead, after `wait_s`."""

    status: int = 200
    body: bytes = b"[]"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    wait_s: float = 0
    cut: bool = False


def failing(code: str, status: int, message: str = "", **fields: Any) -> Reply:
    """An error as SageMaker sends one, its message full of what is nobody's business."""
    said = message or f"Endpoint petroleum-endpoint of account {ACCOUNT} arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint"
    body = json.dumps({"message": said, "Message": said, **fields}).encode()
    return Reply(status, body, {"Content-Type": "application/json", "x-amzn-errortype": code})


def model_error(status: int, message: str) -> Reply:
    """An error of the model behind the endpoint."""
    return failing("ModelError", 424, OriginalStatusCode=status, OriginalMessage=message, LogStreamArn="arn:aws:logs")


class Runtime(ThreadingHTTPServer):
    """Answers what it is told, and good answers from then on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = []
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller who did not wait is no error here."""

    def script(self, *replies: Reply) -> None:
        self.replies, self.seen = list(replies), []


class _Handler(BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        reply = self.server.replies.pop(0) if self.server.replies else Reply()
        time.sleep(reply.wait_s)
        if reply.cut:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def runtime() -> Iterator[Runtime]:
    with Runtime() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
