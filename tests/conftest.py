"""Fixtures shared by every room."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Let Ctrl-C mean something where a shell that runs the tests in the background has it ignored.

    What tests start inherits that, and Dagster, started so, would ignore TERM as well.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real EIA figures; the test is skipped where it is absent."""
    folder = (ROOT / os.environ.get("SHARED_DATA", "../shared/data")).resolve()
    if not (folder / "weekly").is_dir():
        pytest.skip(f"no EIA figures at SHARED_DATA={folder}")
    return folder
