"""An S3 server, and an empty bucket in it for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.lake import Lake
from resources.lake.s3 import Bucket
from tests.s3 import S3, reached


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    running = S3()
    yield running
    running.close()


@pytest.fixture(scope="module")  # a client takes longer to make than a test to run
def s3(server: S3) -> Iterator[S3]:
    with reached(server.environment):
        yield server


@pytest.fixture
def bucket(s3: S3) -> Bucket:
    return s3.bucket(f"lake-{uuid.uuid4().hex}", prefix="of/tests")


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A lake on this machine, and one in a bucket: whatever does not say otherwise holds for both."""
    if request.param == "folder":
        return Lake(uri=(tmp_path / "lake").as_uri())
    bucket: Bucket = request.getfixturevalue("bucket")
    return Lake(uri=bucket.uri(""))


@pytest.fixture
def folder_lake(tmp_path: Path) -> Lake:
    return Lake(uri=(tmp_path / "lake").as_uri())
