"""The jobs: the weekly refresh, the replay of a week, its scores anew, its registration, and the deployment.

Refresh and deployment are two jobs because one is by week and the other is not: a mixed job without a partition key
fails, and a failed gate would paint the endpoint red though it serves on.
"""

import dagster as dg

# Every asset below is light or waits for a job: one process per run is faster than one per step.
_IN_PROCESS = dg.in_process_executor

_REPLAYED = (
    "release",
    "observations",
    "outlier_flags",
    "structural_break",
    "counterfactual",
    "tuning_trials",
    "candidate_model",
    "model_diagnostics",
    "forecast",
    "forecast_accuracy",
    "forecast_changes",
)
_REFRESHED = (*_REPLAYED, "registered_model", "dashboard")
_DEPLOYED = ("forecast_endpoint", "forecast_api", "catalog")

ASSETS = frozenset(map(dg.AssetKey, (*_REFRESHED, *_DEPLOYED)))
"""What the jobs make."""

weekly_refresh = dg.define_asset_job(
    "weekly_refresh",
    selection=dg.AssetSelection.assets(*_REFRESHED),
    description="From the release of a week to its forecast, its registered model and its page.",
    executor_def=_IN_PROCESS,
)

backfill = dg.define_asset_job(
    "backfill",
    selection=dg.AssetSelection.assets(*_REPLAYED),
    description="Replay a past week as it was known then. Registers nothing and never touches the endpoint.",
    executor_def=_IN_PROCESS,
)

score = dg.define_asset_job(
    "score",
    selection=dg.AssetSelection.assets("forecast_accuracy", "forecast_changes"),
    description="Score a week's earlier forecasts again, and compare it with the week before: for weeks that were "
    "refreshed before their predecessors were replayed.",
    executor_def=_IN_PROCESS,
)

register = dg.define_asset_job(
    "register",
    selection=dg.AssetSelection.assets("registered_model"),
    description="Register a week's candidate by what the gate says today: as rejected where it refuses it, as anew "
    "where its tolerance has changed. It fails where the gate refuses.",
    executor_def=_IN_PROCESS,
)

deploy = dg.define_asset_job(
    "deploy",
    selection=dg.AssetSelection.assets(*_DEPLOYED),
    description="Bring the endpoint to the newest approved model, the REST API in front of it, and the catalog to the "
    "tables there are.",
    executor_def=_IN_PROCESS,
)

default_jobs = [weekly_refresh, backfill, score, register, deploy]
