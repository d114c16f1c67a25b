"""The endpoint asked, and what it says when it does not answer, in words that name nothing behind it.

Only the model's own refusals reach the caller as they are: they are written for callers. Whatever else SageMaker says
holds names of the account, and is told by its kind alone.
"""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from containers.gateway.request import Invocation, RefusedError

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

API_GATEWAY_S = 29.0
"""API Gateway waits no longer, and then says no more than that it did."""
CONNECT_S = 2.0
READ_S = 22.0
RETRY_WITHIN_S = 1.0
"""One more attempt is made where the first failed this soon: with its time it still fits into the 29 s."""
PAUSE_S = 0.2

_REFUSALS = frozenset({400, 406, 413, 415})
"""What the model refuses for what the caller sent."""
_BUSY = ("ThrottlingException", "ThrottledException", "TooManyRequestsException")
_AWAY = ("ServiceUnavailable", "ServiceUnavailableException")
_BROKEN = ("InternalFailure", "InternalServerError")
_PASSING = frozenset({*_BUSY, *_AWAY, *_BROKEN})
"""What may be over in a moment."""
_WORDS = {
    **dict.fromkeys(_BUSY, (429, "too many forecasts are being made; try again", "1")),
    "ModelNotReadyException": (503, "the model is being loaded; try again", "5"),
    # A ValidationError is of the endpoint, which is not there or not in service: the request was looked at.
    **dict.fromkeys((*_AWAY, "ValidationError"), (503, "forecasts are not served at this moment; try again", "30")),
    **dict.fromkeys((*_BROKEN, "InternalDependencyException"), (502, "the forecast could not be made; try again", "1")),
}
"""Status, message and seconds to wait, by what SageMaker calls the error."""
_MEDIA_TYPES = frozenset({"application/json", "text/csv"})


def client_config() -> "Config":
    """How the client of the function waits: less than API Gateway, and without attempts of its own."""
    from botocore.config import Config

    return Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"mode": "standard", "total_max_attempts": 1})


def invoke(
    runtime: "SageMakerRuntimeClient",
    endpoint: str,
    asked: Invocation,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[str, str]:
    """The model's answer, and its content type.

    Args:
        runtime: boto3 client of SageMaker's runtime.
        endpoint: Name of the endpoint.
        asked: The request.
        clock: Seconds, from any origin.
        sleep: Waits for seconds.

    Raises:
        RefusedError: 400, 406, 413, 415 as the model says; 429 it is busy; 500 the function is not set up rightly;
            502 it failed; 503 it is not ready; 504 it took too long.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    began, attempts = clock(), 0
    while True:
        attempts += 1
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint, ContentType="application/json", Accept=asked.accept, Body=asked.body
            )
            body = answer["Body"].read()
            return _text(body), _media_type(answer.get("ContentType", ""))
        except ClientError as error:
            refused, passing = _of_service(error), error.response["Error"].get("Code") in _PASSING
        except BotoCoreError as error:
            refused, passing = _of_network(error), _is_cut_off(error)
        if not passing or attempts > 1 or clock() - began > RETRY_WITHIN_S:
            raise refused
        sleep(PAUSE_S)


def _of_service(error: "ClientError") -> RefusedError:
    """The answer to what SageMaker says."""
    code = error.response["Error"].get("Code", "")
    if code == "ModelError":
        return _of_model(error.response)
    if code not in _WORDS:
        return RefusedError(500, "internal error")
    status, words, wait = _WORDS[code]
    return RefusedError(status, words, headers={"Retry-After": wait})


def _of_model(response: Any) -> RefusedError:  # noqa: ANN401 - what botocore parsed
    """The answer to an error of the model: its own words where they are for the caller."""
    status = response.get("OriginalStatusCode", 0)
    if status in _REFUSALS:
        said = _said(response.get("OriginalMessage", ""))
        field = said.get("field")
        return RefusedError(status, said["error"], field=field if isinstance(field, str) else None)
    if status == 503:
        return RefusedError(503, "too many forecasts are being made; try again", headers={"Retry-After": "1"})
    return RefusedError(502, "the model failed to make the forecast")


def _said(message: str) -> dict[str, Any]:
    try:
        said = json.loads(message)
    except ValueError:
        said = None
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        return said
    return {"error": "the model refused the request"}


def _of_network(error: Exception) -> RefusedError:
    from botocore.exceptions import ConnectionError as ConnectionFailedError
    from botocore.exceptions import ConnectTimeoutError, HTTPClientError, ReadTimeoutError

    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return RefusedError(504, "the forecast took too long; try again")
    if isinstance(error, ConnectionFailedError | HTTPClientError):
        return RefusedError(502, "the forecast could not be made; try again")
    return RefusedError(500, "internal error")


def _is_cut_off(error: Exception) -> bool:
    """Whether the connection failed at once, so that asking again may help; the model keeps no state."""
    from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

    return isinstance(error, EndpointConnectionError | ConnectionClosedError)


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(502, "the model failed to make the forecast") from None


def _media_type(content_type: str) -> str:
    if content_type.partition(";")[0].strip().lower() not in _MEDIA_TYPES:
        raise RefusedError(502, "the model failed to make the forecast")
    return content_type
