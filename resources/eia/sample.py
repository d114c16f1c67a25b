"""A simulated series with the shape of the real ones, for a machine that cannot reach EIA.

None of its figures is EIA's, and its CSV says so in its first line. The generator is a structural time series on the
log scale, summed from parts that stand in the real series:

- a level with steady growth, so that last year's figure is a poor forecast, and a long cycle;
- a yearly season of three Fourier pairs, highest around the series' peak day;
- dips in the weeks (Saturday to Friday) of five U.S. holidays;
- AR(1) noise and observation noise, drawn week by week;
- a deep break: the fall of March 2020, over in three weeks, half made good by June 2020, the rest gone by July 2022.

Each week's figure follows from the id, the week and the draws before it: a longer span extends a shorter one bit for
bit. Only the standard library draws and computes, so every machine and version gives the same figures. Series are
simulated each on its own: the simulated total is not the sum of the simulated parts.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist

import pandas as pd

from resources.eia.published import SIMULATED

FIRST = date(1991, 2, 8)
BREAK = date(2020, 3, 13)
_YEAR = 365.25
_PERSISTENCE = 0.5


@dataclass(frozen=True)
class Shape:
    """What tells one simulated series from another; all but the level on the log scale.

    Attributes:
        level_kbd: The level of 1991, thousand barrels per day.
        growth: What growth adds in a year.
        season: Half the height of the yearly season.
        peak_day: The day of the year on which the season is highest.
        fall: Depth of the break.
        noise: Standard deviation of the weekly noise.
    """

    level_kbd: float = 1000.0
    growth: float = 0.02
    season: float = 0.04
    peak_day: float = 196.0
    fall: float = 0.5
    noise: float = 0.012


SHAPES = {
    "WGFUPUS2": Shape(5000, 0.020, 0.05, 200, 0.55, 0.010),
    "WDIUPUS2": Shape(2200, 0.020, 0.06, 35, 0.35, 0.012),
    "WKJUPUS2": Shape(900, 0.022, 0.04, 205, 1.1, 0.014),
    "WREUPUS2": Shape(1200, -0.050, 0.10, 20, 0.9, 0.014),
    "WPRUP_NUS_2": Shape(600, 0.025, 0.25, 15, 0.6, 0.016),
    "WWOUP_NUS_2": Shape(2600, 0.022, 0.03, 210, 0.4, 0.012),
    "WRPUPUS2": Shape(12_000, 0.020, 0.03, 215, 0.35, 0.008),
}
_HOLIDAY_DIPS = {"new year": 0.03, "independence": 0.01, "labor": 0.015, "thanksgiving": 0.015, "christmas": 0.015}


def simulate(unique_id: str, *, last: date) -> pd.DataFrame:
    """The simulated series of an id; ids without a shape of their own get the default one.

    Args:
        unique_id: Any series id.
        last: The last week, a Friday not before 1991-02-08.

    Returns:
        `ds` (Fridays from 1991-02-08 on) and `y` (float64, whole thousand barrels per day).

    Raises:
        ValueError: `last` is not such a Friday.
    """
    if last < FIRST or (last - FIRST).days % 7:
        raise ValueError(f"the sample's weeks are Fridays from {FIRST} on, {last} is none")
    shape = SHAPES.get(unique_id, Shape())
    weeks = [FIRST + timedelta(weeks=index) for index in range((last - FIRST).days // 7 + 1)]
    y = [
        float(round(shape.level_kbd * math.exp(_expected(week, shape) + shape.noise * noise)))
        for week, noise in zip(weeks, _noise(unique_id), strict=False)
    ]
    return pd.DataFrame({"ds": pd.DatetimeIndex(weeks).as_unit("us"), "y": y})


def sample_csv(unique_id: str, *, last: date) -> bytes:
    """The simulated series as a release: a CSV `date,value` under a line that says it is simulated.

    Raises:
        ValueError: As `simulate`.
    """
    frame = simulate(unique_id, last=last)
    note = f"{SIMULATED.decode()} figures in the shape of {unique_id}. Not published by EIA, not a measurement."
    rows = (f"{day:%Y-%m-%d},{value:.0f}\n" for day, value in zip(frame["ds"], frame["y"], strict=True))
    return f"{note}\ndate,value\n{''.join(rows)}".encode()


def _expected(week: date, shape: Shape) -> float:
    years = (week - FIRST).days / _YEAR
    growth = shape.growth * years + 0.01 * math.sin(2 * math.pi * years / 17)
    angle = 2 * math.pi * (week.timetuple().tm_yday - shape.peak_day) / _YEAR
    season = shape.season * (math.cos(angle) + 0.25 * math.sin(2 * angle) + 0.1 * math.cos(3 * angle))
    return growth + season - _holiday_dip(week) - shape.fall * _fallen(week)


def _fallen(week: date) -> float:
    """How much of the fall is there: nothing before the break, all of it from its third week, and back."""
    since = (week - BREAK).days // 7
    if since < 0:
        return 0.0
    fall = min((since + 1.5) / 3.5, 1.0)
    fast = math.exp(-max(since - 2, 0) / 8)
    slow = max(1 - since / 120, 0.0)
    return fall * (0.62 * fast + 0.38 * slow)


def _holiday_dip(week: date) -> float:
    days = [week - timedelta(days=back) for back in range(7)]
    return sum(_HOLIDAY_DIPS[name] for day in days for name in [_holiday(day)] if name)


def _holiday(day: date) -> str | None:
    """The holiday of a day, by the rule of the law that made it."""
    match day.month, day.day, day.weekday():
        case 1, 1, _:
            return "new year"
        case 7, 4, _:
            return "independence"
        case 9, number, 0 if number <= 7:
            return "labor"
        case 11, number, 3 if 22 <= number <= 28:
            return "thanksgiving"
        case 12, 25, _:
            return "christmas"
    return None


def _noise(unique_id: str) -> Iterator[float]:
    """AR(1) and observation noise in equal parts, with a standard deviation of 1 together."""
    draws, normal = random.Random(unique_id), NormalDist()
    state = 0.0
    while True:
        # Half a step up, for random() may give 0, which no normal quantile has.
        step, seen = (normal.inv_cdf(draws.random() + 2.0**-54) for _ in range(2))
        state = _PERSISTENCE * state + math.sqrt(1 - _PERSISTENCE**2) * step
        yield math.sqrt(0.5) * (state + seen)
