"""Why a forecast differs from the one of the week before: one thing is changed at a time.

Last week's forecast is made again step by step: with today's code; then with the history of last week's span as it is
known now; then with the week that was added; then with this week's configuration, which gives this week's forecast.
Every step is the difference of two forecasts of the same target week, so the parts add up to the change. Their order is
a choice: what two things bring about together counts for the later one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import forecaster, models
from forecasting.configuration import Configuration
from forecasting.counterfactual import counterfactual

Floats = npt.NDArray[np.float64]

PARTS: Final = {
    "new_code": "new code",
    "revised_data": "revised data",
    "new_data": "new data",
    "hyper_parameters": "new hyper-parameters",
}
"""The parts of a change in the order in which they are taken, and what people call them."""

SAME = 1e-9
"""Forecasts that differ relatively by less are the same: another machine rounds otherwise."""

_TYPES: Final = {
    "unique_id": "str",
    "ds": "datetime64[us]",
    "horizon": "int64",
    **dict.fromkeys(["before", "after", "change", *PARTS], "float64"),
}
EMPTY: Final = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _TYPES.items()})
"""The changes of no forecast."""


@dataclass(frozen=True)
class Known:
    """What a week knew of one series.

    Attributes:
        observations: `unique_id, ds, y` up to the week.
        breaks: What `find_breaks` gave; those of other series do not matter.
    """

    observations: pd.DataFrame
    breaks: pd.DataFrame

    def equals(self, later: Self, *, upto: pd.Timestamp) -> bool:
        """Whether a later week knows the same of the weeks up to a day."""
        columns = ["ds", "y"]
        own, others = (
            known.observations.loc[known.observations["ds"] <= upto, columns].sort_values("ds", ignore_index=True)
            for known in (self, later)
        )
        return own.equals(others) and self.breaks.reset_index(drop=True).equals(later.breaks.reset_index(drop=True))

    def history(self, configuration: Configuration, *, start: date) -> pd.Series:
        """What a configuration learns from: the weeks from `start` on, index `ds`, name the series.

        Raises:
            ForecastingError: The counterfactual cannot be made.
        """
        if configuration.counterfactual:
            table = counterfactual(self.observations, self.breaks, span_start=start)
            values = table["counterfactual"]
        else:
            table = self.observations[self.observations["ds"] >= pd.Timestamp(start)].sort_values("ds")
            values = table["y"]
        index = pd.DatetimeIndex(table["ds"], name="ds")
        return pd.Series(values.to_numpy(dtype="float64"), index=index, name=str(table["unique_id"].iloc[0]))


def decompose(
    before: pd.DataFrame, after: pd.DataFrame, entry: Mapping[str, Any], *, then: Known, now: Known
) -> pd.DataFrame:
    """The parts of the change of one series' forecast.

    Args:
        before: Last week's forecast as it was published: `ds, cutoff, mean`.
        after: This week's: `unique_id, ds, cutoff, horizon, mean`.
        entry: The artifact entry that last week's forecast was made from. It says what to fit, and how long its span
            was.
        then: What last week knew.
        now: What this week knows.

    Returns:
        One row per target week of both forecasts: `unique_id, ds, horizon` (of this week's), `before`, `after`,
        `change`, and the columns of `PARTS`, in the unit of the series. A break that is found elsewhere, and the
        counterfactual in it, count as revised data.

    Raises:
        ForecastingError: A model cannot be fitted, or a counterfactual not be made.
        ForecasterError: A model forecasts nothing that is finite.
    """
    configuration = Configuration.from_dict(entry["configuration"])
    cutoff, newest = pd.Timestamp(before["cutoff"].iloc[0]), pd.Timestamp(after["cutoff"].iloc[0])
    start = (cutoff - timedelta(weeks=entry["n"] - 1)).date()
    known_now = now.history(configuration, start=start)[:newest]
    revised_any = not then.equals(now, upto=cutoff)
    known_then = then.history(configuration, start=start)[:cutoff] if revised_any else known_now[:cutoff]
    added = (newest - cutoff).days // 7
    common = after.merge(before[["ds", "mean"]], on="ds", suffixes=("", "_before")).sort_values("ds")
    weeks = pd.DatetimeIndex(common["ds"])
    first, last = common["mean_before"].to_numpy(), common["mean"].to_numpy()

    recoded = _settled(_means(known_then, entry, weeks), first)
    unchanged = known_then.equals(known_now[:cutoff])
    revised = recoded if unchanged else _means(known_now[:cutoff], entry, weeks)
    extended = _settled(_means(known_now.iloc[added:], entry, weeks), last)

    steps = np.diff(np.stack([first, recoded, revised, extended, last]), axis=0)
    table = common[["unique_id", "ds", "horizon"]].assign(
        before=first, after=last, change=last - first, **dict(zip(PARTS, steps, strict=True))
    )
    return table.astype(_TYPES).reset_index(drop=True)


def summarize(changes: pd.DataFrame) -> pd.DataFrame:
    """What a change comes to, a row per series.

    Args:
        changes: What `decompose` gave, of one week and any series.

    Returns:
        `unique_id`, `weeks`, `change_percent` (mean change over the mean of `before`), for each of `PARTS` its mean in
        per cent of the same (`new_data_percent`) and its share (`new_data_share`, 0 to 1: mean size over the sum of
        the parts' mean sizes; all 0 where nothing changed), and `reason`, in words.
    """
    rows = []
    for unique_id, own in changes.groupby("unique_id", sort=True):
        level = own["before"].mean()
        sizes = own[list(PARTS)].abs().mean()
        shares = sizes / sizes.sum() if sizes.sum() > 0 else sizes
        percent = 100 * own["change"].mean() / level
        rows.append(
            {
                "unique_id": unique_id,
                "weeks": len(own),
                "change_percent": percent,
                **{f"{part}_percent": 100 * own[part].mean() / level for part in PARTS},
                **{f"{part}_share": shares[part] for part in PARTS},
                "reason": _reason(str(unique_id), percent, shares),
            }
        )
    return pd.DataFrame(rows)


def _means(history: pd.Series, entry: Mapping[str, Any], weeks: pd.DatetimeIndex) -> Floats:
    """The forecasts of some weeks, by the configuration of an entry fitted anew."""
    options = {}
    if "fourier" in entry:
        options["season_length"] = entry["fourier"]["period"]
    if "aicc_by_harmonics" in entry["hyperparameters"]:
        options["max_harmonics"] = len(entry["hyperparameters"]["aicc_by_harmonics"]) - 1
    fitted = models.fit(history, Configuration.from_dict(entry["configuration"]), **options).entry
    horizon = int((weeks[-1] - history.index[-1]).days // 7)
    rows = forecaster.forecast(fitted, horizon=horizon, interval="normal")
    means = {pd.Timestamp(row["ds"]): row["mean"] for row in rows}
    return np.array([means[week] for week in weeks])


def _settled(values: Floats, published: Floats) -> Floats:
    """What was published, where the values are the same but for rounding."""
    return published if np.allclose(values, published, rtol=SAME, atol=0) else values


def _reason(unique_id: str, percent: float, shares: pd.Series) -> str:
    if not shares.sum() > 0:
        return f"{unique_id}: unchanged"
    largest = str(shares.idxmax())
    others = [
        f"{text} {100 * shares[part]:.0f} %" for part, text in PARTS.items() if part != largest and shares[part] >= 0.05
    ]
    word = "all" if shares[largest] > 0.995 else "mostly" if shares[largest] > 0.5 else "first of all"
    beside = f" (beside it {', '.join(others)})" if others else ""
    return f"{unique_id}: {percent:+.1f} %, {word} {PARTS[largest]}{beside}"
