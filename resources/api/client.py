"""The API asked as anybody would."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from resources.api.errors import ApiRefusedError, ApiUnreachableError

LONGEST_S = 35.0
"""API Gateway answers within 29 s, one way or another."""


def ask(url: str, key: str, payload: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON the model answers
    """The API's answer to a JSON request.

    Raises:
        ApiRefusedError: It answered with another status than 200.
        ApiUnreachableError: Nobody answered.
    """
    import httpx

    try:
        answer = httpx.post(
            url,
            json=payload,
            headers={"x-api-key": key, "Accept": "application/json"},
            timeout=LONGEST_S,
            trust_env=urlsplit(url).hostname != "127.0.0.1",  # a proxy cannot reach this machine's own address
        )
    except httpx.HTTPError as error:
        raise ApiUnreachableError(url, str(error) or type(error).__name__) from error
    if answer.status_code != 200:
        raise ApiRefusedError(url, status=answer.status_code, message=_said(answer.text))
    return answer.json()


def _said(text: str) -> str:
    """The message of an error: of the model (`error`), of API Gateway (`message`), or the beginning of the text."""
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict):
        return str(said.get("error") or said.get("message") or text[:200])
    return text[:200]
