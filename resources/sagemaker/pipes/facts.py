"""What is worth knowing of a job that completed, as metadata of its asset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.sagemaker.pipes.costs import cost_usd
from resources.sagemaker.pipes.kinds import JobKind, Request
from resources.sagemaker.pipes.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sagemaker import SageMakerClient

Facts = dict[str, Any]


def job_facts(kind: JobKind, description: Request, *, prices: Mapping[str, float] | None) -> Facts:
    """Duration, instances, spot savings, interruptions, cost and final metrics of a job.

    Args:
        kind: Of the job.
        description: Its final description.
        prices: USD an hour by instance type, beside the built-in ones; None where it costs nothing.
    """
    seconds = kind.seconds(description)
    instance_type = kind.instance_type(description)
    billable = description.get("BillableTimeInSeconds")
    steps = description.get("SecondaryStatusTransitions", [])
    return {
        **({"job_seconds": round(seconds, 1)} if seconds is not None else {}),
        **({"billable_seconds": billable} if billable is not None and prices is not None else {}),
        **({"instance_type": instance_type} if instance_type and prices is not None else {}),
        **(_spot(description) if prices is not None else {}),
        **({"interruptions": sum(step["Status"] == "Interrupted" for step in steps)} if steps else {}),
        **(_cost([description], kind=kind, prices=prices) if prices is not None else {}),
        **_metrics(description),
        **_transform(description),
    }


def _spot(description: Request) -> Facts:
    trained, billed = description.get("TrainingTimeInSeconds"), description.get("BillableTimeInSeconds")
    if not description.get("EnableManagedSpotTraining") or not trained or billed is None:
        return {}
    return {"spot_savings_percent": round(100 * (1 - billed / trained), 1)}


def _cost(jobs: Sequence[Request], *, kind: JobKind, prices: Mapping[str, float]) -> Facts:
    """What jobs cost together; why that is not known, where an instance type has no price."""
    total = 0.0
    for job in jobs:
        instance_type = kind.instance_type(job)
        if instance_type is None:
            return {"estimated_cost": "not estimated: there are several instance types"}
        cost = cost_usd(instance_type, instance_seconds=_instance_seconds(kind, job), prices=prices)
        if cost is None:
            return {"estimated_cost": f"not estimated: there is no price of {instance_type}; give one in `prices`"}
        total += cost
    return {"estimated_cost_usd": round(total, 4)}


def _instance_seconds(kind: JobKind, job: Request) -> float:
    """Billed seconds of all instances; BillableTimeInSeconds counts those of one."""
    cluster = kind.cluster(job)
    seconds = job.get("BillableTimeInSeconds", kind.seconds(job) or 0)
    return float(seconds * (cluster.get("SelectedInstanceCount") or cluster.get("InstanceCount") or 1))


def _metrics(description: Request) -> Facts:
    return {
        metric["MetricName"]: float(f"{metric['Value']:.6g}") for metric in description.get("FinalMetricDataList", [])
    }


def _transform(description: Request) -> Facts:
    output = description.get("TransformOutput")
    return {"output": output["S3OutputPath"], "model": description["ModelName"]} if output else {}


@dataclass(frozen=True)
class Trials:
    """The training jobs of a tuning job.

    Attributes:
        client: boto3 client of SageMaker.
        patience: How long calls are tried again.
        warn: Told of waits.
    """

    client: "SageMakerClient"
    patience: Patience
    warn: "Callable[[str], object]"

    def facts(self, description: Request, *, kind: JobKind, prices: Mapping[str, float] | None) -> Facts:
        """The best trial, the counters, the objective, the leaderboard, and what all trials cost.

        Args:
            description: Of the tuning job, which has a best training job.
            kind: Of training jobs.
            prices: As in `job_facts`.
        """
        name = description["HyperParameterTuningJobName"]
        summaries = self._summaries(name)
        jobs = [self._described(summary["TrainingJobName"]) for summary in summaries]
        best = description["BestTrainingJob"]
        objective = best["FinalHyperParameterTuningJobObjectiveMetric"]
        counters = description["TrainingJobStatusCounters"]
        return {
            "objective": objective["MetricName"],
            "best_objective": float(f"{objective['Value']:.6g}"),
            "best_training_job": best["TrainingJobName"],
            "best_hyper_parameters": dict(best.get("TunedHyperParameters", {})),
            "trials": len(summaries),
            "completed_trials": counters.get("Completed", 0),
            "failed_trials": counters.get("NonRetryableError", 0),
            "leaderboard": leaderboard(summaries, minimize=_minimizes(description)),
            **_sums(jobs, kind=kind, prices=prices),
        }

    def _summaries(self, name: str) -> list[Request]:
        def pages() -> list[Request]:
            paginator = self.client.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
            found = paginator.paginate(HyperParameterTuningJobName=name)
            return [dict(summary) for page in found for summary in page["TrainingJobSummaries"]]

        return self.patience.ask(f"list the training jobs of tuning job {name}", pages, warn=self.warn)

    def _described(self, name: str) -> Request:
        return self.patience.ask(
            f"describe training job {name}",
            lambda: self.client.describe_training_job(TrainingJobName=name),
            warn=self.warn,
        )


def leaderboard(summaries: Sequence[Request], *, minimize: bool) -> dg.TableMetadataValue:
    """The training jobs of a tuning job as a table, the best first, those without an objective last."""
    parameters = sorted({name for summary in summaries for name in summary.get("TunedHyperParameters", {})})
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "training_job": summary["TrainingJobName"],
                    "status": summary["TrainingJobStatus"],
                    "objective": _objective(summary),
                    **{name: summary.get("TunedHyperParameters", {}).get(name, "") for name in parameters},
                    "seconds": _seconds(summary),
                    "failure": summary.get("FailureReason", ""),
                }
            )
            for summary in sorted(summaries, key=lambda summary: _rank(summary, minimize=minimize))
        ],
        schema=dg.TableSchema(
            columns=[
                dg.TableColumn("training_job", "string"),
                dg.TableColumn("status", "string"),
                dg.TableColumn("objective", "float"),
                *(dg.TableColumn(name, "string") for name in parameters),
                dg.TableColumn("seconds", "float"),
                dg.TableColumn("failure", "string"),
            ]
        ),
    )


def _sums(jobs: Sequence[Request], *, kind: JobKind, prices: Mapping[str, float] | None) -> Facts:
    trained = sum(job.get("TrainingTimeInSeconds", 0) for job in jobs)
    billed = sum(job.get("BillableTimeInSeconds", 0) for job in jobs)
    spot = any(job.get("EnableManagedSpotTraining") for job in jobs)
    steps = [step for job in jobs for step in job.get("SecondaryStatusTransitions", [])]
    return {
        "training_seconds": round(sum(kind.seconds(job) or 0 for job in jobs), 1),
        "interruptions": sum(step["Status"] == "Interrupted" for step in steps),
        **({"billable_seconds": billed} if prices is not None else {}),
        **({"spot_savings_percent": round(100 * (1 - billed / trained), 1)} if spot and trained else {}),
        **(_cost(jobs, kind=kind, prices=prices) if prices is not None else {}),
    }


def _minimizes(description: Request) -> bool:
    config = description["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
    definition = description.get("TrainingJobDefinition", {}).get("TuningObjective")
    return bool((config or definition or {}).get("Type", "Minimize") == "Minimize")


def _objective(summary: Request) -> float | None:
    metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
    return None if metric is None else float(f"{metric['Value']:.6g}")


def _seconds(summary: Request) -> float | None:
    started, ended = summary.get("TrainingStartTime"), summary.get("TrainingEndTime")
    return round((ended - started).total_seconds(), 1) if started and ended else None


def _rank(summary: Request, *, minimize: bool) -> tuple[bool, float]:
    value = _objective(summary)
    return value is None, (value or 0.0) * (1 if minimize else -1)
