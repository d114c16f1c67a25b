"""A processing job, as its supervisor runs it.

Standard library only: supervisors import this without the site packages.
"""

import shutil
import time
from pathlib import Path

from resources.sagemaker.local.container import Ended, MetricScan, run, text_of
from resources.sagemaker.local.store import PROCESSING_JOB, REGION, put_json
from resources.sagemaker.local.supervision import (
    LONGEST_REASON,
    ClientFaultError,
    Supervised,
    image_command,
    local_path,
    refusals,
)
from resources.sagemaker.local.training import resource_config

LOG_GROUP = "ProcessingJobs"
_CONFIG_KEYS = (
    *("ProcessingJobName", "AppSpecification", "Environment", "ProcessingInputs", "ProcessingOutputConfig"),
    *("ProcessingResources", "RoleArn", "StoppingCondition"),
)


def supervise(job: Supervised) -> None:
    """Run a processing job to its end: inputs, container, outputs."""
    ml = job.home / "ml"
    try:
        _prepare(job, ml)
        if job.stopping:
            _end(job, "Stopped")
            return
        ended = _process(job, ml)
        failed = bool(ended.code) and ended.cut is None
        _upload(job, ml, completed=not ended.code and ended.cut is None)
    except ClientFaultError as fault:
        _end(job, "Failed", FailureReason=f"ClientError: {fault}"[:LONGEST_REASON])
        return
    message = text_of(ml / "output/message")[:LONGEST_REASON]
    said = {"ExitMessage": message} if message else {}
    if failed:
        why = message or ended.last_line or "See job logs for more information"
        reason = f"AlgorithmError: {why}, exit code: {ended.code}"
        _end(job, "Failed", FailureReason=reason[:LONGEST_REASON], **said)
        return
    shutil.rmtree(ml)  # as the instance goes; after a failure it stays, to be looked at
    _end(job, "Stopped" if ended.cut else "Completed", **said)


def _end(job: Supervised, status: str, **changes: object) -> None:
    job.save(ProcessingJobStatus=status, ProcessingEndTime=time.time(), **changes)


def _prepare(job: Supervised, ml: Path) -> None:
    request = job.request
    (ml / "config").mkdir(parents=True)
    (ml / "output").mkdir()
    config = {key: request[key] for key in _CONFIG_KEYS if key in request}
    instance = request["ProcessingResources"]["ClusterConfig"].get("InstanceType", "local")
    put_json(
        ml / "config" / "processingjobconfig.json",
        config | {"ProcessingJobArn": PROCESSING_JOB.arn(job.home.name)},
    )
    put_json(ml / "config" / "resourceconfig.json", resource_config(instance))
    for item in request.get("ProcessingInputs", []):
        source = item["S3Input"]["S3Uri"]
        with refusals("Failed to download data."):
            found = job.objects.download(source, local_path(ml, item["S3Input"]["LocalPath"]))
        if not found:
            raise ClientFaultError(f"Failed to download data. Cannot find any objects under S3 URI: {source}")
    for item in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        local_path(ml, item["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)


def _process(job: Supervised, ml: Path) -> Ended:
    request = job.request
    image = request["AppSpecification"]
    command = image_command(
        job.root,
        image["ImageUri"],
        "process",
        image.get("ContainerEntrypoint", []),
        image.get("ContainerArguments", []),
    )
    job.save(ProcessingStartTime=time.time())
    return run(
        job,
        command,
        environment=request.get("Environment", {}) | {"SM_ML_ROOT": str(ml), "AWS_REGION": REGION},
        log_group=LOG_GROUP,
        limit_s=request["StoppingCondition"]["MaxRuntimeInSeconds"],
        metrics=MetricScan([]),
    )


def _upload(job: Supervised, ml: Path, *, completed: bool) -> None:
    for item in job.request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        output = item["S3Output"]
        if completed or output["S3UploadMode"] == "Continuous":
            with refusals("Failed to upload output."):
                job.objects.upload(local_path(ml, output["LocalPath"]), output["S3Uri"])
