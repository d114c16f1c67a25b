"""The twin over HTTP, for the AWS command line and everything else that can be given an endpoint URL.

``python -m resources.sagemaker.local.http --root ROOT --port N`` prints the URL and serves until it is ended. Jobs and
endpoints do not depend on it.

With ``--objects s3`` they read and write S3 itself rather than folders, with the credentials and at the address
(``AWS_ENDPOINT_URL_S3``) of the server's environment; the root stays so. ``--images TEMPLATE`` runs this project's own
entry points for its images, whose URIs the template gives with ``{image}``; ``--image URI WHAT COMMAND``, as often as
wanted, names the command of any other image.
"""

import argparse
import logging
import shlex
import socket
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from resources.sagemaker.local.clients import register_image, register_own_images
from resources.sagemaker.local.objects import SettledError, keep_in_s3
from resources.sagemaker.local.operations import LocalSageMaker
from resources.sagemaker.local.wire import Operations, handle, service_model

HOST = "127.0.0.1"
BODY_LIMIT_BYTES = 8 * 2**20
"""SageMaker takes 6 MB at most, of an invocation."""
READ_S = 60.0
"""Between two pieces of a request; the connection is closed then."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = READ_S
    server: "LocalServer"

    def setup(self) -> None:
        super().setup()
        # Without it every request on a kept connection waits 40 ms for the acknowledgement of the one before.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        refused = self._refused()
        if refused:
            self.close_connection = True  # what follows is not read
            self.send_error(refused)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(urlsplit(self.path).path)
        try:
            status, headers, payload = handle(self.server.operations, "POST", path, dict(self.headers), body)
        except Exception:
            logging.getLogger(__name__).exception("%s failed", self.headers.get("X-Amz-Target", path))
            self.send_error(500, "InternalFailure")
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _refused(self) -> int | None:
        """The status of a request whose body is not to be read; None of one that is."""
        # A page in a browser can give a name of its own this address, and would then speak to what runs commands here.
        if self.headers.get("Host", HOST).partition(":")[0] not in {HOST, "localhost"}:
            return 421
        length = self.headers.get("Content-Length")
        if length is None:
            return 411
        if not (length.isascii() and length.isdigit()):
            return 400
        return 413 if int(length[:20]) > BODY_LIMIT_BYTES else None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Say nothing: a poller asks many times a second."""


class LocalServer(ThreadingHTTPServer):
    """Serves the operations on this machine's loopback address; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, operations: Operations, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.operations = operations

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_address[1]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="SageMaker on this machine.")
    parser.add_argument("--root", type=Path, required=True, help="folder that holds its state")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--objects", choices=["s3"], help="read and write S3 itself; without it what the root has")
    parser.add_argument("--images", metavar="TEMPLATE", help="URI of this project's images, with {image} for the name")
    parser.add_argument(
        "--image",
        nargs=3,
        action="append",
        default=[],
        metavar=("URI", "WHAT", "COMMAND"),
        help="what an image is started with to train, process or serve",
    )
    options = parser.parse_args(arguments)
    if options.objects:
        try:
            keep_in_s3(options.root)
        except SettledError as error:
            parser.error(str(error))
    if options.images:
        register_own_images(options.root, options.images)
    for uri, what, command in options.image:
        register_image(options.root, uri, {what: shlex.split(command)})
    with LocalServer(LocalSageMaker(options.root), options.port) as server:
        for service in ("sagemaker", "logs"):
            service_model(service)
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
