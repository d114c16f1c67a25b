"""The training lineage as a SageMaker Pipeline: counterfactual, search, fit, gate, registration, for any week.

The requests are those that the assets make, with placeholders for what is known only when the pipeline runs. The assets
of a week before them (its release, observations, breaks) and the configurations that serve so far are in the lake then.
"""

from datetime import date
from typing import Any

from forecast_assets.model import champion_configurations
from forecast_assets.requests import Unread, counterfactual_request, fit_request, gate_request, tuning_request
from forecast_assets.settings import Settings
from resources import parquet
from resources.lake import Lake, content_digest
from resources.sagemaker.pipeline.definition import EXECUTION, Job, PipelineError, Report, TrainingPipeline
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import Candidate, package_request

_WEEK = date(9999, 12, 31)
"""Stands for the week in the requests; no week is named so."""
_CHECKSUM = "@@Parameters.DataChecksum@@"
_INPUTS = ("observations", "structural_break")
_CHAMPIONS = "pipelines/champions"
_FACTS = ("passed", "held_back", "data_checksum", "code_version")


def pipeline_name(settings: Settings) -> str:
    """What the pipeline of these settings is called."""
    return f"{settings.stack}-training"


def training_pipeline(settings: Settings, sagemaker: SageMaker) -> TrainingPipeline:
    """The pipeline that these settings describe.

    Raises:
        PipelineError: They describe none: it runs on AWS, and searches in one job.
    """
    _require_aws(settings)
    if settings.search == "automatic":
        raise PipelineError("search is automatic: the pipeline searches in one job; set FORECAST_SEARCH to exhaustive")
    folder = sagemaker.uri(f"pipelines/{EXECUTION}")
    unread = Unread(uri=settings.lake_uri, checksum=_CHECKSUM)
    counterfactual, _ = counterfactual_request(settings, unread, sagemaker, _WEEK)
    (output,) = counterfactual["ProcessingOutputConfig"]["Outputs"]
    output["S3Output"]["S3Uri"] = f"{folder}/counterfactual"
    made = "@@Steps.Counterfactual.ProcessingOutputConfig.Outputs['counterfactual'].S3Output.S3Uri@@"
    tune = tuning_request(settings, unread, sagemaker, _WEEK)
    fit = fit_request(settings, unread, sagemaker, _WEEK, has_champions=True)
    for request in (tune, fit):
        request["OutputDataConfig"]["S3OutputPath"] = folder
        if "CheckpointConfig" in request:  # of other data of the same week they would be
            request["CheckpointConfig"]["S3Uri"] = f"{folder}/checkpoints/"
    _read_from(tune, {"counterfactual": made})
    _read_from(
        fit,
        {
            "counterfactual": made,
            "search": "@@Steps.Tune.ModelArtifacts.S3ModelArtifacts@@",
            "champions": sagemaker.uri(f"{_CHAMPIONS}/week={_WEEK}/"),
        },
    )
    gate = gate_request(
        settings, sagemaker, _WEEK, fit=f"{folder}/@@Steps.Fit.TrainingJobName@@/output/", outputs=f"{folder}/gate"
    )
    retries = settings.processing.retries
    jobs = (
        Job("Counterfactual", "Processing", counterfactual, retries),
        Job("Tune", "Training", tune, settings.tuning.retries),
        Job("Fit", "Training", fit, settings.training.retries),
        Job("Gate", "Processing", gate, retries, Report("verdict", "verdict.json")),
    )
    packed = "@@Steps.Gate.ProcessingOutputConfig.Outputs['model'].S3Output.S3Uri@@"
    package = package_request(
        Candidate(
            week=_WEEK,
            digest="@@Report.Gate.digest@@",
            model_data=f"{packed}/model.tar.gz",
            metrics=f"{packed}/metrics.json",
            facts={name: f"@@Report.Gate.facts.{name}@@" for name in _FACTS},
        ),
        image=sagemaker.image("serving"),
        approval="Approved" if settings.approval == "automatic" else "PendingManualApproval",
        instance_types=[settings.endpoint.instance_type] if settings.endpoint.instance_type else [],
    )
    return TrainingPipeline(
        name=pipeline_name(settings),
        parameters={"Week": None, "DataChecksum": "unknown"},
        jobs=tuple(Job(one.name, one.kind, _of_any_week(one.request), one.retries, one.report) for one in jobs),
        passes="series_passed",
        registration=_of_any_week({"ModelPackageGroupName": settings.model_group, **package}),
        refusal="@@Report.Gate.reason@@",
    )


def prepare(settings: Settings, lake: Lake, sagemaker: SageMaker, week: date) -> dict[str, str]:
    """Put the configurations that serve so far into the lake; the parameters to start the pipeline with.

    Raises:
        PipelineError: The settings describe no pipeline.
        MissingTableError: The week lacks a table that the pipeline reads.
    """
    _require_aws(settings)
    checksum = "-".join(content_digest(lake.read(name, week))[:16] for name in _INPUTS)
    champions = parquet.dumped(champion_configurations(settings, lake, sagemaker, week))
    lake.write_bytes(f"{_CHAMPIONS}/week={week}/data.parquet", champions)
    return {"Week": week.isoformat(), "DataChecksum": checksum}


def _require_aws(settings: Settings) -> None:
    if settings.compute != "aws":
        raise PipelineError("compute is local: a pipeline runs in an account. Set FORECAST_COMPUTE to aws")


def _read_from(request: dict[str, Any], uris: dict[str, str]) -> None:
    """Give a training request these channels."""
    (first, *_) = request["InputDataConfig"]
    source = first["DataSource"]["S3DataSource"]
    request["InputDataConfig"] = [
        {**first, "ChannelName": name, "DataSource": {"S3DataSource": {**source, "S3Uri": uri}}}
        for name, uri in uris.items()
    ]


def _of_any_week(value: Any) -> Any:  # noqa: ANN401 - JSON is any value
    """A request with the parameter where it names the week."""
    if isinstance(value, dict):
        return {key: _of_any_week(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_of_any_week(inner) for inner in value]
    return value.replace(_WEEK.isoformat(), "@@Parameters.Week@@") if isinstance(value, str) else value
