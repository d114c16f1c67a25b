"""The gate between a candidate and the registry: arithmetic on scores of the same held-out weeks."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import pandas as pd

from forecasting.errors import SeriesError

ROLES: Final = ("candidate", "champion", "seasonal_naive")


class GateError(SeriesError):
    """The scores do not allow a verdict."""


@dataclass(frozen=True)
class Verdict:
    """The gate's word on a week.

    Attributes:
        week: Which.
        table: A row a series: `unique_id`, `passed`, `ratio_naive`, `ratio_champion`, `reason`.
    """

    week: date
    table: pd.DataFrame

    @property
    def passing(self) -> list[str]:
        """The series that may be published."""
        return list(self.table.loc[self.table["passed"], "unique_id"])

    @property
    def held_back(self) -> list[str]:
        """The series that keep their champion."""
        return list(self.table.loc[~self.table["passed"], "unique_id"])

    @property
    def passed(self) -> bool:
        """Whether any series may be published."""
        return bool(self.table["passed"].any())

    @property
    def reason(self) -> str:
        """The verdict in words."""
        reasons = "; ".join(self.table.loc[~self.table["passed"], "reason"])
        if not self.held_back:
            return f"All {len(self.passing)} series of {self.week} pass the gate."
        if self.passed:
            return f"Held back in {self.week}: {reasons}."
        return f"No series of {self.week} passes the gate: {reasons}."


def verdicts(scores: pd.DataFrame, *, tolerance: float = 1.05) -> pd.DataFrame:
    """Decide for every series whether its candidate may replace the champion.

    A candidate passes if its MAE on the held-out weeks is no worse than the seasonal naive forecast's and at
    most `tolerance` times that of the champion's configuration, fitted to the same weeks. The tolerance keeps
    chance on 26 weeks from holding a model of the newest data back. A series without a champion needs to beat
    the naive forecast only.

    Args:
        scores: unique_id, role ("candidate", "champion" or "seasonal_naive"), mae (the unit of the series);
            one row per role.
        tolerance: largest ratio to the champion's MAE.

    Returns:
        One row per series: unique_id, passed, ratio_naive, ratio_champion (NaN without a champion), reason
        (in words). A ratio to an MAE of zero is 1 for another zero, infinite otherwise.

    Raises:
        GateError: a role is unknown or there twice, the candidate's or the naive's row is missing, or an MAE
            is no number from 0 on.
    """
    unknown = scores[~scores["role"].isin(ROLES)]
    if not unknown.empty:
        row = unknown.iloc[0]
        raise GateError(str(row["unique_id"]), f"role {row['role']!r} is none of {', '.join(ROLES)}")
    rows = [_verdict(str(unique_id), rows, tolerance) for unique_id, rows in scores.groupby("unique_id", sort=True)]
    return pd.DataFrame(rows, columns=["unique_id", "passed", "ratio_naive", "ratio_champion", "reason"])


def _verdict(unique_id: str, rows: pd.DataFrame, tolerance: float) -> dict[str, object]:
    doubled = rows["role"].duplicated()
    if doubled.any():
        raise GateError(unique_id, f"role {rows.loc[doubled, 'role'].iloc[0]!r} is scored twice")
    mae = {str(role): float(value) for role, value in zip(rows["role"], rows["mae"], strict=True)}
    for role in ("candidate", "seasonal_naive"):
        if role not in mae:
            raise GateError(unique_id, f"no held-out score of the {role}; fit it on the same weeks first")
    for role, value in mae.items():
        if not 0 <= value < float("inf"):
            raise GateError(unique_id, f"the MAE of the {role} is {value}")
    candidate = mae["candidate"]
    ratio_naive = _ratio(candidate, mae["seasonal_naive"])
    ratio_champion = _ratio(candidate, mae["champion"]) if "champion" in mae else float("nan")
    failures = []
    if ratio_naive > 1:
        failures.append(
            f"worse than the seasonal naive forecast: {_compared(candidate, mae['seasonal_naive'], ratio_naive)}"
        )
    if ratio_champion > tolerance:
        compared = _compared(candidate, mae["champion"], ratio_champion)
        failures.append(f"worse than the champion beyond the tolerance of {tolerance:g}: {compared}")
    if failures:
        reason = "held back, " + "; ".join(failures)
    elif "champion" in mae:
        against = f"and {ratio_champion:.3f} of the champion's"
        reason = f"passed: MAE {candidate:.1f}, {ratio_naive:.3f} of the seasonal naive's {against}"
    else:
        reason = f"passed: MAE {candidate:.1f}, {ratio_naive:.3f} of the seasonal naive's; there is no champion yet"
    return {
        "unique_id": unique_id,
        "passed": not failures,
        "ratio_naive": ratio_naive,
        "ratio_champion": ratio_champion,
        "reason": reason,
    }


def _ratio(value: float, reference: float) -> float:
    if reference == 0:
        return 1.0 if value == 0 else float("inf")
    return value / reference


def _compared(value: float, reference: float, ratio: float) -> str:
    return f"MAE {value:.1f} against {reference:.1f}, ratio {ratio:.3f}"
