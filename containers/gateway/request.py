"""What a proxy event of API Gateway asks of the endpoint. Standard library only.

Only what would cost an invocation for nothing is refused here: another method, another content type, a body that is
too large or no JSON object. What its fields may be is the model's to say, in its own words.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BODY_LIMIT_BYTES = 1_000_000
"""Of a request's body, as the serving container takes it: 413."""
ACCEPT_LIMIT = 1024
"""Characters of an Accept header."""
NO_OBJECT = "the body is not a JSON object"

Event = Mapping[str, Any]


class RefusedError(Exception):
    """The request is not passed on.

    Attributes:
        status: The HTTP status.
        fields: The JSON answer, `{"error": ..., "field": ...}`.
        headers: Headers of the answer.
    """

    def __init__(
        self, status: int, error: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.headers = status, dict(headers or {})
        self.fields = {"error": error} | ({} if field is None else {"field": field})


@dataclass(frozen=True)
class Invocation:
    """What is sent to the endpoint.

    Attributes:
        body: A JSON object in UTF-8.
        accept: The forms that the caller takes.
    """

    body: bytes
    accept: str


def read(event: Event) -> Invocation:
    """The invocation that a proxy event asks for.

    Args:
        event: Of a REST API, payload version 1.0.

    Raises:
        RefusedError: 400, 405, 406, 413 or 415.
    """
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    if event.get("httpMethod") != "POST":
        raise RefusedError(405, "forecasts are asked for with POST", headers={"Allow": "POST"})
    if event.get("queryStringParameters"):
        raise RefusedError(400, "the request is the JSON body; parameters in the address are not read")
    _require_json(headers.get("content-type"))
    accept = headers.get("accept") or "*/*"
    if len(accept) > ACCEPT_LIMIT or not accept.isprintable() or not accept.isascii():
        raise RefusedError(406, "the answer can be application/json or text/csv")
    return Invocation(_object(_body(event)), accept)


def _require_json(content_type: str | None) -> None:
    media, *parameters = (part.strip().lower() for part in (content_type or "application/json").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if media != "application/json" or charsets - {"utf-8", "us-ascii"}:
        raise RefusedError(415, "the content type must be application/json in UTF-8")


def _body(event: Event) -> bytes:
    text = event.get("body") or ""
    # Four characters of base64 are three bytes: what is too long is refused before it is decoded.
    if len(text) > BODY_LIMIT_BYTES * (2 if event.get("isBase64Encoded") else 1):
        raise _too_large()
    if not event.get("isBase64Encoded"):
        body: bytes = text.encode("utf-8", errors="surrogatepass")
    else:
        try:
            body = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError(400, "the body is not what its encoding says") from None
    if len(body) > BODY_LIMIT_BYTES:
        raise _too_large()
    return body


def _too_large() -> RefusedError:
    return RefusedError(413, f"the body is larger than {BODY_LIMIT_BYTES} bytes")


def _object(body: bytes) -> bytes:
    """The body as it came, once it is seen to be a JSON object."""
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RefusedError(400, NO_OBJECT)
    return body
