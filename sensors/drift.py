"""Drift: forecasts are worse than the backtest promised. People are told, and a search is asked for if due."""

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from forecast_assets.drift import Fare, fares
from forecast_assets.settings import Settings
from forecast_assets.tuning import SEARCH_TAG
from forecasting.monitoring import BIAS_WEEKS
from jobs.weekly import weekly_refresh
from resources.alerts import Alert, Alerts
from resources.lake import Lake

_WEEKLY = "the configuration is searched anew every week, so the model follows as new weeks enter it"
_ASKED = "a new search of its configuration is asked for"
_RECENT = "its configuration was searched since these forecasts were made, or a search is under way"


def drift(settings: Settings) -> dg.SensorDefinition:
    """The sensor that compares the last weeks with the backtest, once after each week that is scored."""

    @dg.sensor(
        name="drift",
        job=weekly_refresh,
        minimum_interval_seconds=settings.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Once a week is scored: error and bias of the last {BIAS_WEEKS} weeks against the backtest, and "
        "coverage. Alerts where they have drifted, and asks for a new search where retuning is not weekly.",
    )
    def tick(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], lake: Lake, alerts: Alerts
    ) -> dg.SensorResult | dg.SkipReason:
        scored = lake.weeks("forecast_accuracy")
        if not scored:
            return dg.SkipReason("No forecast is scored yet.")
        week = scored[-1]
        judged = f"{week}:{lake.written_at('forecast_accuracy', week)}"
        if context.cursor == judged:
            return dg.SkipReason(f"{week} is judged; it looks again when the next week is scored.")
        if not lake.has("tuning_trials", week):
            return dg.SkipReason(f"{week} is scored, and its configurations are not searched yet.")
        found = fares(lake, week, tolerance=settings.drift.tolerance)
        search = settings.retuning == "on_drift" and any(is_search_due(fare, week) for fare in found)
        tell(found, alerts, week, retuning=settings.retuning)
        if not search:
            drifted = ", ".join(fare.unique_id for fare in found if fare.reasons)
            said = f"{week}: drifted: {drifted}." if drifted else f"{week}: no drift."
            return dg.SensorResult(skip_reason=said, cursor=judged)
        key, tags = f"{week}:search", {SEARCH_TAG: "drift"}
        request = dg.RunRequest(run_key=key, partition_key=week.isoformat(), tags=tags)
        return dg.SensorResult(run_requests=[request], cursor=judged)

    return tick


def is_search_due(fare: Fare, week: date) -> bool:
    """Whether all forecasts that drifted come from one search: a newer one has had no time to show what it is worth."""
    return bool(fare.reasons) and fare.searched <= week - timedelta(weeks=BIAS_WEEKS)


def tell(found: Sequence[Fare], alerts: Alerts, week: date, *, retuning: str) -> None:
    """Open an alert for every series that has drifted, close those of series that are well clear of it."""
    for fare in found:
        key = f"drift:{fare.unique_id}"
        if fare.reasons:
            follows = _WEEKLY if retuning == "weekly" else _ASKED if is_search_due(fare, week) else _RECENT
            alerts.open(
                Alert(
                    key=key,
                    title=f"Forecasts of {fare.unique_id} have drifted",
                    week=week,
                    what=f"Up to {week}, {'; '.join(fare.reasons)}.",
                    why="Demand has left the pattern that the model was chosen on, or a structural break has begun: "
                    "look at the pictures of forecast_accuracy and at structural_break.",
                    consequence=f"Forecasts and intervals of {fare.unique_id} are worse than promised; {follows}.",
                    link="/assets/forecast_accuracy",
                )
            )
        elif fare.recovered:
            alerts.close(key, recovery=f"Up to {week} the forecasts of {fare.unique_id} are as the backtest promised.")
