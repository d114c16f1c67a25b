"""A lake that takes in what lands, on a Thursday on which the newest week due is 2024-06-28."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resources.alerts import Alerts
from resources.clock import Clock
from resources.eia.calendar import WEEK, due
from resources.eia.release import Demands
from resources.lake import Lake
from resources.landing import Intake, Landings

NOW = datetime(2024, 7, 4, 16, tzinfo=UTC)
OLDER, NEWEST = date(2024, 6, 21), date(2024, 6, 28)
PLAUSIBLE = {"WGFUPUS2": (3000.0, 15_000.0), "WDIUPUS2": (1000.0, 8000.0)}


class Site:
    """A lake, its alerts, and the words that were said."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.said = lake, list[str]()
        self.alerts = Alerts(lake=lake, clock=Clock(fixed=NOW.isoformat()))
        self.landings = Landings(lake)
        self.intake = Intake(
            landings=self.landings,
            alerts=self.alerts,
            series=tuple(PLAUSIBLE),
            demands=lambda week: Demands(
                week=week, now=due(NEWEST + WEEK), complete_from=date(2013, 1, 4), plausible=PLAUSIBLE
            ),
            now=NOW,
            say=self.said.append,
        )

    def holds(self) -> dict[str, list[date]]:
        return Landings(self.lake).weeks()

    def newest(self, unique_id: str = "WGFUPUS2") -> bytes:
        return Landings(self.lake).release(unique_id, NEWEST).content


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(Lake(uri=str(tmp_path / "lake")))


@pytest.fixture
def csv() -> Callable[..., bytes]:
    def write(last: date = NEWEST, value: int = 4000, weeks: int = 4) -> bytes:
        rows = "".join(f"{last - back * WEEK},{value + back}\n" for back in reversed(range(weeks)))
        return f"date,value\n{rows}".encode()

    return write
