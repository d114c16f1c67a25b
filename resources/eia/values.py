"""Which figures a week is made from, as a short digest: equal figures give equal digests, whatever their files.

EIA writes a workbook anew without changing a figure, and a figure anew without a new week. The digest tells the two
apart, before anything is kept and after.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from resources.eia.history import TABLE as OBSERVATIONS
from resources.eia.parse import parse
from resources.eia.release import TABLE as RELEASE
from resources.eia.release import kept_release, records_of
from resources.lake import Lake

_LENGTH = 16


def digest(frames: Mapping[str, pd.DataFrame], week: date) -> str:
    """The digest of the figures of several series up to a week, 16 hexadecimal digits.

    Args:
        frames: `ds` and `y` by series, as parsed; may go beyond the week.
        week: The last week that counts.
    """
    found = hashlib.sha256()
    for unique_id in sorted(frames):
        frame = frames[unique_id]
        rows = frame[frame["ds"] <= pd.Timestamp(week)].sort_values("ds")
        found.update(f"{unique_id} {len(rows)}\n".encode())
        found.update(rows["ds"].to_numpy().astype("datetime64[D]").astype("<i8").tobytes())
        found.update(rows["y"].to_numpy().astype("<f8").tobytes())
    return found.hexdigest()[:_LENGTH]


def offered(lake: Lake, week: date, frames: Mapping[str, pd.DataFrame]) -> str:
    """The digest of the figures that a refresh of a week would work with, were these the newest releases.

    Where a series has moved on to later weeks, what was kept of the week as published stays, as `keep_release` has it.

    Args:
        lake: What was kept.
        week: The week.
        frames: `ds` and `y` of every series, as parsed from its newest release.
    """
    kept = records_of(lake, week) if lake.has(RELEASE, week) else {}
    stays = [
        name
        for name, frame in frames.items()
        if frame["ds"].max() > pd.Timestamp(week) and name in kept and not kept[name]["reconstructed"]
    ]
    return digest({**frames, **{name: parse(kept_release(lake, kept[name])) for name in stays}}, week)


def held(lake: Lake, week: date, series: Sequence[str]) -> str | None:
    """The digest of the figures that the lake holds of a week; None where it has no such observations.

    Args:
        lake: Where they are.
        week: The week.
        series: The series that must be there.
    """
    if not lake.has(OBSERVATIONS, week):
        return None
    table = lake.read(OBSERVATIONS, week)
    frames = {str(name): rows for name, rows in table.groupby("unique_id")}
    return digest(frames, week) if set(frames) == set(series) else None
