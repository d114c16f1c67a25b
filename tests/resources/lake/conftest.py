"""A lake on this machine, and one in a bucket."""

from pathlib import Path

import pytest

from resources.lake import Lake
from resources.lake.s3 import Bucket


@pytest.fixture(params=["folder", "bucket"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """Whatever does not say otherwise holds for both."""
    if request.param == "folder":
        return Lake(uri=(tmp_path / "lake").as_uri())
    bucket: Bucket = request.getfixturevalue("bucket")
    return Lake(uri=bucket.uri(""))


@pytest.fixture
def folder_lake(tmp_path: Path) -> Lake:
    return Lake(uri=(tmp_path / "lake").as_uri())
