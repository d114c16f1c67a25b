"""What API Gateway does before and after it calls the function, as an ASGI application.

Its answers are API Gateway's: 403 `Missing Authentication Token` for whatever is not the method, 403 `Forbidden`
without the key, 429 beyond rate or quota, 413 beyond 10 MB, 504 after 29 s, 502 where the function raised.
"""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from containers.gateway.invocation import API_GATEWAY_S
from containers.serving.limits import BODY_S
from resources.api.gateway.limits import MonthlyQuota, TokenBucket
from resources.api.gateway.state import CONFIG, KEY, PROBE, USAGE, Watched, matches

HOSTS = frozenset({"127.0.0.1", "localhost"})
BODY_LIMIT_BYTES = 10 * 1024 * 1024
AT_ONCE = 64
"""Requests that the function answers at once; others wait."""

Function = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class StoppedError(Exception):
    """The request ends here.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gateway:
    """The API of one folder.

    Args:
        home: The folder.
        function: Answers proxy events.
        limit_s: How long it may take.
        clock: Seconds, from any origin.
        now: The time.
    """

    def __init__(
        self,
        home: Path,
        function: Function,
        *,
        limit_s: float = API_GATEWAY_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._function, self._limit_s, self._clock = function, limit_s, clock
        self._config, self._key, self._probe = (Watched(home / name) for name in (CONFIG, KEY, PROBE))
        self._quota = MonthlyQuota(home / USAGE, now)
        self._bucket: tuple[object, TokenBucket] | None = None
        self._workers = ThreadPoolExecutor(AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request, number = Request(scope, receive), str(uuid.uuid4())
        try:
            config = self._admit(request)
            answer = await self._call(await self._event(request, config, number))
        except StoppedError as stopped:
            body = json.dumps({"message": str(stopped)}).encode()
            answer = Response(body, stopped.status, media_type="application/json")
            if stopped.status in {408, 413}:  # what is left of such a body is not read
                answer.headers["Connection"] = "close"
        except ClientDisconnect:
            return
        answer.headers["x-amzn-RequestId"] = number
        await answer(scope, receive, send)

    def close(self) -> None:
        """Let go of files and threads."""
        self._workers.shutdown(wait=False)
        self._quota.close()

    def _admit(self, request: Request) -> dict[str, Any]:
        """The configuration under which a request is let in."""
        # A page in a browser can give a name of its own this address, and would then speak to this machine.
        if request.headers.get("host", "").partition(":")[0] not in HOSTS:
            raise StoppedError(421, "Misdirected Request")
        config: dict[str, Any] | None = self._config.value
        if config is None or request.method != "POST" or request.url.path != f"/{config['stage']}/forecast":
            raise StoppedError(403, "Missing Authentication Token")
        key = request.headers.get("x-api-key", "")
        if matches(key, self._probe.value):
            return config
        kept = self._key.value
        if not matches(key, kept):
            raise StoppedError(403, "Forbidden")
        if not self._bucket_of(kept["sha256"], config).take():
            raise StoppedError(429, "Too Many Requests")
        if not self._quota.take(kept["sha256"][:16], config["quota_per_month"]):
            raise StoppedError(429, "Limit Exceeded")
        return config

    def _bucket_of(self, owner: str, config: Mapping[str, Any]) -> TokenBucket:
        """The bucket of a key; a new one where the key or its limits have changed."""
        terms = (owner, config["rate_per_s"], config["burst"])
        if self._bucket is None or self._bucket[0] != terms:
            bucket = TokenBucket(rate_per_s=config["rate_per_s"], burst=config["burst"], clock=self._clock)
            self._bucket = (terms, bucket)
        return self._bucket[1]

    async def _event(self, request: Request, config: Mapping[str, Any], number: str) -> dict[str, Any]:
        """The proxy event of a request, version 1.0."""
        several: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            several.setdefault(name, []).append(value)
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        body = await _body(request)
        return {
            "resource": "/forecast",
            "path": "/forecast",
            "httpMethod": request.method,
            "headers": {name: values[-1] for name, values in several.items()},
            "multiValueHeaders": several,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": None,
            "stageVariables": None,
            "requestContext": {
                "requestId": number,
                "stage": config["stage"],
                "path": request.url.path,
                "resourcePath": "/forecast",
                "httpMethod": request.method,
                "protocol": f"HTTP/{request.scope['http_version']}",
                "identity": {"sourceIp": request.client.host if request.client else None},
            },
            "body": body.decode("utf-8", errors="replace") or None,
            "isBase64Encoded": False,
        }

    async def _call(self, event: Mapping[str, Any]) -> Response:
        """What the function answers."""
        answering = asyncio.get_running_loop().run_in_executor(self._workers, self._function, event)
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await answering
        except TimeoutError:
            raise StoppedError(504, "Endpoint request timed out") from None
        except Exception:
            logging.getLogger(__name__).exception("request %s", event["requestContext"]["requestId"])
            raise StoppedError(502, "Internal server error") from None
        return Response(answer["body"], answer["statusCode"], answer["headers"])


async def _body(request: Request) -> bytes:
    """The body, read no further than the limit and no longer than the time."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise StoppedError(413, f"HTTP content length exceeded {BODY_LIMIT_BYTES} bytes.")
    except TimeoutError:
        raise StoppedError(408, "Request body was not sent in time") from None
    return bytes(body)
