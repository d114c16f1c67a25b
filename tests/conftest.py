"""Fixtures shared by every room."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real EIA figures; the test is skipped where it is absent."""
    folder = (ROOT / os.environ.get("SHARED_DATA", "../shared/data")).resolve()
    if not (folder / "weekly").is_dir():
        pytest.skip(f"no EIA figures at SHARED_DATA={folder}")
    return folder
