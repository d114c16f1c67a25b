"""A proxy event of API Gateway in, its answer out, and a line of log for it.

Errors are JSON as the serving container's are, `{"error": ..., "field": ...}`. What nobody foresaw is raised: API
Gateway answers 502 to it, without a word of what it was.
"""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from containers.gateway.invocation import invoke
from containers.gateway.request import Event, RefusedError, read

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

Answer = dict[str, Any]

_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Handler:
    """Answers proxy events from an endpoint.

    Args:
        runtime: boto3 client of SageMaker's runtime.
        endpoint: Name of the endpoint.
        log: Takes a line for every request: a JSON object. It holds no header and no body.
        clock: Seconds, from any origin.
    """

    def __init__(
        self,
        runtime: "SageMakerRuntimeClient",
        endpoint: str,
        *,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runtime, self._endpoint, self._log, self._clock = runtime, endpoint, log, clock

    def __call__(self, event: Event) -> Answer:
        """The answer to a proxy event of a REST API, in the form API Gateway wants."""
        began, status, error = self._clock(), 500, "internal error"
        try:
            try:
                body, content_type = invoke(self._runtime, self._endpoint, read(event), clock=self._clock)
            except RefusedError as refused:
                status, error = refused.status, str(refused)
                headers = refused.headers | {"Content-Type": "application/json"}
                return _answer(status, headers, json.dumps(refused.fields))
            status, error = 200, ""
            return _answer(status, {"Content-Type": content_type}, body)
        finally:
            self._say(event, status, error, self._clock() - began)

    def _say(self, event: Event, status: int, error: str, seconds: float) -> None:
        line = {
            "request_id": (event.get("requestContext") or {}).get("requestId"),
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            # The model's words may repeat what was sent: what a caller did wrong is in the status.
            **({"error": error} if status >= 500 else {}),
        }
        self._log(json.dumps(line))


def _answer(status: int, headers: dict[str, str], body: str) -> Answer:
    return {"statusCode": status, "headers": headers | _ALWAYS, "body": body, "isBase64Encoded": False}
