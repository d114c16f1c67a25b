"""Unchanged boto3 clients that are answered by this machine, and the commands that stand for images."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import unquote, urlsplit

from resources.sagemaker.local.invocation import live_port
from resources.sagemaker.local.operations import LocalSageMaker
from resources.sagemaker.local.store import REGION, exclusive, get_json, put_json
from resources.sagemaker.local.wire import handle

if TYPE_CHECKING:
    from boto3.session import Session
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

SERVICES = frozenset({"sagemaker", "sagemaker-runtime", "logs"})

_VERBS = {"processing": "process", "training": "train", "serving": "serve"}
"""The word by which SageMaker starts an image."""

_ANYONE = "local"
_CREATION = Lock()
"""Sessions may not create clients in two threads at once."""


class _Raw:
    """The body of an answer, as botocore reads one from a socket."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> "list[bytes]":
        return [self.read()]

    def read(self, *_: object, **__: object) -> bytes:
        body, self._body = self._body, b""
        return body


@overload
def local_client(service: Literal["sagemaker"], root: Path) -> "SageMakerClient": ...
@overload
def local_client(service: Literal["sagemaker-runtime"], root: Path) -> "SageMakerRuntimeClient": ...
@overload
def local_client(service: Literal["logs"], root: Path) -> "CloudWatchLogsClient": ...
def local_client(
    service: Literal["sagemaker", "sagemaker-runtime", "logs"], root: Path
) -> "SageMakerClient | SageMakerRuntimeClient | CloudWatchLogsClient":
    """A boto3 client of ``sagemaker``, ``sagemaker-runtime`` or ``logs`` that never opens a socket to AWS.

    Its waiters, paginators, exceptions and parsing are botocore's own; only the sending is replaced, through the
    ``before-send`` event.

    Args:
        service: Name of the service, as boto3 names it.
        root: Folder that holds this machine's SageMaker; made where it is missing.

    Raises:
        ValueError: A service that this machine does not answer for.
    """
    if service not in SERVICES:
        raise ValueError(f"no local {service!r}; there are {', '.join(sorted(SERVICES))}")
    with _CREATION:
        client: Any = _session().client(service)
    client.meta.events.register(f"before-send.{service}", _sender(LocalSageMaker(root)))
    return client  # type: ignore[no-any-return]


@cache
def _session() -> "Session":
    """One session for all clients: it keeps the models of the services, which take 0.1 s to load.

    Nothing is sent, so nobody reads the signature, and the credentials of the user are not looked for.
    """
    import boto3

    return boto3.session.Session(region_name=REGION, aws_access_key_id=_ANYONE, aws_secret_access_key=_ANYONE)


def _sender(operations: LocalSageMaker) -> "Callable[..., AWSResponse]":
    from botocore.awsrequest import AWSResponse
    from botocore.compat import HTTPHeaders

    def send(request: "AWSPreparedRequest", **_: object) -> "AWSResponse":
        headers = {k: _text(v) for k, v in request.headers.items()}
        body: Any = request.body or b""  # a file where the caller passed one
        content = body.read() if hasattr(body, "read") else body
        content = content.encode() if isinstance(content, str) else bytes(content)
        path = unquote(urlsplit(request.url).path)
        status, answered, payload = handle(operations, request.method, path, headers, content)
        return AWSResponse(request.url, status, HTTPHeaders.from_pairs(answered.items()), _Raw(payload))

    return send


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def register_image(root: Path, image_uri: str, commands: Mapping[str, Sequence[str]]) -> None:
    """Say which commands stand for an image on this machine.

    Args:
        root: Folder that holds this machine's SageMaker; made where it is missing.
        image_uri: The image, as requests name it.
        commands: Argument lists by what the container is started for: ``process``, ``train``, ``serve``. A request's
            ``ContainerEntrypoint`` replaces them, its ``ContainerArguments`` are appended. Those of another use that
            the image has already stay.
    """
    root.mkdir(parents=True, exist_ok=True)
    images = root / "images.json"
    with exclusive(root / "images.lock"):
        known = get_json(images) or {}
        wanted = known | {image_uri: known.get(image_uri, {}) | {what: list(a) for what, a in commands.items()}}
        if wanted != known:  # reading from a full disk, or one that cannot be written, needs no writing
            put_json(images, wanted)


def register_own_images(root: Path, template: str) -> None:
    """Have the entry points of `containers` stand for their images.

    Args:
        root: Folder that holds this machine's SageMaker.
        template: URI of an image, with ``{image}`` for its name.
    """
    from containers.images import COMMANDS

    for name, verb in _VERBS.items():
        register_image(root, template.replace("{image}", name), {verb: [sys.executable, *COMMANDS[name]]})


def endpoint_url(root: Path, name: str) -> str | None:
    """The address of the process that serves an endpoint now, or None where none does.

    It changes with every update of the endpoint: requests sent to it directly are not waited for by an update, those
    through InvokeEndpoint are.
    """
    port = live_port(root, name)
    return None if port is None else f"http://127.0.0.1:{port}"
