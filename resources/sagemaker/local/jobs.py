"""The operations of training and processing jobs."""

import re
import shutil
import time
from pathlib import PurePosixPath

from resources.sagemaker.local.base import Base, unsupported
from resources.sagemaker.local.listing import page
from resources.sagemaker.local.processing import LOG_GROUP as PROCESSING_LOGS
from resources.sagemaker.local.store import (
    ENDED,
    PROCESSING_JOB,
    REGION,
    TRAINING_JOB,
    TRANSFORM_JOB,
    Kind,
    Wire,
    put_json,
)
from resources.sagemaker.local.training import LOG_GROUP as TRAINING_LOGS
from resources.sagemaker.local.training import LONGEST_S, newborn
from resources.sagemaker.local.wire import AwsError, invalid


class Jobs(Base):
    """Training and processing jobs."""

    def create_training_job(self, request: Wire) -> Wire:
        """CreateTrainingJob."""
        name = request["TrainingJobName"]
        self._check_training(request)
        taken = AwsError(
            "ResourceInUse",
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            f"already exists ({TRAINING_JOB.arn(name)})",
        )
        asked, status = newborn(request)
        return {"TrainingJobArn": self._new(TRAINING_JOB, name, asked, status, taken=taken)}

    def describe_training_job(self, request: Wire) -> Wire:
        """DescribeTrainingJob."""
        job = self._job(TRAINING_JOB, request["TrainingJobName"])
        return job | ({"SecondaryStatus": "Stopping"} if job["TrainingJobStatus"] == "Stopping" else {})

    def stop_training_job(self, request: Wire) -> Wire:
        """StopTrainingJob."""
        return self._stop(TRAINING_JOB, request["TrainingJobName"])

    def delete_training_job(self, request: Wire) -> Wire:
        """DeleteTrainingJob: its record and its log; what it stored in S3 stays. Its name can be taken again."""
        return self._delete(TRAINING_JOB, request["TrainingJobName"], log_group=TRAINING_LOGS)

    def list_training_jobs(self, request: Wire) -> Wire:
        """ListTrainingJobs."""
        if {"WarmPoolStatusEquals", "TrainingPlanArnEquals"} & request.keys():
            raise unsupported("A list by warm pool or training plan")
        return page(TRAINING_JOB, self._all(TRAINING_JOB), request, key="TrainingJobSummaries", ascending=True)

    def interrupt_training_job(self, name: str) -> None:
        """Take the spot instance of a running job away; no operation of the service (see ``interruption``)."""
        job = self._job(TRAINING_JOB, name)
        if not job.get("EnableManagedSpotTraining", False):
            raise invalid(f"{name} is not on spot instances: it was created without EnableManagedSpotTraining.")
        if job["SecondaryStatus"] != "Training":
            raise invalid(f"{name} is {job['SecondaryStatus']}: only a job that is Training can be interrupted.")
        put_json(self.store.folder(TRAINING_JOB, name) / "interrupt", {"asked": time.time()})
        self.store.wake(TRAINING_JOB, name)

    def create_processing_job(self, request: Wire) -> Wire:
        """CreateProcessingJob."""
        name = request["ProcessingJobName"]
        self._check_processing(request)
        stopping = {"MaxRuntimeInSeconds": LONGEST_S} | request.get("StoppingCondition", {})
        taken = AwsError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name already exists "
            f"({PROCESSING_JOB.arn(name)})",
        )
        asked = request | {"StoppingCondition": stopping}
        status = {"ProcessingJobStatus": "InProgress"}
        return {"ProcessingJobArn": self._new(PROCESSING_JOB, name, asked, status, taken=taken)}

    def describe_processing_job(self, request: Wire) -> Wire:
        """DescribeProcessingJob."""
        return self._job(PROCESSING_JOB, request["ProcessingJobName"])

    def stop_processing_job(self, request: Wire) -> Wire:
        """StopProcessingJob."""
        return self._stop(PROCESSING_JOB, request["ProcessingJobName"])

    def delete_processing_job(self, request: Wire) -> Wire:
        """DeleteProcessingJob: as `DeleteTrainingJob`."""
        return self._delete(PROCESSING_JOB, request["ProcessingJobName"], log_group=PROCESSING_LOGS)

    def list_processing_jobs(self, request: Wire) -> Wire:
        """ListProcessingJobs."""
        jobs = self._all(PROCESSING_JOB)
        return page(PROCESSING_JOB, jobs, request, key="ProcessingJobSummaries", ascending=True)

    def _job(self, kind: Kind, name: str) -> Wire:
        missing = "Requested resource not found."
        if kind in {PROCESSING_JOB, TRANSFORM_JOB}:
            missing = f"Could not find requested job with name: {name}"
        return self._found(kind, name, missing=invalid(missing))

    def _stop(self, kind: Kind, name: str) -> Wire:
        status = self._job(kind, name)[f"{kind.name}Status"]
        if status in ENDED or status == "Stopping":
            raise invalid(f"The request was rejected because the {kind.words} is in status {status}.")
        self.store.stop(kind, name)
        return {}

    def _delete(self, kind: Kind, name: str, *, log_group: str) -> Wire:
        status = self._job(kind, name)[f"{kind.name}Status"]
        if status not in ENDED:
            raise invalid(f"The request was rejected because the {kind.words} is in status {status}.")
        self.store.wait(kind, name)
        # CloudWatch would keep the log; here nothing else would ever end it. While there is a record to find it by.
        shutil.rmtree(self.root / "logs" / log_group / name, ignore_errors=True)
        self.store.remove(kind, name)
        return {}

    def _check_training(self, request: Wire) -> None:
        algorithm = request.get("AlgorithmSpecification", {})
        if "TrainingImage" not in algorithm:
            raise invalid("AlgorithmSpecification must have a TrainingImage.")
        _check_metrics(algorithm.get("MetricDefinitions", []))
        check_one_instance(request.get("ResourceConfig", {}), "training job")
        _check_spot(request)
        self._check_address(request["OutputDataConfig"]["S3OutputPath"])
        if request["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
            raise unsupported("An uncompressed model")
        if checkpoints := request.get("CheckpointConfig"):
            self._check_address(checkpoints["S3Uri"])
            _check_local_path(checkpoints.get("LocalPath", "/opt/ml/checkpoints"), "/opt/ml")
        channels = request.get("InputDataConfig", [])
        names = [channel["ChannelName"] for channel in channels]
        if len(set(names)) < len(names):
            raise invalid(f"Duplicate channel names in InputDataConfig: {', '.join(sorted(names))}.")
        if dots := {".", ".."} & set(names):
            raise invalid(f'"{dots.pop()}" is not a channel name.')
        for channel in channels:
            self._check_channel(channel, algorithm["TrainingInputMode"], request["RoleArn"])

    def _check_channel(self, channel: Wire, mode: str, role: str) -> None:
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise unsupported(f"Channel {channel['ChannelName']}: a source other than S3DataSource")
        if source["S3DataType"] != "S3Prefix":
            raise unsupported(f"S3DataType {source['S3DataType']}")
        if channel.get("InputMode", mode) == "Pipe":
            raise unsupported("Pipe mode")
        uri = source["S3Uri"]
        self._check_address(uri)
        found, said = self._names(uri)
        if not found:
            bucket = uri.removeprefix("s3://").partition("/")[0]
            raise invalid(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
                f"exists in the selected region ({REGION}), that objects exist under that S3 prefix, and that the "
                f'role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".{said}'
            )

    def _check_processing(self, request: Wire) -> None:
        check_one_instance(request["ProcessingResources"]["ClusterConfig"], "processing job")
        paths = []
        for item in request.get("ProcessingInputs", []):
            source = item.get("S3Input", {})
            if "LocalPath" not in source:
                raise unsupported(f"Input {item['InputName']}: a source other than an S3Input with a LocalPath")
            if source["S3DataType"] != "S3Prefix" or source.get("S3InputMode", "File") != "File":
                raise unsupported(f"Input {item['InputName']}: anything but S3Prefix in File mode")
            paths.append(self._check_transfer(source))
        for item in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            target = item.get("S3Output", {})
            if "LocalPath" not in target:
                raise unsupported(f"Output {item['OutputName']}: a target other than an S3Output with a LocalPath")
            paths.append(self._check_transfer(target))
        if len(set(paths)) < len(paths):
            raise invalid("Every input and output must have a LocalPath of its own.")

    def _check_transfer(self, place: Wire) -> str:
        self._check_address(place["S3Uri"])
        _check_local_path(place["LocalPath"], "/opt/ml/processing")
        return str(PurePosixPath(place["LocalPath"]))


def _check_local_path(path: str, below: str) -> None:
    parts = PurePosixPath(path)
    if ".." in parts.parts or not parts.is_relative_to(below) or parts == PurePosixPath(below):
        raise invalid(f'LocalPath "{path}" must be an absolute path below {below}.')


def _check_metrics(definitions: list[Wire]) -> None:
    for item in definitions:
        try:
            groups = re.compile(item["Regex"]).groups
        except re.error as error:
            raise invalid(f"Metric {item['Name']}: {item['Regex']!r} is no regular expression: {error}.") from error
        if not groups:
            raise invalid(f"Metric {item['Name']}: {item['Regex']!r} has no group that captures the value.")


def check_one_instance(config: Wire, what: str) -> None:
    """Refuse more than one instance, as an account does that has reached its limit."""
    count, instance = config.get("InstanceCount", 1), config.get("InstanceType", "local")
    if count > 1:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{instance} for {what} usage' is 1 Instances, with current utilization "
            f"of 0 Instances and a request delta of {count} Instances.",
        )


def _check_spot(request: Wire) -> None:
    stopping = request.get("StoppingCondition", {})
    wait = stopping.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining", False):
        if wait is not None:
            raise invalid("MaxWaitTimeInSeconds is only for EnableManagedSpotTraining.")
        return
    if wait is None or wait < stopping.get("MaxRuntimeInSeconds", LONGEST_S):
        raise invalid(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )
