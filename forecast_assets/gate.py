"""The gate: which series of a candidate may be published, and what stands in for the others.

The verdict of a week is a function of that week's scores in the lake, so every asset that needs it asks here instead of
trusting that a check ran before it.
"""

from datetime import date
from typing import Any

from forecast_assets.artifacts import candidate_models
from forecasting import artifact
from forecasting.gate import Verdict, verdicts
from resources.lake import Lake

__all__ = ["Verdict", "gated_artifact", "published_entries", "verdict_of"]


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
    return artifact.gated(candidate, stand_ins, verdict.passing)


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
