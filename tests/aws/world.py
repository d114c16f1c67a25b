"""AWS on this machine, over real HTTP: moto's server for S3, SQS, Glue, STS..., the twin for SageMaker and its logs.

Nothing leaves the loopback address; the state is gone with the folder.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from resources import aws
from resources.sagemaker.local.clients import register_own_images
from resources.sagemaker.local.http import LocalServer
from resources.sagemaker.local.objects import keep_in_s3
from resources.sagemaker.local.operations import LocalSageMaker
from tests.refreshes import processes_of
from tests.world import ROOT

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/forecast"
BUCKET = "forecast-lake"
IMAGES = "123456789012.dkr.ecr.us-east-1.amazonaws.com/forecast-{image}:test"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "local-secret-of-the-tests"}
API_SERVICES = ("CLOUDFORMATION", "API_GATEWAY", "LAMBDA", "IAM")
TWIN_SERVICES = ("SAGEMAKER", "SAGEMAKER_RUNTIME", "CLOUDWATCH_LOGS")

_NOTHING_ELSE = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
_MOTO = """
import contextlib, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0)
with contextlib.redirect_stdout(sys.stderr):
    server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
sys.stdin.read()
"""


class Server:
    """moto's server, as a process."""

    def __init__(self, log: IO[bytes]) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", _MOTO]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=log)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        if not self.url.startswith("http://127.0.0.1:"):
            self.close()
            pytest.fail("moto's server did not come up")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _forget_clients() -> None:
    """Have the next client read the environment: boto3's own session keeps the keys that it found first."""
    import boto3

    boto3.setup_default_session()
    aws.client.cache_clear()


class Aws:
    """An account of its own: an empty bucket, and a SageMaker without jobs. This process's clients reach it too.

    Attributes:
        bucket: Name of the bucket.
        lake_uri: For `FORECAST_LAKE_URI`.
        root: The folder of the twin.
        environment: What a process needs to reach it; all that speaks of AWS.
    """

    def __init__(self, folder: Path, moto: Server, patch: pytest.MonkeyPatch) -> None:
        self.moto, self.bucket, self.root = moto, BUCKET, folder / "sagemaker"
        self.lake_uri = f"s3://{BUCKET}/lake"
        self._say("reset")
        keep_in_s3(self.root)
        register_own_images(self.root, IMAGES)
        self._twin = LocalServer(LocalSageMaker(self.root), 0)
        self._thread = threading.Thread(target=self._twin.serve_forever, args=(0.02,))
        self._thread.start()
        twin = {f"AWS_ENDPOINT_URL_{service}": self._twin.url for service in TWIN_SERVICES}
        self.environment = {**KEYS, **_NOTHING_ELSE, "AWS_ENDPOINT_URL": self.moto.url, **twin}
        for name in [name for name in os.environ if name.startswith(("AWS_", "FORECAST_", "DAGSTER_"))]:
            patch.delenv(name)
        for name, value in self.environment.items():
            patch.setenv(name, value)
        _forget_clients()
        self.client("s3").create_bucket(Bucket=BUCKET)

    @property
    def settings(self) -> dict[str, str]:
        """The platform's settings for it, as environment variables; the source of figures apart."""
        return {
            "FORECAST_COMPUTE": "aws",
            "FORECAST_LAKE_URI": self.lake_uri,
            "FORECAST_REGION": REGION,
            "FORECAST_ROLE_ARN": ROLE,
            "FORECAST_IMAGES": IMAGES,
        }

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return aws.client(service, REGION)

    def put(self, key: str, content: bytes) -> str:
        """Put an object into the bucket; its URI."""
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}"

    def get(self, key: str) -> bytes:
        return bytes(self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def objects(self, prefix: str = "") -> list[str]:
        """The keys below a prefix."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def reaches(self, url: str, patch: pytest.MonkeyPatch) -> None:
        """Have another server answer for what the REST API stands on."""
        for service in API_SERVICES:
            self.environment[f"AWS_ENDPOINT_URL_{service}"] = url
            patch.setenv(f"AWS_ENDPOINT_URL_{service}", url)
        _forget_clients()

    def keys(self, access_key: str, secret: str, patch: pytest.MonkeyPatch) -> None:
        """Have the clients of this process, and the jobs that it starts, use other keys."""
        patch.setenv("AWS_ACCESS_KEY_ID", access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        _forget_clients()

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Within the block every request needs keys that this account knows, and may do what their policies allow."""
        self._say("reset-auth", b"0")
        try:
            yield
        finally:
            self._say("reset-auth", b"inf")

    def _say(self, what: str, body: bytes = b"") -> None:
        address, plain = f"{self.moto.url}/moto-api/{what}", {"Content-Type": "text/plain"}
        request = urllib.request.Request(address, body, plain, method="POST")
        urllib.request.urlopen(request).close()

    def close(self) -> None:
        """End every job and endpoint; fails where a process is left."""
        _forget_clients()
        self._twin.shutdown()
        self._thread.join()
        self._twin.server_close()
        for lock in self.root.glob("*/*/lock"):
            lock.with_name("stop").write_text(json.dumps({"asked": time.time()}))
        limit = time.monotonic() + 30
        while left := processes_of(self.root):
            assert time.monotonic() < limit, f"left running: {left}"
            time.sleep(0.02)
