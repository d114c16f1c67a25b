"""A training job, as its supervisor runs it.

Standard library only: supervisors import this without the site packages.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.sagemaker.local.container import Ended, MetricScan, run, text_of
from resources.sagemaker.local.store import REGION, TRAINING_JOB, Wire, put_json
from resources.sagemaker.local.supervision import (
    LONGEST_REASON,
    ClientFaultError,
    Supervised,
    image_command,
    local_path,
    refusals,
)

LOG_GROUP = "TrainingJobs"
LONGEST_S = 86400
"""MaxRuntimeInSeconds where a request names none."""
MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading the training image and the input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "Interrupted": "Training job interrupted: the spot instance was taken away",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}


def transition(transitions: list[Wire], status: str, now: float) -> list[Wire]:
    """The history of a job with one more secondary status, which ends the one before."""
    closed = [item if "EndTime" in item else item | {"EndTime": now} for item in transitions]
    return [*closed, {"Status": status, "StartTime": now, "StatusMessage": MESSAGES[status]}]


def newborn(request: Wire) -> tuple[Wire, Wire]:
    """A request with what it left to the service, and the status that the job begins with."""
    status = {
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": transition([], "Starting", time.time()),
        "ModelArtifacts": {"S3ModelArtifacts": ""},
    }
    stopping = {"MaxRuntimeInSeconds": LONGEST_S} | request.get("StoppingCondition", {})
    return request | {"StoppingCondition": stopping}, status


def supervise(job: Supervised) -> None:
    """Run a training job to its end: inputs, container, model; again where a spot instance is taken away."""
    ml = job.home / "ml"
    try:
        spent = 0.0
        while True:
            _enter(job, "Downloading")
            _prepare(job, ml)
            if job.stopping:
                _end(job, "Stopped", secondary="Stopped")
                return
            ended = _train(job, ml, spent)
            spent += ended.seconds
            if ended.cut != "Interrupted":
                break
            shutil.rmtree(ml)  # the next instance has nothing of this one but the checkpoints
            _enter(job, "Interrupted")
            _enter(job, "Starting")
        if ended.code and ended.cut is None:
            said = text_of(ml / "output/failure") or ended.last_line
            reason = f"AlgorithmError: {said}, exit code: {ended.code}"
            _end(job, "Failed", secondary="Failed", FailureReason=reason[:LONGEST_REASON])
            return
        _enter(job, "Uploading")
        artifacts = {"S3ModelArtifacts": _upload(job, ml)}
    except ClientFaultError as fault:
        _end(job, "Failed", secondary="Failed", FailureReason=f"ClientError: {fault}"[:LONGEST_REASON])
        return
    status = "Stopped" if ended.cut else "Completed"
    shutil.rmtree(ml)  # as the instance goes; after a failure it stays, to be looked at
    _end(job, status, secondary=ended.cut or "Completed", ModelArtifacts=artifacts)


def _enter(job: Supervised, status: str, **changes: object) -> None:
    history = transition(job.status["SecondaryStatusTransitions"], status, time.time())
    job.save(SecondaryStatus=status, SecondaryStatusTransitions=history, **changes)


def _end(job: Supervised, status: str, *, secondary: str, **changes: object) -> None:
    _enter(job, secondary, **{f"{TRAINING_JOB.name}Status": status, "TrainingEndTime": time.time()}, **changes)


def _prepare(job: Supervised, ml: Path) -> None:
    request = job.request
    config = ml / "input" / "config"
    for folder in (config, ml / "input" / "data", ml / "model", ml / "output" / "data"):
        folder.mkdir(parents=True)
    channels = request.get("InputDataConfig", [])
    instance = request.get("ResourceConfig", {}).get("InstanceType", "local")
    put_json(config / "hyperparameters.json", request.get("HyperParameters", {}))
    put_json(config / "inputdataconfig.json", {c["ChannelName"]: _channel_config(request, c) for c in channels})
    put_json(config / "resourceconfig.json", resource_config(instance))
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]["S3Uri"]
        with refusals("Data download failed:Unable to download object"):
            found = job.objects.download(source, ml / "input" / "data" / channel["ChannelName"])
        if not found:
            raise ClientFaultError(f"Data download failed: no objects under {source}")


def _channel_config(request: Wire, channel: Wire) -> Wire:
    mode = channel.get("InputMode", request["AlgorithmSpecification"]["TrainingInputMode"])
    config = {
        "TrainingInputMode": mode,
        "S3DistributionType": channel["DataSource"]["S3DataSource"].get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return config | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


def resource_config(instance_type: str) -> Wire:
    """What a container reads in ``resourceconfig.json``: it is the only host."""
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": ["algo-1"]}
    return {
        "current_host": "algo-1",
        "current_instance_type": instance_type,
        "current_group_name": group["instance_group_name"],
        "hosts": ["algo-1"],
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


def _train(job: Supervised, ml: Path, spent: float) -> Ended:
    """Run the container, which ran for ``spent`` seconds before it was interrupted."""
    request, name = job.request, job.home.name
    algorithm = request["AlgorithmSpecification"]
    command = image_command(
        job.root,
        algorithm["TrainingImage"],
        "train",
        algorithm.get("ContainerEntrypoint", []),
        algorithm.get("ContainerArguments", []),
    )
    environment = request.get("Environment", {}) | {
        "SM_ML_ROOT": str(ml),
        "TRAINING_JOB_NAME": name,
        "TRAINING_JOB_ARN": TRAINING_JOB.arn(name),
        "AWS_REGION": REGION,
    }
    metrics = MetricScan(algorithm.get("MetricDefinitions", []))
    stopping = request["StoppingCondition"]
    _enter(job, "Training", TrainingStartTime=job.status.get("TrainingStartTime", time.time()))
    with _checkpoints(job, ml):
        ended = run(
            job,
            command,
            environment=environment,
            log_group=LOG_GROUP,
            limit_s=stopping["MaxRuntimeInSeconds"] - spent,
            wait_until=request["CreationTime"] + stopping.get("MaxWaitTimeInSeconds", float("inf")),
            metrics=metrics,
        )
    # Of a job that was interrupted, training goes on between its instances, the bill does not.
    job.save(
        TrainingTimeInSeconds=max(1, round(time.time() - job.status["TrainingStartTime"])),
        BillableTimeInSeconds=max(1, round(spent + ended.seconds)),
        FinalMetricDataList=metrics.final,
    )
    return ended


@contextmanager
def _checkpoints(job: Supervised, ml: Path) -> Iterator[None]:
    config = job.request.get("CheckpointConfig")
    if config is None:
        yield
        return
    folder = local_path(ml, config.get("LocalPath", "/opt/ml/checkpoints"))
    with refusals("Checkpoint synchronization failed:"), job.objects.kept(config["S3Uri"], folder):
        yield


def _upload(job: Supervised, ml: Path) -> str:
    place = f"{job.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{job.home.name}/output"
    model = f"{place}/model.tar.gz"
    with refusals("Artifact upload failed:"):
        if any((ml / "output" / "data").iterdir()):
            job.objects.upload_archive(ml / "output" / "data", f"{place}/output.tar.gz")
        job.objects.upload_archive(ml / "model", model)
    return model
