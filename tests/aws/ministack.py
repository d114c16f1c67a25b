"""MiniStack on loopback: the parts of AWS that nothing else here answers with their real behaviour.

It runs in its own environment, knows nothing of the account of whoever runs the tests, and ends with the block.
"""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from tests.environments import environment
from tests.served import free_port

REGION = "us-east-1"
KEY, SECRET = "test", "test"


@dataclass(frozen=True)
class MiniStack:
    """A running MiniStack.

    Attributes:
        url: Where every service answers.
        log: What it says.
    """

    url: str
    log: Path

    def client(self, service: str):  # type: ignore[no-untyped-def]
        """The boto3 client of a service."""
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which whatever uses boto3 talks to it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }


@contextmanager
def ministack(folder: Path, **variables: str) -> Iterator[MiniStack]:
    """MiniStack while the block runs; it starts in half a second, so a test may have one of its own.

    Args:
        folder: For its log and whatever it writes.
        variables: Further environment variables of it, such as `LAMBDA_EXECUTOR`.
    """
    python = environment("ministack")
    port, log = free_port(), folder / "ministack.log"
    folder.mkdir(parents=True, exist_ok=True)
    own = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": str(port),  # for the URLs that it gives
        "MINISTACK_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",  # listeners on fixed ports
        "SFTP_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    arguments = ["hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-m", *arguments], env=own | variables, cwd=folder, stdout=output, stderr=output
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _until_ready(process, url, log)
            yield MiniStack(url, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_ministack/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"MiniStack did not start: {log.read_text()}")
