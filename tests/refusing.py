"""An AWS on loopback that refuses whatever it is asked, in the words and the format of the service."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Refusal(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # boto3 waits for a word before it sends a body
    code, status = "", 0

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said, kind = f"the service says {self.code}", "application/xml"
        if "X-Amz-Target" in self.headers:  # SageMaker, Glue
            body, kind = f'{{"__type": "{self.code}", "message": "{said}"}}', "application/x-amz-json-1.1"
        elif self.command == "POST":  # STS
            error = f"<Error><Type>Sender</Type><Code>{self.code}</Code><Message>{said}</Message></Error>"
            body = f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{error}</ErrorResponse>'
        else:
            body = f"<Error><Code>{self.code}</Code><Message>{said}</Message></Error>"
        self.send_response(self.status)
        self.send_header("Content-Type", kind)
        self.send_header("x-amz-bucket-region", "eu-west-1")
        content = b"" if self.command == "HEAD" else body.encode()  # what S3 leaves out of its answers to HEAD
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815 - as http.server calls them

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def refusing(code: str, status: int) -> Iterator[str]:
    """The URL of such a server while the block runs."""
    handler = type("Handler", (_Refusal,), {"code": code, "status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()
