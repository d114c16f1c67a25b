"""An outbox of its own, and services that take messages."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resources.alerts import Alert, Alerts
from resources.clock import Clock
from resources.lake import Lake
from tests.webhook import Webhook

NOON = datetime(2023, 11, 15, 12, tzinfo=UTC)


class Time:
    """A clock that stands where a test puts it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.to(NOON)

    @property
    def clock(self) -> Clock:
        return Clock(fixed=str(self._file))

    def to(self, time: datetime) -> None:
        self._file.write_text(time.isoformat())


@pytest.fixture
def time(tmp_path: Path) -> Time:
    return Time(tmp_path / "now")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(uri=str(tmp_path / "lake"))


@pytest.fixture
def alerts(lake: Lake, time: Time) -> Alerts:
    return Alerts(lake=lake, clock=time.clock)


@pytest.fixture
def webhooks() -> Iterator[Callable[[], Webhook]]:
    made: list[Webhook] = []

    def make() -> Webhook:
        made.append(Webhook())
        return made[-1]

    yield make
    for each in made:
        each.down()


def alert(key: str = "run:weekly_refresh:2023-11-10", **said: str) -> Alert:
    return Alert(
        **{
            "key": key,
            "title": "The refresh of 2023-11-10 failed",
            "what": "Run 0a1b2c3d of the job weekly_refresh of 2023-11-10 failed at release.",
            "why": "EiaUnreachableError: www.eia.gov did not answer",
            "consequence": "The newest forecast is that of 2023-11-03. The model of 2023-11-03 keeps serving.",
            "link": "/runs/0a1b2c3d",
            **said,
        },
        week=date(2023, 11, 10),
    )
