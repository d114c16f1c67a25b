"""The web application of an endpoint: what SageMaker calls, and `/openapi.json`.

SageMaker calls `/ping`, `/invocations` and, before a batch transform, `/execution-parameters`.

Errors are JSON, `{"error": ..., "field": ...}`: 400 for what cannot be answered, 405, 404, 406 (Accept), 408 (a body
that does not come), 413 (over 1 MB), 415.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from containers.serving.answer import as_csv, as_json, records
from containers.serving.limits import BATCH, BODY_LIMIT_BYTES, BODY_S
from containers.serving.request import RequestError, parse
from forecasting.forecaster import SeriesForecaster

MEDIA_TYPES = {"records": "application/json", "csv": "text/csv"}


def create_app(artifact: Mapping[str, Any], *, default_series: str | None) -> Starlette:
    """The application that answers from a loaded artifact.

    Args:
        artifact: As `forecasting.forecaster.load` gives it.
        default_series: The series that the short form means when it names none.
    """
    series = {name: SeriesForecaster(entry) for name, entry in artifact["series"].items()}
    available = tuple(series)

    async def ping(_request: Request) -> Response:
        return Response()

    async def invocations(request: Request) -> Response:
        _require_json(request.headers.get("content-type"))
        asked = parse(await _body(request), available=available, default_series=default_series)
        form = asked.form or negotiate(request.headers.get("accept"))
        rows = records(series, asked)
        return Response(as_csv(rows) if form == "csv" else as_json(rows), media_type=MEDIA_TYPES[form])

    async def execution_parameters(_request: Request) -> Response:
        return Response(as_json(BATCH), media_type="application/json")

    async def description(_request: Request) -> Response:
        from containers.serving.description import describe  # few ask, and the start need not wait for it

        told = describe(available, default_series=default_series, provenance=artifact["provenance"])
        return Response(as_json(told), media_type="application/json")

    return Starlette(
        routes=[
            Route("/ping", ping, methods=["GET"]),
            Route("/invocations", invocations, methods=["POST"]),
            Route("/execution-parameters", execution_parameters, methods=["GET"]),
            Route("/openapi.json", description, methods=["GET"]),
        ],
        exception_handlers={RequestError: _refused, HTTPException: _http_error, Exception: _failed},
    )


async def _body(request: Request) -> bytes:
    """The body, read no further than the limit and no longer than the time."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    raise RequestError(f"the body is larger than {BODY_LIMIT_BYTES} bytes", status=413)
    except ClientDisconnect:
        raise RequestError("the connection was closed before the body was whole") from None
    except TimeoutError:
        raise RequestError(f"the body did not come within {BODY_S:g} s", status=408) from None
    return bytes(body)


def _require_json(content_type: str | None) -> None:
    """Raises 415 unless the body is declared as JSON in UTF-8, or not declared at all."""
    media, *parameters = (part.strip().lower() for part in (content_type or "application/json").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if media != "application/json" or charsets - {"utf-8", "us-ascii"}:
        raise RequestError("the content type must be application/json in UTF-8", status=415)


def negotiate(accept: str | None) -> str:
    """The form that the Accept header prefers, "records" or "csv"; "records" when it leaves the choice.

    Raises:
        RequestError: 406, when it accepts neither.
    """
    quality = {"records": 0.0, "csv": 0.0}
    for part in (accept or "*/*").lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((_weight(piece[2:]) for piece in parameters if piece.startswith("q=")), 1.0)
        for form, offered in MEDIA_TYPES.items():
            # A wildcard leaves the choice to us: it may not outweigh a form that was named.
            if media == offered:
                quality[form] = max(quality[form], weight)
            elif media in {"*/*", f"{offered.partition('/')[0]}/*"}:
                quality[form] = max(quality[form], weight * 1e-3)
    best = max(quality, key=lambda form: quality[form])
    if quality[best] == 0:
        raise RequestError("the answer can be application/json or text/csv", status=406)
    return best


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this type alone
    # What is left of such a body is not read, so the connection cannot be used again.
    headers = {"Connection": "close"} if error.status in {408, 413} else None
    return Response(as_json(error.body()), error.status, headers, media_type="application/json")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type alone
    return Response(as_json({"error": error.detail}), error.status_code, error.headers, media_type="application/json")


async def _failed(_request: Request, _error: Exception) -> Response:
    """The answer to a defect; the server writes its traceback to stderr."""
    return Response(as_json({"error": "internal error"}), 500, media_type="application/json")
