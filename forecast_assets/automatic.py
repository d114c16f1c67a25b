"""The search by SageMaker automatic tuning: a tuning job a series, and a job that ranks what they found.

The leaderboard is that of the exhaustive search: each trial scores one configuration by the same cross-validation, and
the last job ranks them by the same rule. It scores the default too where no trial did, since the rule asks by how much
another configuration beats it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.outputs import training_files
from forecast_assets.requests import automatic_request, ranking_request
from forecast_assets.settings import Settings
from forecast_assets.tables import TUNING_ERRORS
from forecasting.configuration import Configuration
from resources import parquet
from resources.aws import asking
from resources.lake import Lake, content_digest
from resources.sagemaker.pipes import CompletedJob, JobFailedError
from resources.sagemaker.platform import SageMaker

_COLUMNS = (
    "unique_id",
    "configuration",
    *(field.name for field in fields(Configuration)),
    *("status", "reason", "n_parameters", "seconds"),
)
_NO_TRIAL = "No training job succeeded"
_SCORED_NOTHING = re.compile(r"NoTrialError: .*?; \S+: (?P<status>\w+): (?P<reason>.*)", re.DOTALL)
_EXIT_CODE = re.compile(r", exit code: \d+.*$", re.DOTALL)
_TOLD = ("sagemaker_job", "console", "trials", "failed_trials", "best_objective", "billable_seconds", "job_seconds")
_TOLD_OF_MONEY = ("spot_savings_percent", "interruptions", "estimated_cost", "estimated_cost_usd")


def search_automatically(
    context: dg.AssetExecutionContext, settings: Settings, lake: Lake, sagemaker: SageMaker, week: date
) -> tuple[CompletedJob, dict[str, Any]]:
    """Run the tuning jobs one after the other, then the job that ranks; one that ran before is taken up.

    Returns:
        The job that ranked, which left what a search leaves; and what is worth telling of each tuning job.

    Raises:
        JobFailedError: A job failed. A series of which no trial succeeded is no failure: its trials say why.
    """
    trials: list[dict[str, Any]] = []
    errors: list[pd.DataFrame] = []
    told: dict[str, Any] = {}
    names = [str(name) for name in sorted(lake.read("counterfactual", week)["unique_id"].unique())]
    for number, series in enumerate(names, start=1):
        context.log.info(f"Tuning {series}, {number} of {len(names)} series")
        job, facts = _tune(context, settings, lake, sagemaker, week, series)
        told |= {f"{name}_{series}": facts[name] for name in (*_TOLD, *_TOLD_OF_MONEY) if name in facts}
        rows, frames = _trials(lake, sagemaker, job, series)
        trials += rows
        errors += frames
    folder, digest = _stage(lake, week, pd.DataFrame(trials, columns=list(_COLUMNS)), errors)
    request = ranking_request(settings, lake, sagemaker, week, trials=folder, digest=digest)
    ranked = sagemaker.pipes(prices=settings.prices).run(
        context=context,
        kind="training",
        request=request,
        retries=settings.tuning.retries,
        instance_types=settings.tuning.instance_types,
        max_wait_s=settings.tuning.max_wait_s,
    )
    return ranked, told


def _tune(
    context: dg.AssetExecutionContext,
    settings: Settings,
    lake: Lake,
    sagemaker: SageMaker,
    week: date,
    series: str,
) -> tuple[str, Mapping[str, Any]]:
    """The tuning job of a series, by name, and its facts."""
    request = automatic_request(settings, lake, sagemaker, week, series=series)
    rounds = math.ceil(settings.automatic.trials / settings.automatic.parallel)
    try:
        job = sagemaker.pipes(prices=settings.prices).run(
            context=context,
            kind="tuning",
            request=request,
            retries=settings.tuning.retries,
            max_wait_s=rounds * settings.tuning.max_wait_s,
        )
    except JobFailedError as failure:
        if not failure.reason.startswith(_NO_TRIAL):
            raise
        context.log.warning(f"{series}: {failure.description}")
        return failure.job_name, {}
    return job.name, job.materialization().metadata or {}


def _trials(
    lake: Lake, sagemaker: SageMaker, tuning_job: str, series: str
) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """The trials of a tuning job, a row each, and the errors of those that worked."""
    client = sagemaker.client()
    found: dict[str, dict[str, Any]] = {}
    errors = []
    with asking(f"read the trials of tuning job {tuning_job}"):
        pages = client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
            HyperParameterTuningJobName=tuning_job
        )
        summaries = [summary for page in pages for summary in page["TrainingJobSummaries"]]
        for summary in summaries:
            if summary["TrainingJobStatus"] != "Completed":
                row = _failed(series, summary)
                found.setdefault(row["configuration"], row)
                continue
            description = client.describe_training_job(TrainingJobName=summary["TrainingJobName"])
            files = training_files(lake, sagemaker, description)
            (scored,) = files.table("trials.parquet").to_dict("records")
            if found.get(scored["configuration"], {}).get("status") != "ok":  # tried twice, it scored the same
                found[scored["configuration"]] = {str(name): scored[name] for name in _COLUMNS}
                errors.append(files.table("errors.parquet"))
    return list(found.values()), errors


def _failed(series: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a trial that did not complete: its configuration, and why."""
    configuration = Configuration.from_text(summary["TunedHyperParameters"])
    said = summary.get("FailureReason", f"the training job was {summary['TrainingJobStatus']}")
    name, _, rest = said.partition(": ")
    named = _SCORED_NOTHING.search(_EXIT_CODE.sub("", said)) if name == "AlgorithmError" else None
    why = named.groupdict() if named else {"status": name if rest else "Stopped", "reason": said}
    return {
        "unique_id": series,
        "configuration": configuration.name,
        **configuration.to_dict(),
        "harmonics": str(configuration.harmonics),
        **why,
        "n_parameters": math.nan,
        "seconds": 0.0,
    }


def _stage(lake: Lake, week: date, trials: pd.DataFrame, errors: list[pd.DataFrame]) -> tuple[str, str]:
    """Put what the tuning jobs found where the ranking job reads it; gives the folder and a digest of what it holds."""
    together = pd.concat(errors, ignore_index=True) if errors else pd.DataFrame(columns=list(TUNING_ERRORS))
    digest = f"{content_digest(trials)[:16]}-{content_digest(together)[:16]}"
    folder = f"jobs/automatic-{week}-{digest[:12]}"
    for name, frame in (("trials", trials), ("errors", together)):
        lake.write_bytes(f"{folder}/{name}/data.parquet", parquet.dumped(frame))
    return folder, digest
