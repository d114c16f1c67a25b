"""The figures of the year: EIA's, a vintage a week as the official workbook; and what may be wrong with one."""

import csv
import hashlib
import itertools
import random
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

from forecast_assets.settings import WEEKLY_PRODUCT_SUPPLIED
from tests.workbooks import workbook

Rows = dict[date, float]
Spoiler = Callable[["Figures", date, random.Random], bytes]

WEEK = timedelta(weeks=1)
_PAGE = b"<!DOCTYPE html><html><head><title>EIA - scheduled maintenance</title></head><body>We are sorry.</body></html>"


class Figures:
    """A series as it grows week by week.

    Args:
        shared: The folder of real figures.
        series: Which series.
        revised: The values that a week's last release changes for good: `{week: {ds: value}}`.
    """

    def __init__(self, shared: Path, series: str, revised: Mapping[date, Rows] | None = None) -> None:
        self.series = series
        self._rows: Rows = {}
        for part in ("weekly", "releases"):
            with (shared / part / f"{series}.csv").open() as file:
                self._rows |= {date.fromisoformat(row["date"]): float(row["value"]) for row in csv.DictReader(file)}
        self._revised = revised or {}

    @property
    def last(self) -> date:
        """The newest week there is."""
        return max(self._rows)

    def vintage(self, week: date, *, revised: bool = True) -> Rows:
        """What is known when a week is released; with `revised`, by its last release."""
        rows = {day: value for day, value in self._rows.items() if day <= week}
        for when, changes in sorted(self._revised.items()):
            if when < week or (revised and when == week):
                rows |= changes
        return dict(sorted(rows.items()))

    def revision(self, week: date, chance: random.Random) -> Rows:
        """Two values of the last months, corrected by up to one per cent, for a release that comes after the first.

        More could turn the gate for weeks to come, undisturbed as well: this series passes it narrowly in April 2024.
        """
        days = chance.sample([week - number * WEEK for number in range(1, 9)], 2)
        return {day: round(self._rows[day] * chance.uniform(1.002, 1.01)) for day in days}

    # -- releases ----------------------------------------------------------------------------------------------------

    def release(self, rows: Rows, *, made: int = 0) -> bytes:
        """The official workbook with these weeks; `made` counts how often it was generated, which its bytes tell."""
        title = f"Weekly U.S. Product Supplied of {WEEKLY_PRODUCT_SUPPLIED[self.series].name}"
        spaces = " " * (made + 2)
        return workbook(
            tuple(rows.items()),
            keys=("Sourcekey", self.series),
            titles=("Date", f"{title}{spaces}(Thousand Barrels per Day)"),
        )

    def wide(self, rows: Rows) -> bytes:
        """The same with a second column of figures."""
        title = "Weekly U.S. Product Supplied  (Thousand Barrels per Day)"
        return workbook(
            [(day, value, value + 1) for day, value in rows.items()],
            keys=("Sourcekey", self.series, "WXXUPUS2"),
            titles=("Date", title, title),
        )


def truncated(figures: Figures, week: date, chance: random.Random) -> bytes:
    whole = figures.release(figures.vintage(week, revised=False))
    return whole[: int(len(whole) * chance.uniform(0.3, 0.8))]


def html_page(figures: Figures, week: date, chance: random.Random) -> bytes:
    del figures, week, chance
    return _PAGE


def shortened(figures: Figures, week: date, chance: random.Random) -> bytes:
    rows = figures.vintage(week, revised=False)
    return figures.release(dict(itertools.islice(rows.items(), chance.randrange(2, 40), None)))


def factor_1000(figures: Figures, week: date, chance: random.Random) -> bytes:
    del chance
    return figures.release({day: value / 1000 for day, value in figures.vintage(week, revised=False).items()})


def column_added(figures: Figures, week: date, chance: random.Random) -> bytes:
    del chance
    return figures.wide(figures.vintage(week, revised=False))


def absurd_value(figures: Figures, week: date, chance: random.Random) -> bytes:
    rows = figures.vintage(week, revised=False)
    return figures.release(rows | {week: rows[week] * chance.choice([20, 100])})


SPOILED: Mapping[str, Spoiler] = {
    "truncated workbook": truncated,
    "HTML page": html_page,
    "shortened": shortened,
    "factor 1000": factor_1000,
    "column added": column_added,
    "absurd value": absurd_value,
}
"""What is refused: bytes of a release of a week that hold something wrong."""


def etag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'
