"""Model: the candidate, its diagnostics, and its registration once it has passed the gate."""

from dataclasses import fields
from datetime import date

import dagster as dg
import pandas as pd

from forecast_assets.artifacts import MODEL_FILES, candidate_models, keep_candidate_models, registered_artifact
from forecast_assets.failures import record_failures
from forecast_assets.gate import gated_artifact, verdict_of
from forecast_assets.metadata import listed, markdown_table, of_series, pictures, stored, weekly_asset
from forecast_assets.outputs import failure_messages, training_files
from forecast_assets.partitions import week_of
from forecast_assets.registration import approval_of, capacity_types
from forecast_assets.requests import TRAINING_VERSION, fit_request
from forecast_assets.settings import Settings
from forecast_assets.tables import CHAMPIONS, DIAGNOSTICS, MODEL_SCORES, model_score_columns, schema
from forecasting import artifact as artifacts
from forecasting.by_series import by_series
from forecasting.configuration import Configuration
from forecasting.registration import facts, metrics
from resources.archive import JobFiles
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import Candidate, ModelRegistry


@weekly_asset(
    deps=["counterfactual", "tuning_trials"],
    description="The chosen configuration of every series fitted twice, without its held-out weeks and on all, beside "
    "the champion's configuration and the seasonal naive. The table holds the scores; the model is forecaster.json.",
    group="model",
    kinds={"sagemaker", "json"},
    columns=MODEL_SCORES,
    code_version=TRAINING_VERSION,
    pool="sagemaker",
)
def candidate_model(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Fit the candidate as a training job."""
    week = week_of(context.partition_key)
    champions = champion_configurations(settings, lake, sagemaker, week)
    lake.write("champions", week, champions)
    request = fit_request(settings, lake, sagemaker, week, has_champions=not champions.empty)
    job = sagemaker.pipes(prices=settings.prices).run(
        context=context,
        kind="training",
        request=request,
        retries=settings.training.retries,
        instance_types=settings.training.instance_types,
        max_wait_s=settings.training.max_wait_s,
    )
    scores = keep_candidate(lake, week, training_files(lake, sagemaker, job.description))
    reported = job.materialization()
    # The columns follow the levels that the settings ask for.
    columns = {"dagster/column_schema": schema(model_score_columns(settings.levels))}
    metadata = {**columns, **(reported.metadata or {})}
    return stored(lake, "model_scores", week, scores, metadata=metadata)


@weekly_asset(
    deps=["candidate_model"],
    description="Whether the residuals of the candidate are white and normal, and what they look like.",
    group="model",
    kinds={"python", "parquet"},
    columns=DIAGNOSTICS,
    code_version="1",
)
def model_diagnostics(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Show the diagnostics that the training job computed."""
    from forecasting.plots import residual_panels

    week = week_of(context.partition_key)
    diagnostics, residuals = lake.read("diagnostics", week), lake.read("residuals", week)
    p_values = diagnostics.groupby(["test", "unique_id"])["p_value"].min()
    return stored(
        lake,
        "model_diagnostics",
        week,
        diagnostics,
        metadata={
            **pictures(
                residuals["unique_id"].unique(),
                lambda name: residual_panels(of_series(residuals, name)),
                what="residuals",
            ),
            **by_series("residual_sd", residuals.groupby("unique_id")["residual"].std()),
            **by_series("p_ljung_box", p_values["ljung_box"]),  # the smallest over the lags
            **by_series("p_shapiro_wilk", p_values["shapiro_wilk"]),
            "tests": markdown_table(diagnostics),
        },
    )


@weekly_asset(
    deps=["candidate_model"],
    description="The week's model in the registry. A series the gate held back keeps its champion's configuration, "
    "or the seasonal naive where it has none. Materialized alone it asks for its week's verdict: a candidate that the "
    "gate refuses is registered as rejected, and serves nobody.",
    group="model",
    kinds={"sagemaker", "json"},
    code_version="1",
)
def registered_model(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake, sagemaker: SageMaker
) -> dg.MaterializeResult[None]:
    """Register what the gate lets through, and what it does not as rejected."""
    week = week_of(context.partition_key)
    verdict = verdict_of(lake, week, tolerance=settings.gate_tolerance)
    artifact = gated_artifact(lake, verdict) if verdict.passed else candidate_models(lake, week)[0]
    scores = lake.read("model_scores", week)
    digest = artifact["digest"]
    key, metrics_key = f"models/{digest}/model.tar.gz", f"models/{digest}/metrics.json"
    packed = lake.write_bytes(key, artifacts.pack(artifact))
    lake.write_bytes(metrics_key, metrics(verdict, scores))
    model = ModelRegistry(sagemaker.client(), group=settings.model_group).register(
        Candidate(
            week=week,
            digest=digest,
            model_data=sagemaker.uri(key),
            metrics=sagemaker.uri(metrics_key),
            facts=facts(verdict, artifact, scores),
        ),
        image=sagemaker.image("serving"),
        approval=approval_of(verdict, settings.approval),
        reason=verdict.reason,
        instance_types=capacity_types(settings),
    )
    log = context.log.info if verdict.passed else context.log.warning
    log(f"Version {model.version} of {settings.model_group}: {model.approval}. {model.reason}")
    return dg.MaterializeResult(
        metadata={
            "arn": model.arn,
            "version": model.version,
            "approval": model.approval,
            "reason": model.reason,
            "artifact": dg.MetadataValue.path(packed),
            "series_passed": len(verdict.passing),
            "series_held_back": len(verdict.held_back),
            "held_back": listed(verdict.held_back),
        },
        data_version=dg.DataVersion(digest),
    )


def keep_candidate(lake: Lake, week: date, files: JobFiles) -> pd.DataFrame:
    """Put what the fit left into the lake, but for the scores, which it gives: tables, the artifact, the stand-ins.

    Everything is read before anything is written.

    Raises:
        ArchiveError: A file is missing or damaged.
    """
    failures, scores = failure_messages(files.content("failures.json")), files.table("scores.parquet")
    tables = {name: files.table(f"{name}.parquet") for name in ("held_out", "residuals", "diagnostics")}
    models = {name: files.content(name) for name in MODEL_FILES}
    record_failures(lake, week, "candidate_model", failures)
    for name, frame in tables.items():
        lake.write(name, week, frame)
    keep_candidate_models(lake, week, models)
    return scores


def champion_configurations(settings: Settings, lake: Lake, sagemaker: SageMaker, week: date) -> pd.DataFrame:
    """The configurations that serve as of a week: of the newest approved model of an earlier one; empty where none is.

    Returns:
        `unique_id` and a column for each hyper-parameter.
    """
    champion = ModelRegistry(sagemaker.client(), group=settings.model_group).newest("Approved", before=week)
    rows = []
    if champion is not None:
        served = registered_artifact(lake, sagemaker, champion)
        rows = [
            # One type a column: the number of harmonics may be a word.
            {"unique_id": name, **entry["configuration"], "harmonics": str(entry["configuration"]["harmonics"])}
            for name, entry in served["series"].items()
            if name in settings.series and entry["model"] != "seasonal_naive"
        ]
    found = pd.DataFrame(rows, columns=["unique_id", *(field.name for field in fields(Configuration))])
    return found.astype({name: "bool" if kind == "bool" else "str" for name, (kind, _) in CHAMPIONS.items()})
