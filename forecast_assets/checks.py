"""Checks: the gates that block, and the warnings that inform.

Each reads the lake, not what an asset held in memory, so that it judges what consumers would read.
"""

import dagster as dg
import pandas as pd

from forecast_assets.failures import recorded_failures
from forecast_assets.gate import verdict_of
from forecast_assets.metadata import listed, markdown_table
from forecast_assets.partitions import week_of
from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings import Settings
from forecasting import artifact as artifacts
from forecasting import forecaster
from resources.eia.resource import SIMULATED_WARNING
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker

WARN = dg.AssetCheckSeverity.WARN


@dg.asset_check(asset="release", description="The figures are EIA's, not simulated.")
def real_figures(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Warn where the lake is simulated."""
    del context
    real = lake.kind == "real"
    return dg.AssetCheckResult(
        passed=real,
        severity=WARN,
        description="The figures are EIA's." if real else SIMULATED_WARNING,
    )


@dg.asset_check(
    asset="observations", blocking=True, description="Schema, Fridays, one row a week, nothing later than the week."
)
def observations_valid(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Validate the table that was stored."""
    from resources.eia.errors import EiaError
    from resources.eia.observations import validate

    week = week_of(context.partition_key)
    table = lake.read("observations", week)
    problems = [
        f"{name} is missing: refresh the week" for name in settings.series_ids if name not in set(table["unique_id"])
    ]
    later = table[table["ds"] > pd.Timestamp(week)]
    problems += [f"{row.unique_id} has {row.ds:%Y-%m-%d}, which is later than {week}" for row in later.itertuples()]
    for name, frame in table.groupby("unique_id"):
        try:
            validate(
                frame[["ds", "y"]].reset_index(drop=True),
                unique_id=str(name),
                week=week,
                plausible=settings.series[str(name)].plausible_kbd,
            )
        except EiaError as error:
            problems.append(str(error))
    return dg.AssetCheckResult(
        passed=not problems,
        description="; ".join(problems) + ". Nothing downstream is made." if problems else "Valid.",
        metadata={"rows": len(table), "series": int(table["unique_id"].nunique())},
    )


@dg.asset_check(
    asset="counterfactual", blocking=True, description="It differs from the observed weeks within breaks only."
)
def only_the_break_changed(context: dg.AssetCheckExecutionContext, lake: Lake) -> dg.AssetCheckResult:
    """Compare the counterfactual with the observations and the breaks."""
    week = week_of(context.partition_key)
    table = lake.read("counterfactual", week)
    observed = lake.read("observations", week)[["unique_id", "ds", "y"]]
    merged = table.merge(observed, on=["unique_id", "ds"], how="left", suffixes=("", "_observed"))
    within = pd.Series(data=False, index=merged.index)
    for span in lake.read("structural_break", week).to_dict("records"):
        own = merged["unique_id"] == span["unique_id"]
        within |= own & (merged["ds"] >= span["start"]) & (merged["ds"] <= span["end"])
    wrong = merged[
        (merged["y"] != merged["y_observed"])
        | (merged["replaced"] != within)
        | (~within & (merged["counterfactual"] != merged["y"]))
        | ~(merged["counterfactual"] > 0)
    ]
    places = ", ".join(f"{row.unique_id} {row.ds:%Y-%m-%d}" for row in wrong.head(5).itertuples())
    return dg.AssetCheckResult(
        passed=wrong.empty,
        description=f"{len(wrong)} weeks are not as they must be: {places}. Nothing is tuned on them."
        if len(wrong)
        else "Only weeks within breaks differ.",
        metadata={"replaced": int(table["replaced"].sum()), "wrong": len(wrong)},
    )


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
    consequence = "" if verdict.passed else " The model registered before keeps serving, and the week has no forecast."
    return dg.AssetCheckResult(
        passed=verdict.passed,
        description=verdict.reason + consequence,
        metadata={"verdict": markdown_table(verdict.table), "passing": len(verdict.passing)},
    )


@dg.asset_check(asset="candidate_model", description="No series is held back.")
def no_series_held_back(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Warn of the series that keep their champion."""
    verdict = verdict_of(lake, week_of(context.partition_key), tolerance=settings.gate_tolerance)
    stand_ins = " They keep the champion's configuration, or the seasonal naive where there is none."
    return dg.AssetCheckResult(
        passed=not verdict.held_back,
        severity=WARN,
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
    consequence = "They have a stand-in where one could be fitted, and no forecast otherwise."
    return dg.AssetCheckResult(
        passed=not missing,
        severity=WARN,
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
            severity=WARN,
            description=f"Rejected for {series}. {consequence}" if len(rejected) else f"{test} rejects nothing.",
            metadata={"smallest_p": round(float(rows["p_value"].min()), 6)},
        )

    return check


residuals_independent = _residual_check(
    "residuals_independent",
    "ljung_box",
    what="independence at lags 1, 10, 26 and 52",
    consequence="The model leaves structure unused; conformal intervals hold all the same.",
)
residuals_normal = _residual_check(
    "residuals_normal",
    "shapiro_wilk",
    what="normality",
    consequence="Normal intervals are not to be trusted; the published ones are conformal.",
)


@dg.asset_check(
    asset="forecast", blocking=True, description="Every series, every week from the cutoff on, intervals nested."
)
def forecast_complete(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.AssetCheckResult:
    """Look at the forecast as a consumer would."""
    week = week_of(context.partition_key)
    table = lake.read("forecast", week)
    expected = pd.date_range(pd.Timestamp(week), periods=settings.horizon + 1, freq="W-FRI")[1:]
    bounds = [f"lo-{level:g}" for level in reversed(settings.levels)]
    bounds += ["mean", *(f"hi-{level:g}" for level in settings.levels)]
    problems = []
    for name, rows in table.groupby("unique_id"):
        if list(rows["ds"]) != list(expected):
            problems.append(f"{name} does not have the {settings.horizon} weeks after {week}")
        values = rows[bounds].to_numpy()
        if not ((values[:, 1:] >= values[:, :-1]).all() and (values > 0).all()):
            problems.append(f"{name} has intervals that are not nested")
    return dg.AssetCheckResult(
        passed=not problems and not table.empty,
        description="; ".join([*problems, "do not use it: refresh with --force"]) if problems else "Complete.",
        metadata={"rows": len(table)},
    )


@dg.asset_check(
    asset="forecast_endpoint", blocking=True, description="The endpoint answers exactly what the artifact forecasts."
)
def answers_as_artifact(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.AssetCheckResult:
    """Ask the endpoint for every series and compare to the last bit."""
    del context
    model = newest_approved(settings, sagemaker)
    if model is None:
        return dg.AssetCheckResult(passed=False, description="There is no approved model.")
    artifact = artifacts.unpack(lake.root / sagemaker.key(model.model_data))
    endpoint = model_endpoint(settings, sagemaker)
    differing = []
    for name, entry in artifact["series"].items():
        interval = forecaster.best_interval(entry)
        expected = forecaster.forecast(entry, horizon=settings.horizon, levels=settings.levels, interval=interval)
        answer = endpoint.invoke({"series": name, "periods": settings.horizon, "levels": list(settings.levels)})
        if [{key: row[key] for key in expected[0]} for row in answer] != expected:
            differing.append(name)
    return dg.AssetCheckResult(
        passed=not differing,
        description=f"It answers otherwise for {', '.join(differing)}: deploy again, or roll back."
        if differing
        else "It answers as the artifact forecasts.",
        metadata={"series": len(artifact["series"]), "model": model.arn},
    )
