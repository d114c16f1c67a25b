"""Checks of the candidate: the gate that blocks, and what informs."""

import dagster as dg

from forecast_assets.failures import recorded_failures
from forecast_assets.gate import verdict_of
from forecast_assets.metadata import listed, markdown_table
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from resources.lake import Lake


@dg.asset_check(
    asset="candidate_model",
    blocking=True,
    description="Over the held-out weeks some series is no worse than the seasonal naive and close to its champion.",
)
def gate(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Block where no series may be published."""
    verdict = verdict_of(lake, week_of(context.partition_key), tolerance=settings.gate_tolerance)
    consequence = (
        " The model registered before keeps serving, and the week has no forecast. Look at held_out and leaderboard; "
        "where the figures are right and the demand is new, wait for more weeks or raise gate_tolerance knowingly."
    )
    return dg.AssetCheckResult(
        passed=verdict.passed,
        description=verdict.reason + ("" if verdict.passed else consequence),
        metadata={"verdict": markdown_table(verdict.table), "passing": len(verdict.passing)},
    )


@dg.asset_check(asset="candidate_model", description="No series is held back.")
def no_series_held_back(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Warn of the series that keep their champion."""
    verdict = verdict_of(lake, week_of(context.partition_key), tolerance=settings.gate_tolerance)
    stand_ins = (
        " They keep the champion's configuration, or the seasonal naive where there is none. Look at their picture "
        "held_out; nothing need be done unless they are held back week after week."
    )
    return dg.AssetCheckResult(
        passed=not verdict.held_back,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict.reason + (stand_ins if verdict.held_back else ""),
        metadata={"held_back": listed(verdict.held_back)},
    )


@dg.asset_check(asset="candidate_model", description="Every configured series has a candidate.")
def every_series_has_a_candidate(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Warn of the series that failed by name somewhere on the way, and of what that means."""
    week = week_of(context.partition_key)
    scores = lake.read("model_scores", week)
    missing = sorted(set(settings.series_ids) - set(scores.loc[scores["role"] == "candidate", "unique_id"]))
    failures = recorded_failures(lake, week)
    reasons = [f"{row['stage']}: {row['message']}" for row in failures.to_dict("records")]
    consequence = (
        "They have a stand-in where one could be fitted, and no forecast otherwise. Mend what the message names, or "
        "take them out of series in forecast.yaml, and refresh the week."
    )
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"None for {', '.join(missing)}: {'; '.join(reasons)}. {consequence}"
        if missing
        else "All have one.",
        metadata={
            "missing": listed(missing),
            **({"failures": markdown_table(failures)} if len(failures) else {}),
        },
    )


def _residual_check(name: str, test: str, *, what: str, consequence: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset="model_diagnostics", name=name, description=f"{test} does not reject {what} at 5 %.")
    def check(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
        table = lake.read("model_diagnostics", week_of(context.partition_key))
        rows = table[table["test"] == test]
        rejected = rows[rows["p_value"] < 0.05]
        series = ", ".join(sorted(set(rejected["unique_id"])))
        return dg.AssetCheckResult(
            passed=rejected.empty,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Rejected for {series}. {consequence}" if len(rejected) else f"{test} rejects nothing.",
            metadata={"smallest_p": round(float(rows["p_value"].min()), 6)},
        )

    return check


residuals_independent = _residual_check(
    "residuals_independent",
    "ljung_box",
    what="independence at lags 1, 10, 26 and 52",
    consequence="The model leaves structure unused; conformal intervals hold all the same. Where the correlogram "
    "shows the same lag week after week, a regressor or more harmonics may use it; else nothing need be done.",
)
residuals_normal = _residual_check(
    "residuals_normal",
    "shapiro_wilk",
    what="normality",
    consequence="Normal intervals are not to be trusted; those published are conformal where the model was calibrated. "
    "Look at the column interval of the forecast; where it says normal, read the bounds with caution.",
)
