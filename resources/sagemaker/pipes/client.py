"""Run SageMaker jobs for Dagster assets, through Dagster Pipes.

A job's name is a function of what it computes: asset, partition, the request and an attempt. A Dagster process that
dies leaves its job running; the next one finds it by that name, follows it to its end and reports what it reported,
instead of paying for it again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.resource_annotation import TreatAsResourceParam
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_pipes import PipesContextData, PipesParams

from resources.aws import AwsAccessError
from resources.sagemaker.pipes.completed_job import CompletedJob
from resources.sagemaker.pipes.control import JobControl
from resources.sagemaker.pipes.errors import JobFailedError
from resources.sagemaker.pipes.facts import Trials, job_facts
from resources.sagemaker.pipes.following import Following
from resources.sagemaker.pipes.instance_types import InstanceTypes
from resources.sagemaker.pipes.kinds import FINAL, KINDS, JobKind, Kind, Request
from resources.sagemaker.pipes.launching import Order
from resources.sagemaker.pipes.log import LogFollower
from resources.sagemaker.pipes.messages import JobMessageReader, Messages
from resources.sagemaker.pipes.names import job_stem
from resources.sagemaker.pipes.patience import Patience
from resources.sagemaker.pipes.states import StateLog

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sagemaker import SageMakerClient

FORCE_TAG = "forecast/force"

# What a failure begins with when the code or the request is at fault: trying again cannot help.
_PERMANENT = ("AlgorithmError", "ClientError")
# A run that is being terminated is killed before long.
_STOP_WITHIN_S = 20


class PipesSageMakerClient(dg.PipesClient, TreatAsResourceParam):
    """Launch a SageMaker job, follow it, and bring back what it reports.

    Training and processing jobs run a process of yours, which opens Pipes and reports the materialization; one that
    completes without doing so has failed. Batch transform and tuning jobs run none: their completion is the
    materialization, with where the output is, or with the best trial and the leaderboard, as metadata.

    While a job runs, its log is copied to the step's standard output, and each change of its state is logged once.
    Throttling and faults of the network are waited out. If Dagster dies the job runs on; the next run of the same
    asset, partition and request takes it up and hears all that it said. If the run is terminated the job is stopped.

    Args:
        client: boto3 client of SageMaker.
        logs: boto3 client of CloudWatch Logs.
        messages: Where jobs find their Pipes context and leave their messages: `S3Messages`, or `FileMessages` where
            jobs share a file system with Dagster.
        poll_interval_s: Seconds between two looks at a running job.
        log_delay_s: Seconds that the last lines of a job's log take to arrive.
        console: Whether the jobs have pages in the AWS console, to which log and metadata then lead.
        prices: USD an hour by instance type, beside the list prices of `costs.PRICES`; None where jobs cost nothing.
        forward_termination: Stop the job when the Dagster run is terminated.
        patience: How long a call is tried again while AWS throttles or cannot be reached.

    Example:
        ```python
        import boto3, dagster as dg
        from resources.sagemaker.pipes import PipesSageMakerClient
        from resources.sagemaker.pipes.s3_messages import S3Messages

        @dg.asset
        def model(context: dg.AssetExecutionContext, sagemaker: PipesSageMakerClient):
            return sagemaker.run(
                context=context,
                kind="training",
                request={
                    "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
                    "RoleArn": ROLE,
                    "OutputDataConfig": {"S3OutputPath": "s3://my-bucket/models"},
                    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
                    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
                },
                instance_types=["ml.m5.xlarge", "ml.c5.xlarge"],
                max_wait_s=7200,
            ).materialization()

        defs = dg.Definitions(
            assets=[model],
            resources={
                "sagemaker": PipesSageMakerClient(
                    client=boto3.client("sagemaker"),
                    logs=boto3.client("logs"),
                    messages=S3Messages(boto3.client("s3"), bucket="my-bucket", prefix="pipes"),
                )
            },
        )
        ```

        And in the image, whose role may read and write `s3://my-bucket/pipes`:

        ```python
        import boto3
        from dagster_pipes import PipesS3ContextLoader, PipesS3MessageWriter, open_dagster_pipes

        s3 = boto3.client("s3")
        with open_dagster_pipes(
            context_loader=PipesS3ContextLoader(s3), message_writer=PipesS3MessageWriter(s3)
        ) as pipes:
            pipes.report_asset_materialization(metadata={"loss": 0.5}, data_version="1")
        ```
    """

    def __init__(  # noqa: PLR0913 - each is named where it is given
        self,
        *,
        client: "SageMakerClient",
        logs: "CloudWatchLogsClient",
        messages: Messages,
        poll_interval_s: float = 10,
        log_delay_s: float = 5,
        console: bool = True,
        prices: Mapping[str, float] | None = {},
        forward_termination: bool = True,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._client, self._logs, self._messages = client, logs, messages
        self._poll_interval_s, self._log_delay_s = poll_interval_s, log_delay_s
        self._console, self._prices = console, prices
        self._forward_termination, self._patience = forward_termination, patience

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    def run(  # type: ignore[override]
        self,
        *,
        context: dg.AssetExecutionContext,
        kind: Kind,
        request: Request,
        retries: int = 0,
        extras: Mapping[str, Any] | None = None,
        instance_types: Sequence[str] = (),
        max_wait_s: float | None = None,
    ) -> CompletedJob:
        """Run a job, or take up the one that already runs or ran for this request.

        A run tagged `forecast/force: true` never takes up a job of another run.

        Args:
            context: Of the asset that the job materializes.
            kind: `training`, `processing`, `transform` or `tuning`.
            request: A `create_training_job`, `create_processing_job`, `create_transform_job` or
                `create_hyper_parameter_tuning_job` request without the job's name.
            retries: New attempts after a failure that is SageMaker's own.
            extras: Handed to the job through Pipes.
            instance_types: What the job may run on, best first: the next one is tried where one is not to be had.
                Without it, what the request says.
            max_wait_s: Longest time from the job's creation to its end, in seconds; then it is stopped. A spot job
                whose own MaxWaitTimeInSeconds is longer has that, and five minutes more.

        Returns:
            What the job reported, and its final description.

        Raises:
            JobFailedError: The job failed or was stopped.
            NoCapacityError: No instance type is to be had.
            JobTimeoutError: It had not ended in time, and was stopped.
            JobRequestError: SageMaker refused the request.
            AwsAccessError: The account refuses, or cannot be reached for long. A job that runs goes on, and is taken up
                by the next run.
        """
        control = JobControl(self._client, KINDS[kind], self._patience, context.log.warning)
        salt = context.run.root_run_id or context.run.run_id if context.run.tags.get(FORCE_TAG) == "true" else ""
        types = InstanceTypes(instance_types)
        order = Order(context, control, request, dict(extras or {}), types, max_wait_s=max_wait_s)
        stem = job_stem(context, control.kind, request, salt=salt)
        attempt = failed_here = 0
        while True:
            name = f"{stem}-{attempt}"
            attempt += 1
            known = control.describe(name)
            if known is not None and not self._worth_taking_up(control.kind, name, known):
                continue
            session, description = self._attempt(order, name, known=known)
            if control.kind.status(description) == "Completed":
                metadata = self._metadata(order, description, taken_up=known is not None)
                job = CompletedJob(session, metadata=metadata, description=description, kind=control.kind)
                if job.reported or known is None or control.kind.status(known) not in FINAL:
                    return job
                context.log.warning(f"SageMaker job {name} completed before, but reported no materialization")
                continue
            failure = _failure(control.kind, description)
            if control.kind.lacked_capacity(description):
                types.refuse(control.kind.instance_type(description) or types.current, failure.reason, job=name)
                context.log.warning(f"{failure.description}; {types.current} follows")
                continue
            failed_here += 1
            if failed_here > retries or not _may_pass(failure):
                raise failure
            context.log.warning(f"{failure.description}; attempt {attempt} follows")

    def _attempt(self, order: Order, name: str, *, known: Request | None) -> tuple[dg.PipesSession, Request]:
        """Launch a job or take it up, and follow it to its end, whatever that is."""
        kind, context = order.control.kind, order.context
        with self._session(order, name) as (session, reader):
            try:
                if known is not None:
                    self._say(order, f"Taking up SageMaker job {name}, which is {kind.status(known)}", kind.arn(known))
                elif (arn := order.launch(name, session, self._messages)) is not None:
                    self._say(order, f"Launched SageMaker job {name}", arn)
                else:
                    context.log.info(f"SageMaker job {name} was launched by another run a moment ago: following it")
                description = self._following(order, name, reader).to_the_end(name, max_wait_s=order.max_wait_s)
            except (DagsterExecutionInterruptedError, KeyboardInterrupt):
                if self._forward_termination:
                    context.log.warning(f"The run is being terminated: stopping SageMaker job {name}")
                    try:
                        order.control.stop(name, within_s=_STOP_WITHIN_S)
                    except AwsAccessError as error:  # the run ends in any case, the job does not
                        context.log.error(str(error))  # noqa: TRY400 - the interruption's own trace follows
                raise
        return session, description

    @contextmanager
    def _session(self, order: Order, name: str) -> Iterator[tuple[dg.PipesSession, JobMessageReader | None]]:
        """A Pipes session, whose messages are kept; without messages where no process of ours runs in the job."""
        if order.control.kind.reports:
            reader = self._messages.reader(name)
            with dg.open_pipes_session(
                context=order.context,
                extras=order.extras,
                context_injector=self._messages.injector(name),
                message_reader=reader,
            ) as session:
                yield session, reader
        else:
            handler = dg.PipesMessageHandler(order.context, _NoMessages())
            yield dg.PipesSession(PipesContextData(), handler, {}, {}, order.context), None  # type: ignore[typeddict-item]

    def _following(self, order: Order, name: str, reader: JobMessageReader | None) -> Following:
        kind, log = order.control.kind, order.context.log
        return Following(
            order.control,
            LogFollower(self._logs, kind.log_group, name, warn=log.warning),
            StateLog(kind, name, say=log.info),
            reader,
            poll_interval_s=self._poll_interval_s,
            log_delay_s=self._log_delay_s if kind.log_group else 0,
        )

    def _say(self, order: Order, what: str, arn: str) -> None:
        order.context.log.info("\n".join([what, *self._pages(order.control.kind, arn).values()]))

    def _pages(self, kind: JobKind, arn: str) -> dict[str, str]:
        """The job and its log in the AWS console."""
        if not self._console:
            return {}
        log = kind.log_page(arn)
        return {"console": kind.page(arn), **({"log": log} if log else {})}

    def _worth_taking_up(self, kind: JobKind, name: str, description: Request) -> bool:
        status = kind.status(description)
        if status == "Completed":  # what it reported must still be there
            return not kind.reports or self._messages.kept(name)
        return status == "InProgress"

    def _metadata(self, order: Order, description: Request, *, taken_up: bool) -> dict[str, Any]:
        kind = order.control.kind
        trials = {}
        if kind is KINDS["tuning"] and "BestTrainingJob" in description:
            each = Trials(self._client, self._patience, order.context.log.warning)
            trials = each.facts(description, kind=KINDS["training"], prices=self._prices)
        refused = [f"{instance_type}: {said}" for instance_type, said in order.types.refused.items()]
        return {
            "sagemaker_job": kind.name(description),
            "sagemaker_arn": kind.arn(description),
            **{name: dg.MetadataValue.url(url) for name, url in self._pages(kind, kind.arn(description)).items()},
            "taken_up": taken_up,
            **({"instance_types_not_to_be_had": "; ".join(refused)} if refused else {}),
            **job_facts(kind, description, prices=None if trials else self._prices),
            **trials,
        }


def _failure(kind: JobKind, description: Request) -> JobFailedError:
    return JobFailedError(name=kind.name(description), status=kind.status(description), reason=kind.reason(description))


def _may_pass(failure: JobFailedError) -> bool:
    """Whether a failure is SageMaker's own: neither the code's, nor the request's, nor somebody's wish."""
    return failure.status != "Stopped" and not failure.reason.startswith(_PERMANENT)


class _NoMessages(JobMessageReader):
    """Of a job in which no process of ours runs."""

    def _opened(self) -> AbstractContextManager[PipesParams]:
        return nullcontext({})

    def _lines(self) -> Iterator[str]:
        return iter(())

    def no_messages_debug_text(self) -> str:
        """Why there are none."""
        return "This kind of job sends no messages."
