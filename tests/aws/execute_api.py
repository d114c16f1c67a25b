"""The host of the REST API: TLS, a key and a Lambda function, where no name server leads to `execute-api`.

Whoever asks goes through a proxy, as the environment says, and the proxy is that host: it looks the key up in the
account and calls the handler of the image, on this machine's SageMaker. `test_api_stack` has the function run by
MiniStack, behind its own API Gateway.
"""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from containers.gateway.handler import Handler

REGION = "us-east-1"
HOSTS = f"*.execute-api.{REGION}.amazonaws.com"


class _Tunnel(BaseHTTPRequestHandler):
    """CONNECT, then the one request that comes through it."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_CONNECT(self) -> None:
        api, _, domain = self.path.partition(":")[0].partition(".")
        if f"*.{domain}" != HOSTS:
            self.send_error(403, f"only {HOSTS} is answered for")
            return
        self.send_response(200)
        self.end_headers()
        with self.server.tls.wrap_socket(self.connection, server_side=True) as inside:
            self.rfile, self.wfile = inside.makefile("rb"), inside.makefile("wb")
            line = self.rfile.readline()
            method, path, _ = line.decode().split(" ", 2)
            headers = {}
            while field := self.rfile.readline().strip():
                name, _, value = field.decode().partition(":")
                headers[name.strip().lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            answer = self.server.answer(api, method, path, headers, body.decode())
            content = answer["body"].encode()
            told = {"Content-Length": str(len(content)), "Connection": "close"} | answer.get("headers", {})
            head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
            self.wfile.write(f"HTTP/1.1 {answer['statusCode']} said\r\n{head}\r\n".encode() + content)
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, gateway: Any, handler: Handler) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.tls, self._gateway, self._handler = tls, gateway, handler

    def answer(self, api: str, method: str, path: str, headers: Mapping[str, str], body: str) -> dict[str, Any]:
        """What API Gateway would."""
        known = {each["id"] for each in self._gateway.get_rest_apis()["items"]}
        keys = {each["value"] for each in self._gateway.get_api_keys(includeValues=True)["items"]}
        if api not in known or headers.get("x-api-key") not in keys:
            return {"statusCode": 403, "body": json.dumps({"message": "Forbidden"})}
        event = {"httpMethod": method, "path": path, "headers": dict(headers), "body": body, "requestContext": {}}
        return self._handler(event)


@contextmanager
def execute_api(folder: Path, gateway: Any, runtime: Any, endpoint: str) -> Iterator[dict[str, str]]:
    """That host while the block runs.

    Args:
        folder: For its certificate.
        gateway: boto3 client of API Gateway.
        runtime: boto3 client of SageMaker's runtime.
        endpoint: Behind the function.

    Yields:
        The environment in which an HTTP client reaches it.
    """
    certificate = _certificate(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with _Server(tls, gateway, Handler(runtime, endpoint, log=lambda _: None)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield {"HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}", "SSL_CERT_FILE": str(certificate)}
        server.shutdown()
        thread.join()


def _certificate(folder: Path) -> Path:
    """A certificate of the host that is its own authority, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "execute-api of the tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOSTS)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "execute-api.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
