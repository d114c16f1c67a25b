"""An S3 server, and an empty bucket in it for each test that asks for one."""

import uuid
from collections.abc import Iterator

import pytest

from resources.lake.s3 import Bucket
from tests.s3 import S3, reached


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    running = S3()
    yield running
    running.close()


@pytest.fixture(scope="module")  # a client takes longer to make than a test to run
def s3(s3_server: S3) -> Iterator[S3]:
    with reached(s3_server.environment):
        yield s3_server


@pytest.fixture
def bucket(s3: S3) -> Bucket:
    return s3.bucket(f"lake-{uuid.uuid4().hex}", prefix="of/tests")
