"""S3 on loopback: moto's server, in this process, so that a test can turn its clock or take it away for a moment."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import boto3
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from resources.aws import client
from resources.lake.s3 import Bucket

REGION = "us-east-1"


class S3:
    """A server with buckets.

    Attributes:
        url: Where it is.
    """

    def __init__(self) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        host, self._port = self._server.get_host_and_port()
        self.url = f"http://{host}:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it and nothing else of AWS."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def bucket(self, name: str, *, prefix: str = "") -> Bucket:
        """A new bucket."""
        self.client().create_bucket(Bucket=name)
        return Bucket(name, prefix=prefix, region=REGION)

    @functools.cache  # noqa: B019 - one server a process
    def client(self) -> Any:
        """A client of its own, whose requests no test disturbs."""
        return boto3.client(
            "s3", endpoint_url=self.url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def age(self, bucket: Bucket, key: str, seconds: float) -> None:
        """Let time pass since an object was written."""
        found = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket.name].keys[f"{bucket.prefix}/{key}".lstrip("/")]
        found.last_modified -= timedelta(seconds=seconds)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Within the block nobody answers; what is stored is there afterwards."""
        self._server.stop()
        try:
            yield
        finally:
            self._server = ThreadedMotoServer("127.0.0.1", self._port, verbose=False)
            self._server.start()

    def close(self) -> None:
        self._server.stop()


@contextmanager
def reached(environment: dict[str, str]) -> Iterator[None]:
    """Within the block this process's clients are of that environment, and lose no time between their attempts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it found first
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
        client.cache_clear()
        try:
            yield
        finally:
            client.cache_clear()
