"""Why a run failed, from what Dagster recorded of it: what passes, what a few tries are worth, what is final."""

import math
import sqlite3
from collections.abc import Callable
from datetime import date

import dagster as dg
import pytest

from forecast_assets.passing import Failure, judged, why_failed
from resources.aws import AwsAccessError
from resources.eia.errors import EiaBusyError, EiaUnreachableError, ObservationsInvalidError, WorkbookError
from resources.lake import DamagedTableError, LakeAccessError, LakeWriteError
from resources.sagemaker.pipes import JobFailedError, NoCapacityError
from resources.week_lock import WeekBusyError

SEVERAL = 6


def recorded(work: Callable[[], object], *more: Callable[[], object]) -> Failure:
    """What is found of a run whose steps did so."""

    def step(number: int, act: Callable[[], object]) -> dg.OpDefinition:
        @dg.op(name=f"step_{number}")
        def step() -> None:
            act()

        return step

    @dg.job
    def job() -> None:
        for number, act in enumerate([work, *more]):
            step(number, act)()

    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        return why_failed(instance, run.run_id)


def raising(error: BaseException, *, wrapped: bool = False) -> Callable[[], object]:
    def work() -> None:
        if wrapped:
            raise dg.Failure("said in other words", allow_retries=False) from error
        raise error

    return work


def throttled() -> BaseException:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "DescribeTrainingJob")


def denied() -> BaseException:
    from botocore.exceptions import ClientError

    return ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, "CreateTrainingJob")


def job_failed(reason: str, status: str = "Failed") -> JobFailedError:
    return JobFailedError(name="tuning-1", status=status, reason=reason)


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        pytest.param(EiaUnreachableError("http://eia", "refused"), math.inf, id="EIA away"),
        pytest.param(EiaBusyError("http://eia", "HTTP 503"), math.inf, id="EIA busy"),
        pytest.param(LakeWriteError("/lake", OSError(28, "No space")), math.inf, id="disk full"),
        pytest.param(OSError(28, "No space left on device"), math.inf, id="disk full, unnamed"),
        pytest.param(LakeAccessError("read", "s3://b/k", "SlowDown", "slow down"), math.inf, id="S3 away"),
        pytest.param(sqlite3.OperationalError("database is locked"), math.inf, id="database locked"),
        pytest.param(WeekBusyError(date(2023, 11, 3), None), math.inf, id="week busy"),
        pytest.param(AwsAccessError("create a job", "EndpointConnectionError", ""), math.inf, id="AWS away"),
        pytest.param(throttled(), math.inf, id="throttled"),
        pytest.param(ConnectionResetError("reset"), math.inf, id="connection reset"),
        pytest.param(NoCapacityError(name="tuning-1", said={"ml.m5.large": "none left"}), SEVERAL, id="no capacity"),
        pytest.param(job_failed("InternalServerError: try again"), SEVERAL, id="SageMaker's own fault"),
        pytest.param(job_failed("AlgorithmError: , exit code: 137 (killed)"), SEVERAL, id="job killed"),
        pytest.param(job_failed("AlgorithmError: [Errno 28] No space left on device"), math.inf, id="job's disk full"),
        pytest.param(job_failed("AlgorithmError: ValueError, exit code: 1"), 1, id="the job's code"),
        pytest.param(job_failed("", status="Stopped"), 1, id="stopped by somebody"),
        pytest.param(denied(), 1, id="AWS refuses the request"),
        pytest.param(ObservationsInvalidError("WGFUPUS2", []), 1, id="bad data"),
        pytest.param(DamagedTableError("/lake/x", "cut", remedy="delete it"), 1, id="damaged table"),
        pytest.param(KeyError("unforeseen"), 1, id="an error nobody has foreseen"),
    ],
)
def test_what_an_error_is_worth(error: BaseException, tries: float) -> None:
    found = recorded(raising(error, wrapped=not isinstance(error, dg.Failure)))
    assert (found.tries, found.step) == (tries, "step_0")
    assert found.passing == (tries > 1)
    assert found.error == type(error).__name__
    assert not found.said.startswith("resources.")
    if not isinstance(error, dg.Failure):
        assert judged(error).tries == tries


def test_an_error_that_nobody_has_wrapped_is_found_too() -> None:
    assert recorded(raising(EiaUnreachableError("http://eia", "refused"))).error == "EiaUnreachableError"


def test_a_release_that_cannot_be_read_is_told_from_one_that_is_wrong() -> None:
    assert recorded(raising(WorkbookError("WGFUPUS2", "all", "damaged"), wrapped=True)).unreadable
    assert not recorded(raising(ObservationsInvalidError("WGFUPUS2", []), wrapped=True)).unreadable


def test_of_several_failures_the_most_final_counts() -> None:
    away, wrong = raising(EiaUnreachableError("http://eia", "refused")), raising(KeyError("unforeseen"))
    assert recorded(away, wrong).tries == recorded(wrong, away).tries == 1


def test_a_failed_check_is_final() -> None:
    @dg.asset
    def table() -> None: ...

    @dg.asset_check(asset=table, blocking=True)
    def good() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([table, good], instance=instance, raise_on_error=False)
        assert not run.success
        assert why_failed(instance, run.run_id).tries == 1


def test_a_resource_that_does_not_start_is_judged_by_its_cause() -> None:
    @dg.resource
    def week_lock() -> None:
        raise WeekBusyError(date(2023, 11, 3), None)

    @dg.op(required_resource_keys={"week_lock"})
    def work() -> None: ...

    @dg.job(resource_defs={"week_lock": week_lock})
    def job() -> None:
        work()

    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        found = why_failed(instance, run.run_id)
        assert (found.error, found.tries) == ("WeekBusyError", math.inf)


def test_a_run_whose_process_died_is_worth_a_few_tries() -> None:
    @dg.job
    def job() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run, "the process died")
        found = why_failed(instance, run.run_id)
        assert (found.error, found.said, found.tries) == ("Killed", "the process died", SEVERAL)
