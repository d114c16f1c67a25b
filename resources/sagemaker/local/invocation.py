"""InvokeEndpoint: a request passed on to the process that serves the endpoint now."""

import fcntl
import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from resources.sagemaker.local.deployment import BUSY
from resources.sagemaker.local.serving import LIVE
from resources.sagemaker.local.store import ACCOUNT, ENDPOINT, REGION, Store, Wire, get_json
from resources.sagemaker.local.wire import AwsError, Response

LIMIT_S = 60.0
"""How long a container may take to answer."""
_RESTART_S = 2.0
_SERVING = frozenset({"InService", "Updating"})
_PASSED_ON = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes", "x-amzn-sagemaker-inference-id")
_PASSED_BACK = ("Content-Type", "X-Amzn-SageMaker-Custom-Attributes")


def live_port(root: Path, name: str) -> int | None:
    """The port of the process that serves an endpoint now, on 127.0.0.1, or None where none does."""
    store = Store(root)
    record = store.read(ENDPOINT, name)
    if record is None or record["EndpointStatus"] not in _SERVING:
        return None
    live = get_json(store.folder(ENDPOINT, name) / LIVE)
    return None if live is None else int(live["port"])


def invoke(store: Store, name: str, body: bytes, headers: Mapping[str, str]) -> Response:
    """Send a request to an endpoint's container and give its answer.

    Args:
        store: Where the endpoint is.
        name: The endpoint.
        body: Body of the request.
        headers: Its headers, names in lower case.

    Raises:
        AwsError: ``ValidationError`` (no such endpoint in service), ``413``, ``ModelError`` (the container answered
            with an error or not in 60 s) or ``ServiceUnavailable`` (it is being started again).
    """
    home = store.folder(ENDPOINT, name)
    end = time.monotonic() + _RESTART_S
    while True:
        record = store.read(ENDPOINT, name)
        if record is None or record["EndpointStatus"] not in _SERVING:
            raise AwsError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        with _admitted(home) as live:
            connection = _connected(live) if live is not None else None
            if live is not None and connection is not None:
                if len(body) > live["body_bytes"]:
                    connection.close()
                    raise AwsError("413", f"HTTP content length exceeded {live['body_bytes']} bytes.", 413)
                return _exchange(connection, name, live["variant"], body, headers)
        if time.monotonic() > end:
            raise AwsError("ServiceUnavailable", f"Endpoint {name} is being started again; try later.", 503)
        time.sleep(0.01)


@contextmanager
def _admitted(home: Path) -> Iterator[Wire | None]:
    """The live deployment, which stays for as long as this is held; None where it changes at this moment."""
    live = get_json(home / LIVE)
    if live is None:
        yield None
        return
    try:
        busy = (home / str(live["generation"]) / BUSY).open()
    except FileNotFoundError:
        yield None
        return
    with busy:
        try:
            fcntl.flock(busy, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Read again: with the lock held, whoever replaces this deployment from now on waits for us.
        yield live if get_json(home / LIVE) == live else None


def _connected(live: Wire) -> http.client.HTTPConnection | None:
    connection = http.client.HTTPConnection("127.0.0.1", live["port"], timeout=LIMIT_S)
    try:
        connection.connect()
    except ConnectionError:  # it died: nothing was sent, so its successor can be asked
        return None
    return connection


def _exchange(
    connection: http.client.HTTPConnection, name: str, variant: str, body: bytes, headers: Mapping[str, str]
) -> Response:
    passed_on = {key: headers[key] for key in _PASSED_ON if key in headers}
    try:
        connection.request("POST", "/invocations", body, passed_on | {"Connection": "close"})
        answer = connection.getresponse()
        payload = answer.read()
    except TimeoutError as error:
        raise _model_error(
            name,
            variant,
            0,
            "Your invocation timed out while waiting for a response from container primary. Review the latency "
            "metrics for each container in Amazon CloudWatch, resolve the issue, and try again.",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _model_error(name, variant, 0, f"The container closed the connection: {error}") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise _model_error(name, variant, answer.status, payload[:1024].decode(errors="replace"))
    passed_back = {key: value for key in _PASSED_BACK if (value := answer.getheader(key)) is not None}
    return 200, {"x-Amzn-Invoked-Production-Variant": variant} | passed_back, payload


def _model_error(name: str, variant: str, status: int, message: str) -> AwsError:
    side = "client" if 400 <= status < 500 else "server"
    group = f"/aws/sagemaker/Endpoints/{name}"
    return AwsError(
        "ModelError",
        f'Received {side} error ({status}) from primary with message "{message}". See the log group {group} in '
        f"account {ACCOUNT} for more information.",
        424,
        {
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:{variant}",
        },
    )
