"""A scripted server, bounds that keep tests fast, a clock, and a writer of workbooks."""

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from resources.eia.fetch import Limits
from tests.eia_server import Reply, Server, serving
from tests.workbooks import workbook


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as script:
        yield script


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def limits() -> Limits:
    """Bounds that keep tests fast."""
    return Limits(connect_s=0.5, read_s=0.3, total_s=3.0, offline_s=1.0, backoff_s=0.01)


@pytest.fixture
def now() -> Callable[[], datetime]:
    """A Thursday on which the newest week due is 2024-06-28."""
    return lambda: datetime(2024, 7, 4, 12, 0, tzinfo=ZoneInfo("America/New_York"))


@pytest.fixture
def make_workbook() -> Callable[..., bytes]:
    return workbook
