"""The gate: which series of a candidate may be published, and what stands in for the others.

The verdict of a week is a function of that week's scores in the lake, so every asset that needs it asks here instead of
trusting that a check ran before it.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from forecast_assets.artifacts import candidate_models
from forecasting import artifact
from forecasting.gate import verdicts
from resources.lake import Lake


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


def verdict_of(lake: Lake, week: date, *, tolerance: float) -> Verdict:
    """The verdict on the candidate of a week.

    Args:
        lake: Where the scores are.
        week: Which.
        tolerance: A candidate may be this many times as bad as the champion over the held-out weeks.

    Raises:
        MissingTableError: The week has no candidate.
    """
    return Verdict(week, verdicts(lake.read("model_scores", week), tolerance=tolerance))


def gated_artifact(lake: Lake, verdict: Verdict) -> dict[str, Any]:
    """The artifact that may be published: the candidate of every series that passed, a stand-in for every other."""
    candidate, stand_ins = candidate_models(lake, verdict.week)
    passed = {name: candidate["series"][name] for name in verdict.passing}
    return artifact.build_artifact({**stand_ins, **passed}, provenance=candidate["provenance"])


def published_entries(lake: Lake, week: date) -> dict[str, dict[str, Any]]:
    """The entry that each series of a week's forecast was made from, whatever the gate would say today.

    Raises:
        MissingTableError: The week has no forecast.
        DamagedModelError: Its models are gone or damaged.
    """
    candidate, stand_ins = candidate_models(lake, week)
    roles = lake.read("forecast", week).drop_duplicates("unique_id").set_index("unique_id")["role"]
    entries = {"candidate": candidate["series"], "stand-in": stand_ins}
    return {str(name): entries[role][name] for name, role in roles.items() if name in entries[role]}
