"""Run SageMaker jobs for Dagster assets, through Dagster Pipes.

A job's name is a function of what it computes: asset, partition, the request and an attempt. A Dagster process that
dies leaves its job running; the next one finds it by that name, follows it to its end and reports what it reported,
instead of paying for it again.
"""

import hashlib
import json
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_pipes import DagsterPipesError

from resources.sagemaker.job_log import LogFollower
from resources.sagemaker.messages import KeptContextInjector, ReplayingFileMessageReader

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient

Request = Mapping[str, Any]
FORCE_TAG = "forecast/force"

# What a failure begins with when the code or the request is at fault: trying again cannot help.
_PERMANENT = ("AlgorithmError", "ClientError")
_FINAL = {"Completed", "Failed", "Stopped"}
_KILLED = f"exit code: {128 + signal.SIGKILL}"
_KILLED_MEANS = (
    "its process was killed from outside, mostly for want of memory: refresh again, on a larger instance_type if it "
    "happens again"
)


class JobFailedError(dg.Failure):
    """A SageMaker job did not complete.

    Dagster does not retry it: retries are spent here, where the reason is known.
    """

    def __init__(self, *, name: str, status: str, reason: str) -> None:
        self.job_name, self.status, self.reason = name, status, reason
        super().__init__(
            description=f"SageMaker job {name} ended as {status}: {reason}",
            metadata={"job": name, "status": status, "reason": reason},
            allow_retries=False,
        )


@dataclass(frozen=True)
class JobKind:
    """How the API speaks of one kind of job."""

    noun: str  # TrainingJob
    api: str  # training_job
    log_group: str
    console: str

    def name_field(self) -> str:
        """The request's member that names the job."""
        return f"{self.noun}Name"

    def status(self, description: Request) -> str:
        """`InProgress`, `Completed`, `Failed`, `Stopping` or `Stopped`."""
        return str(description[f"{self.noun}Status"])

    def reason(self, description: Request) -> str:
        """Why it did not complete, in words."""
        parts = [description.get(field) for field in ("FailureReason", "ExitMessage")]
        text = " ".join(str(part) for part in parts if part)
        if not text and description.get("SecondaryStatus") == "MaxRuntimeExceeded":
            text = "it ran longer than its MaxRuntimeInSeconds"
        if text.endswith(_KILLED):
            text += f" ({_KILLED_MEANS})"
        return text or "SageMaker gives no reason; see the job's log"


KINDS: Mapping[str, JobKind] = {
    "training": JobKind("TrainingJob", "training_job", "/aws/sagemaker/TrainingJobs", "jobs"),
    "processing": JobKind("ProcessingJob", "processing_job", "/aws/sagemaker/ProcessingJobs", "processing-jobs"),
}


class PipesSageMakerClient(dg.PipesClient):
    """Launch a SageMaker training or processing job, follow it, and bring back what it reports.

    Args:
        client: boto3 client of SageMaker.
        logs: boto3 client of CloudWatch Logs.
        folder: Where each job's Pipes context and messages are kept; the job reaches it by the same path.
        poll_interval_s: Seconds between two looks at a running job.
        forward_termination: Stop the job when the Dagster run is terminated.
    """

    _is_dagster_maintained: ClassVar[bool] = False

    def __init__(
        self,
        *,
        client: "SageMakerClient",
        logs: "CloudWatchLogsClient",
        folder: Path,
        poll_interval_s: float = 10,
        forward_termination: bool = True,
    ) -> None:
        self._client = client
        self._logs = logs
        self._folder = folder
        self._poll_interval_s = poll_interval_s
        self._forward_termination = forward_termination

    def run(  # type: ignore[override]
        self,
        *,
        context: dg.AssetExecutionContext,
        kind: Literal["training", "processing"],
        request: Request,
        retries: int = 0,
        extras: Mapping[str, Any] | None = None,
    ) -> "CompletedJob":
        """Run a job, or take up the one that already runs or ran for this request.

        A run tagged `forecast/force: true` never takes up a job of another run.

        Args:
            context: Of the asset that the job materializes.
            kind: `training` or `processing`.
            request: A `create_training_job` or `create_processing_job` request without the job's name.
            retries: New attempts after a failure that is SageMaker's own.
            extras: Handed to the job through Pipes.

        Returns:
            What the job reported, and its final description.

        Raises:
            JobFailedError: The job failed or was stopped, or ended without reporting a materialization.
        """
        job_kind = KINDS[kind]
        salt = context.run.root_run_id or context.run.run_id if context.run.tags.get(FORCE_TAG) == "true" else ""
        stem = job_stem(context, request, salt=salt)
        failed_here = 0
        attempt = 0
        while True:
            name = f"{stem}-{attempt}"
            description = self._describe(job_kind, name)
            if description is not None and not self._worth_taking_up(job_kind, description):
                attempt += 1
                continue
            try:
                return self._attempt(context, job_kind, name, request, extras, known=description)
            except JobFailedError as failure:
                failed_here += 1
                if failed_here > retries or failure.status == "Stopped" or failure.reason.startswith(_PERMANENT):
                    raise
                context.log.warning(f"{failure.description}; attempt {attempt + 1} follows")
                attempt += 1

    def _attempt(
        self,
        context: dg.AssetExecutionContext,
        kind: JobKind,
        name: str,
        request: Request,
        extras: Mapping[str, Any] | None,
        *,
        known: Request | None,
    ) -> "CompletedJob":
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with dg.open_pipes_session(
            context=context,
            extras=dict(extras or {}),
            context_injector=KeptContextInjector(folder / "context.json"),
            message_reader=ReplayingFileMessageReader(folder / "messages.jsonl"),
        ) as session:
            if known is None:
                self._launch(context, kind, name, request, session)
            else:
                context.log.info(f"Taking up SageMaker job {name}, which is {kind.status(known)}")
            try:
                description = self._follow(context, kind, name)
            except (DagsterExecutionInterruptedError, KeyboardInterrupt):
                if self._forward_termination:
                    context.log.warning(f"The run is being terminated: stopping SageMaker job {name}")
                    self._stop(kind, name)
                raise
        status = kind.status(description)
        if status != "Completed":
            raise JobFailedError(name=name, status=status, reason=kind.reason(description))
        metadata = self._metadata(kind, name, description, taken_up=known is not None)
        return CompletedJob(session, metadata=metadata, description=description)

    def _launch(
        self,
        context: dg.AssetExecutionContext,
        kind: JobKind,
        name: str,
        request: Request,
        session: dg.PipesSession,
    ) -> None:
        tags = [{"Key": key, "Value": value} for key, value in session.default_remote_invocation_info.items()]
        complete = {
            **request,
            kind.name_field(): name,
            "Environment": {**request.get("Environment", {}), **session.get_bootstrap_env_vars()},
            "Tags": [*request.get("Tags", []), *tags],
        }
        try:
            getattr(self._client, f"create_{kind.api}")(**complete)
        except self._client.exceptions.ResourceInUse:
            context.log.info(f"SageMaker job {name} was launched by another run a moment ago: following it")
        else:
            context.log.info(f"Launched SageMaker job {name}")

    def _follow(self, context: dg.AssetExecutionContext, kind: JobKind, name: str) -> Request:
        """Follow a job's log and its changes of state to its end."""
        log = LogFollower(self._logs, kind.log_group, name)
        seen = None
        while True:
            description = self._describe(kind, name)
            if description is None:
                raise JobFailedError(name=name, status="Failed", reason="the job is gone")
            log.follow()
            state = description.get("SecondaryStatus") or kind.status(description)
            if state != seen:
                context.log.info(f"SageMaker job {name}: {state}")
                seen = state
            if kind.status(description) in _FINAL:
                log.follow()
                return description
            time.sleep(self._poll_interval_s)

    def _worth_taking_up(self, kind: JobKind, description: Request) -> bool:
        status = kind.status(description)
        if status == "Completed":  # what it reported must still be there
            return (self._folder / str(description[kind.name_field()]) / "messages.jsonl").is_file()
        return status == "InProgress"

    def _describe(self, kind: JobKind, name: str) -> Request | None:
        from botocore.exceptions import ClientError

        try:
            found: Request = getattr(self._client, f"describe_{kind.api}")(**{kind.name_field(): name})
        except ClientError as error:
            # SageMaker answers ValidationException for training jobs and ResourceNotFound for others.
            if re.search(r"not found|could not find", error.response["Error"]["Message"], re.IGNORECASE):
                return None
            raise
        return found

    def _stop(self, kind: JobKind, name: str) -> None:
        from botocore.exceptions import ClientError

        try:
            getattr(self._client, f"stop_{kind.api}")(**{kind.name_field(): name})
        except ClientError as error:
            # It ended by itself meanwhile; anything else must not hide the interruption, but must be seen.
            if "in status" not in str(error):
                raise

    def _metadata(self, kind: JobKind, name: str, description: Request, *, taken_up: bool) -> dict[str, Any]:
        started = description.get(f"{kind.noun.removesuffix('Job')}StartTime")
        ended = description.get(f"{kind.noun.removesuffix('Job')}EndTime")
        metrics = {
            metric["MetricName"]: float(f"{metric['Value']:.6g}")
            for metric in description.get("FinalMetricDataList", [])
        }
        return {
            "sagemaker_job": name,
            "sagemaker_arn": description[f"{kind.noun}Arn"],
            "taken_up": taken_up,
            **({"job_seconds": round((ended - started).total_seconds(), 1)} if started and ended else {}),
            **metrics,
        }


class CompletedJob(dg.PipesClientCompletedInvocation):
    """A job that completed: what it reported, and its final description."""

    def __init__(self, session: dg.PipesSession, *, metadata: Mapping[str, Any], description: Request) -> None:
        super().__init__(session, metadata=metadata)
        self.name = str(metadata["sagemaker_job"])
        self.description = description

    def materialization(self) -> dg.MaterializeResult[None]:
        """What the job reported for its asset, with the job's own facts added.

        Raises:
            JobFailedError: It completed without reporting a materialization.
        """
        try:
            return self.get_materialize_result(implicit_materialization=False)
        except DagsterPipesError as error:
            raise JobFailedError(
                name=self.name,
                status="Completed",
                reason=f"it reported no materialization through Pipes ({error})",
            ) from error


def job_stem(context: dg.AssetExecutionContext, request: Request, *, salt: str = "") -> str:
    """The name of a job up to its attempt: asset, partition, a hash of request and salt; at most 60 characters."""
    canonical = json.dumps({"request": request, "salt": salt}, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    parts = [context.asset_key.path[-1], context.partition_key if context.has_partition_key else ""]
    label = re.sub(r"[^a-zA-Z0-9]+", "-", "-".join(filter(None, parts)))[:45].strip("-")
    return f"{label}-{fingerprint}"
