"""AWS clients, and what to do about an account that refuses."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# What AWS or boto3 calls it, and what to do about it: where nothing can go on until a person has mended it.
REMEDIES = {
    "NoSuchBucket": "there is no such bucket: make it with `forecast aws bootstrap`, or mend FORECAST_LAKE_URI",
    "PermanentRedirect": "the bucket is in another region: set FORECAST_REGION to it",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"),
        "these credentials may not do that: see the permissions in docs/aws.md",
    ),
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "TokenRefreshRequired",
            "RequestExpired",
            "UnauthorizedSSOTokenError",
        ),
        "the credentials have expired: sign in again",
    ),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"),
        "AWS does not know this access key: sign in again",
    ),
    **dict.fromkeys(
        ("SignatureDoesNotMatch", "InvalidSignatureException"),
        "the secret key is not that of the access key: sign in again",
    ),
    **dict.fromkeys(
        ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"),
        "there are no AWS credentials: sign in, or set AWS_PROFILE",
    ),
    **dict.fromkeys(
        ("EndpointConnectionError", "ConnectTimeoutError"),
        "AWS cannot be reached from here: look at the network and FORECAST_REGION",
    ),
}

# What the services call it when they are asked too often: it passes.
THROTTLED = frozenset(
    {
        *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
        *("TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown"),
    }
)


class AwsError(Exception):
    """AWS does not do what was asked."""


class AwsAccessError(AwsError):
    """The account refuses, or cannot be reached.

    Attributes:
        code: What AWS or boto3 calls the reason.
    """

    def __init__(self, what: str, code: str, said: str) -> None:
        self.code = code
        super().__init__(f"cannot {what} ({code}): {REMEDIES.get(code, said)}. Nothing that is stored has changed")


@functools.cache
def client(service: str, region: str, *, hurried: bool = False) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """The boto3 client of a service; it waits out throttling and passing faults of the network.

    Credentials, endpoints and proxies come from the environment, as boto3 reads it.

    Args:
        service: Which.
        region: Where.
        hurried: Give up after some seconds: for a sensor, which Dagster ends after a minute and which asks again.
    """
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 10}, connect_timeout=10, read_timeout=70)
    if hurried:
        config = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=5, read_timeout=10)
    return boto3.client(service, region_name=region, config=config)  # type: ignore[call-overload]


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn a refusal that a person has to mend into an `AwsAccessError`; any other error is the caller's to read.

    Args:
        what: What is asked, as the words after "cannot".
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error_code(error)
        if code not in REMEDIES:
            raise
        raise AwsAccessError(what, code, str(error)) from error
    except BotoCoreError as error:
        raise AwsAccessError(what, type(error).__name__, str(error)) from error


def error_code(error: Any) -> str:  # noqa: ANN401 - botocore's ClientError, which is not imported at module level
    """What AWS calls an error."""
    return str(error.response["Error"].get("Code", ""))


def is_missing(error: Any) -> bool:  # noqa: ANN401 - as above
    """Whether SageMaker says that there is no such thing. It has a code of its own for that in few operations only."""
    message = error.response["Error"]["Message"].lower()
    return error_code(error) == "ResourceNotFound" or any(
        words in message for words in ("not exist", "not found", "could not find")
    )
