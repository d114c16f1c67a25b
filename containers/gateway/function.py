"""What AWS Lambda loads: `containers.gateway.function.handler`. Environment: `ENDPOINT_NAME`."""

import functools
import os
import sys
from typing import Any

from containers.gateway.handler import Answer, Handler
from containers.gateway.invocation import client_config
from containers.gateway.request import Event


@functools.cache
def _handler() -> Handler:
    import boto3

    client = boto3.client("sagemaker-runtime", config=client_config())
    return Handler(client, os.environ["ENDPOINT_NAME"], log=_log)


def _log(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def handler(event: Event, _context: Any) -> Answer:  # noqa: ANN401 - Lambda's
    """Answer a proxy event."""
    return _handler()(event)


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # Lambda loads this with a full CPU, before the first request
    _handler()
