"""What is approved is deployed: the newest approved model, whoever approved it, and the one before when it is rejected.

How things stand has the last word: what serves already starts nothing, and while a deployment is queued or runs none
follows it. The cursor remembers for which model how often a deployment was tried. The run key names the run that came
before, so a model that was deployed once can be deployed again, and a tick that is evaluated twice starts one run.
"""

import json
import time
from dataclasses import asdict, dataclass

import dagster as dg

from forecast_assets.passing import Failure, why_failed
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from jobs.weekly import deploy
from resources import aws
from resources.api.errors import ApiError
from resources.lake import LakeError
from resources.sagemaker.endpoint.errors import EndpointError
from resources.sagemaker.registry import RegisteredModel
from resources.tags import BACKFILL_TAG
from sensors.refreshing import pause_s


@dataclass(frozen=True)
class Tried:
    """What was tried: the cursor.

    Attributes:
        arn: The model.
        times: Deployments of it since it was last seen to serve.
    """

    arn: str
    times: int

    @classmethod
    def read(cls, cursor: str | None) -> "Tried | None":
        """What a cursor says; None where there is none."""
        return cls(**json.loads(cursor)) if cursor else None

    def written(self) -> str:
        """As a cursor."""
        return json.dumps(asdict(self))

    def pause_s(self, retry_s: float) -> float:
        """Seconds from the end of the last attempt to the next one."""
        return pause_s(retry_s, self.times)


@dataclass(frozen=True)
class Attempt:
    """The newest run of the job `deploy`.

    Attributes:
        run_id: Dagster's id of it.
        status: Where it is.
        ended_at: Seconds since 1970; None while it is on its way.
        failure: Why it failed, if it did.
    """

    run_id: str
    status: dg.DagsterRunStatus
    ended_at: float | None
    failure: Failure | None

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was to do."""
        return self.status == dg.DagsterRunStatus.SUCCESS


def approvals(settings: Settings) -> dg.SensorDefinition:
    """The sensor that deploys what is approved."""

    @dg.sensor(
        name="approvals",
        job=deploy,
        minimum_interval_seconds=settings.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Deploys the newest approved model, whether the gate approved it or a person, and goes back to the "
        "one before when it is rejected. Models of older weeks and of backfills start nothing.",
    )
    def sensor(context: dg.SensorEvaluationContext, standing: dg.ResourceParam[Standing]) -> dg.SensorResult:
        from botocore.exceptions import ClientError

        try:
            with aws.asking("ask which model is approved and which serves"):
                return _looked(context.instance, standing, context.cursor)
        except (aws.AwsError, LakeError, EndpointError, ApiError, ClientError) as error:
            return dg.SensorResult(skip_reason=f"Not known at the moment: {error}", cursor=context.cursor)

    return sensor


def _looked(instance: dg.DagsterInstance, standing: Standing, cursor: str | None) -> dg.SensorResult:
    """One look at what is approved and what serves."""
    model, tried = standing.registry.newest("Approved"), Tried.read(cursor)
    if model is None:
        return dg.SensorResult(skip_reason="No model is approved.", cursor=cursor)
    name = f"Version {model.version}, of week {model.week},"
    if standing.is_deployed():
        return dg.SensorResult(skip_reason=f"{name} serves.", cursor=Tried(model.arn, 0).written())
    known = tried is not None and tried.arn == model.arn
    tried = tried if tried is not None and known else Tried(model.arn, 0)
    last = _newest_attempt(instance)
    reason = _reason_to_wait(standing, tried, last, name, known=known)
    reason = reason or _reason_of_backfill(instance, standing, model, name)
    if reason is not None:  # a model that was not asked for is not known yet
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=f"deploy:{model.arn}:after-{last.run_id if last else 'nothing'}")],
        cursor=Tried(model.arn, tried.times + 1).written(),
    )


def _reason_to_wait(standing: Standing, tried: Tried, last: Attempt | None, name: str, *, known: bool) -> str | None:
    """Why a model that does not serve is not deployed now; None where it is to be.

    Args:
        standing: How things stand.
        tried: How often it was tried.
        last: The newest deployment.
        name: The model in words.
        known: Whether the look before saw this model as the newest approved one too.
    """
    if last is not None and last.ended_at is None:
        return f"Run {last.run_id} deploys: what has come of it is looked at when it has ended."
    if last is None or last.ended_at is None or not known:
        return None
    if last.succeeded and standing.is_taken_down():
        return (
            f"{name} was deployed by run {last.run_id} and taken down since: `forecast refresh` or the job deploy "
            "brings it back, and so does the next approved model."
        )
    if last.failure is not None and tried.times >= last.failure.tries:
        return (
            f"{name} failed in run {last.run_id} ({last.failure.error}) and is not tried again by itself: reject it, "
            "or start the job deploy once the reason is mended."
        )
    left_s = last.ended_at + tried.pause_s(standing.settings.watch.retry_s) - time.time() if tried.times else 0
    if left_s > 0:
        return f"{name} does not serve since run {last.run_id} ended: tried again in {left_s:.0f} s."
    return None


def _reason_of_backfill(
    instance: dg.DagsterInstance, standing: Standing, model: RegisteredModel, name: str
) -> str | None:
    """That a backfill registered a model, and nobody has approved it: a backfill touches no endpoint.

    Where a newer model serves it was rejected, and whatever comes before it is to serve.
    """
    served = standing.served()
    if standing.settings.approval == "manual" or (served is not None and served.week > model.week):
        return None
    asked = dg.AssetRecordsFilter(dg.AssetKey("registered_model"), asset_partitions=[model.week.isoformat()])
    for record in instance.fetch_materializations(asked, limit=1).records:
        told = record.asset_materialization
        run = instance.get_run_by_id(record.run_id)
        if told and told.metadata["arn"].value == model.arn and run is not None and BACKFILL_TAG in run.tags:
            return f"{name} was registered by a backfill, which deploys nothing: start the job deploy to have it serve."
    return None


def _newest_attempt(instance: dg.DagsterInstance) -> Attempt | None:
    for record in instance.get_run_records(dg.RunsFilter(job_name=deploy.name), limit=1):
        run = record.dagster_run
        ended_at = record.end_time or record.update_timestamp.timestamp() if run.is_finished else None
        failure = why_failed(instance, run.run_id) if run.status == dg.DagsterRunStatus.FAILURE else None
        return Attempt(run.run_id, run.status, ended_at, failure)
    return None
