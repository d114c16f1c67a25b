"""The Pipes client against an account that throttles, refuses, lacks capacity, interrupts: each as AWS says it."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from botocore.exceptions import EndpointConnectionError

from resources.aws import AwsAccessError
from resources.sagemaker.pipes import PipesSageMakerClient
from resources.sagemaker.pipes.errors import (
    EnvironmentTooLongError,
    JobFailedError,
    JobRequestError,
    JobTimeoutError,
    NoCapacityError,
)
from resources.sagemaker.pipes.kinds import KINDS
from resources.sagemaker.pipes.messages import FileMessages
from resources.sagemaker.pipes.names import job_stem
from resources.sagemaker.pipes.patience import Patience
from tests.resources.sagemaker.scripted import DENIED, EXPIRED, NOW, THROTTLED, Account, Fields, Refusal, training

RUNNING, DONE = training("InProgress", "Starting"), training("Completed", "Starting", "Training", "Completed")
NO_CAPACITY = "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different type."
TRAINING: Fields = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/forecast",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/jobs"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}
PROCESSING: Fields = {
    "AppSpecification": {"ImageUri": "image"},
    "RoleArn": "arn:aws:iam::123456789012:role/forecast",
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1},
    },
}
TRANSFORM: Fields = {
    "ModelName": "forecaster",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}},
    "TransformOutput": {"S3OutputPath": "s3://bucket/out"},
    "TransformResources": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
}
TUNING: Fields = {
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxParallelTrainingJobs": 2},
    },
    "TrainingJobDefinition": TRAINING,
}

Run = Callable[..., dg.ExecuteInProcessResult]


class World:
    """An account, and an asset that a job in it materializes."""

    def __init__(self, folder: Path) -> None:
        self.account, self.folder = Account(), folder
        self.error: BaseException | None = None

    def client(self, **options: Any) -> PipesSageMakerClient:
        return PipesSageMakerClient(
            **{
                "client": self.account.client("sagemaker"),
                "logs": self.account.client("logs"),
                "messages": FileMessages(self.folder),
                "poll_interval_s": 0,
                "log_delay_s": 0,
                "patience": Patience(within_s=5, first_s=0),
                **options,
            }
        )

    def asset(self, request: Fields, kind: str = "training", **options: Any) -> dg.AssetsDefinition:
        of_the_client = {key: options.pop(key) for key in ("prices", "patience", "console") if key in options}

        @dg.asset
        def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            client = self.client(**of_the_client)
            try:
                return client.run(context=context, kind=kind, request=request, **options).materialization()
            except Exception as error:
                self.error = error
                raise

        return model

    def run(self, request: Fields, *lives: list[Fields | Refusal], kind: str = "training", **options: Any) -> "Ended":
        """Materialize the asset; the jobs that this creates live as said."""
        self.account.lives.extend(lives)
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize([self.asset(request, kind, **options)], instance=instance, raise_on_error=False)
            return Ended(result, [record.user_message for record in instance.all_logs(result.run_id)])


class Ended:
    """A run that ended: what it materialized and what it said."""

    def __init__(self, result: dg.ExecuteInProcessResult, said: list[str]) -> None:
        self.success, self.said = result.success, said
        events = result.asset_materializations_for_node("model") if result.success else []
        self.metadata: dict[str, Any] = dict(events[0].metadata) if events else {}

    def value(self, name: str) -> Any:
        return self.metadata[name].value

    def saying(self, words: str) -> list[str]:
        return [line for line in self.said if words in line]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- kinds of jobs ---------------------------------------------------------------------------------------------------


def test_a_transform_job_is_a_materialization_of_its_output_without_pipes(world: World) -> None:
    times = {"TransformStartTime": NOW, "TransformEndTime": NOW + timedelta(hours=1)}
    ended = world.run(
        TRANSFORM,
        [{"TransformJobStatus": "InProgress"}, {"TransformJobStatus": "Completed", **times}],
        kind="transform",
    )
    assert ended.value("output") == "s3://bucket/out"
    assert ended.value("job_seconds") == 3600
    assert ended.value("estimated_cost_usd") == 0.204
    [created] = world.account.named("CreateTransformJob")
    assert "Environment" not in created
    assert {tag["Key"] for tag in created["Tags"]} >= {"dagster/run-id", "dagster/job"}
    assert not ended.saying("[pipes]"), "nobody waits for messages that cannot come"


def trial(name: str, loss: float | None, **fields: Any) -> Fields:
    metric = {"FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "loss", "Value": loss}}
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}",
        "CreationTime": NOW,
        "TrainingJobStatus": "Failed" if loss is None else "Completed",
        "TunedHyperParameters": {"depth": "3"},
        **({} if loss is None else metric),
        **fields,
    }


def tuned(*trials: Fields, best: Fields | None) -> Fields:
    return {
        "HyperParameterTuningJobStatus": "Completed",
        "TrainingJobStatusCounters": {"Completed": 2, "NonRetryableError": 1},
        "ObjectiveStatusCounters": {},
        **({"BestTrainingJob": best} if best else {}),
    }


def test_a_tuning_job_is_a_materialization_of_its_best_trial_and_its_leaderboard(world: World) -> None:
    trials = [trial("a", 2.5), trial("b", None, FailureReason="AlgorithmError: no"), trial("c", 1.5)]
    world.account.answers["ListTrainingJobsForHyperParameterTuningJob"] = lambda _: {"TrainingJobSummaries": trials}
    spot = {"EnableManagedSpotTraining": True, "TrainingTimeInSeconds": 3600, "BillableTimeInSeconds": 900}
    world.account.answers["DescribeTrainingJob"] = lambda asked: {
        **TRAINING,
        **asked,
        **spot,
        **training("Completed", "Training", "Interrupted", "Completed"),
        "TrainingJobArn": "arn",
        "CreationTime": NOW,
    }
    running = {
        "HyperParameterTuningJobStatus": "InProgress",
        "TrainingJobStatusCounters": {"Completed": 1, "InProgress": 2},
    }
    ended = world.run(TUNING, [running, running, tuned(*trials, best=trials[2])], kind="tuning")
    assert (ended.value("best_objective"), ended.value("best_training_job")) == (1.5, "c")
    assert (ended.value("trials"), ended.value("failed_trials"), ended.value("interruptions")) == (3, 1, 3)
    assert ended.value("spot_savings_percent") == 75
    assert ended.value("estimated_cost_usd") == pytest.approx(3 * 0.115 / 4, abs=1e-4)
    rows = [record.data for record in ended.metadata["leaderboard"].records]
    assert [(row["training_job"], row["objective"]) for row in rows] == [("c", 1.5), ("a", 2.5), ("b", None)]
    assert rows[2]["failure"] == "AlgorithmError: no"
    [created] = world.account.named("CreateHyperParameterTuningJob")
    assert "Environment" not in created
    assert len(created["HyperParameterTuningJobName"]) <= 32
    assert len(ended.saying("training jobs: 1 completed, 2 in progress")) == 1, "progress is told when it changes"


def test_a_tuning_job_of_which_nothing_succeeded_is_a_failure(world: World) -> None:
    world.account.answers["ListTrainingJobsForHyperParameterTuningJob"] = lambda _: {"TrainingJobSummaries": []}
    world.run(TUNING, [tuned(best=None)], kind="tuning")
    assert isinstance(world.error, JobFailedError)
    assert "none of its training jobs succeeded" in world.error.reason


@pytest.mark.parametrize("kind", KINDS)
def test_names_fit_and_depend_on_the_request_but_not_on_what_it_runs_on(kind: str) -> None:
    request = {"training": TRAINING, "processing": PROCESSING, "transform": TRANSFORM, "tuning": TUNING}[kind]
    of_kind = KINDS[kind]
    stems = set()

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["2023-11-10"]))
    def a_name_that_is_longer_than_any_that_sagemaker_takes_for_a_job(context: dg.AssetExecutionContext) -> None:
        stems.add(job_stem(context, of_kind, request))
        stems.add(job_stem(context, of_kind, of_kind.on_instance_type(request, "ml.c5.4xlarge")))
        assert job_stem(context, of_kind, {**request, "RoleArn": "another"}) not in stems
        assert job_stem(context, of_kind, request, salt="forced") not in stems

    asset = a_name_that_is_longer_than_any_that_sagemaker_takes_for_a_job
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([asset], partition_key="2023-11-10", instance=instance).success
    [stem] = stems
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", f"{stem}-999")
    assert len(f"{stem}-999") <= of_kind.longest_name
    assert stem.startswith("a-name-that-is")


# -- what is told of a job -------------------------------------------------------------------------------------------


def test_each_step_is_told_once_with_its_time_and_what_sagemaker_says_of_it(world: World) -> None:
    life = [
        training("InProgress", "Starting"),
        training("InProgress", "Starting"),
        training("InProgress", "Starting", "Downloading", "Training"),
        DONE,
    ]
    ended = world.run(TRAINING, life)
    steps = [line.partition(": ")[2] for line in ended.saying(" since ")]
    assert steps == [
        "Starting since 12:00:00 UTC (Starting it is)",
        "Downloading since 12:01:00 UTC (Downloading it is)",
        "Training since 12:02:00 UTC (Training it is)",
        "Training since 12:01:00 UTC (Training it is)",
        "Completed since 12:02:00 UTC (Completed it is)",
    ]


def test_the_first_line_and_the_metadata_lead_to_the_console(world: World) -> None:
    ended = world.run(TRAINING, [DONE])
    job, log = ended.value("console"), ended.value("log")
    name = ended.value("sagemaker_job")
    assert job == f"https://console.aws.amazon.com/sagemaker/home?region=us-east-1#/jobs/{name}"
    assert log.endswith(f"/$252Faws$252Fsagemaker$252FTrainingJobs$3FlogStreamNameFilter$3D{name}$252F")
    [launched] = ended.saying("Launched SageMaker job")
    assert launched.splitlines()[1:] == [job, log]
    assert "console" not in World(world.folder / "local").run(TRAINING, [DONE], console=False).metadata


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_every_partition_has_its_console(partition: str, region: str, host: str) -> None:
    arn = f"arn:{partition}:sagemaker:{region}:123456789012:hyper-parameter-tuning-job/search-0"
    assert KINDS["tuning"].page(arn) == f"https://{host}/sagemaker/home?region={region}#/hyper-tuning-jobs/search-0"


def test_spot_savings_interruptions_and_cost_are_metadata(world: World) -> None:
    done = training(
        "Completed", "Training", "Interrupted", "Training", "Interrupted", "Training", "Completed",
        EnableManagedSpotTraining=True, TrainingTimeInSeconds=7200, BillableTimeInSeconds=1800,
    )  # fmt: skip
    ended = world.run(TRAINING, [done])
    assert ended.value("spot_savings_percent") == 75
    assert ended.value("interruptions") == 2
    assert (ended.value("billable_seconds"), ended.value("instance_type")) == (1800, "ml.m5.large")
    assert ended.value("estimated_cost_usd") == pytest.approx(0.115 / 2)


def test_the_instances_of_a_processing_job_are_all_paid_at_your_own_price(world: World) -> None:
    times = {"ProcessingStartTime": NOW, "ProcessingEndTime": NOW + timedelta(minutes=30)}
    life = [{"ProcessingJobStatus": "Completed", **times}]
    ended = world.run(PROCESSING, life, kind="processing", prices={"ml.m5.large": 4.0})
    assert ended.value("estimated_cost_usd") == 4.0


def test_without_a_price_no_cost_is_made_up(world: World) -> None:
    ended = world.run(TRAINING, [DONE], instance_types=["ml.p4d.24xlarge"])
    assert "estimated_cost_usd" not in ended.metadata
    assert ended.value("estimated_cost") == (
        "not estimated: there is no price of ml.p4d.24xlarge; give one in `prices`"
    )


# -- capacity --------------------------------------------------------------------------------------------------------


def created_types(account: Account) -> list[str]:
    return [request["ResourceConfig"]["InstanceType"] for request in account.named("CreateTrainingJob")]


def test_where_capacity_lacks_the_next_instance_type_is_tried(world: World) -> None:
    lacking = training("Failed", "Starting", "Failed", FailureReason=NO_CAPACITY)
    world.account.refuse("CreateTrainingJob", Refusal("ResourceLimitExceeded", "the limit is 0 Instances"))
    ended = world.run(TRAINING, [lacking], [DONE], instance_types=["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"])
    assert created_types(world.account) == ["ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"]
    names = [request["TrainingJobName"] for request in world.account.named("CreateTrainingJob")]
    assert names[0] == names[1], "what was not created leaves its name"
    assert names[2] == names[0].removesuffix("-0") + "-1"
    assert ended.value("instance_type") == "ml.c5.xlarge"
    said = ended.value("instance_types_not_to_be_had")
    assert "ml.m5.large: the limit is 0 Instances; ml.m5.xlarge: CapacityError" in said
    assert ended.saying("ml.c5.xlarge follows")


def test_where_none_is_to_be_had_the_error_says_what_each_said(world: World) -> None:
    lacking = training("Failed", "Starting", "Failed", FailureReason=NO_CAPACITY)
    world.account.refuse("CreateTrainingJob", None, Refusal("ResourceLimitExceeded", "the limit is 0 Instances"))
    world.run(TRAINING, [lacking], instance_types=["ml.m5.large", "ml.c5.xlarge"], retries=2)
    assert isinstance(world.error, NoCapacityError)
    assert world.error.said == {"ml.m5.large": NO_CAPACITY, "ml.c5.xlarge": "the limit is 0 Instances"}
    assert "ml.c5.xlarge: the limit is 0 Instances" in str(world.error.description)


def test_spot_capacity_that_never_came_is_lacking_capacity(world: World) -> None:
    waited = training("Stopped", "Starting", "MaxWaitTimeExceeded")
    world.run(TRAINING, [waited], [DONE], instance_types=["ml.m5.large", "ml.c5.xlarge"])
    assert created_types(world.account) == ["ml.m5.large", "ml.c5.xlarge"]


def test_without_a_list_the_requests_own_type_is_the_only_one(world: World) -> None:
    world.run(TRAINING, [training("Failed", "Failed", FailureReason=NO_CAPACITY)])
    assert isinstance(world.error, NoCapacityError)
    assert world.error.said == {"ml.m5.large": NO_CAPACITY}


# -- an account that does not answer, or refuses ---------------------------------------------------------------------


def test_throttling_and_faults_are_waited_out_and_told(world: World) -> None:
    fault = Refusal("InternalFailure", "later", status=500)
    world.account.refuse("DescribeTrainingJob", THROTTLED, None, THROTTLED, fault, None, THROTTLED)
    world.account.refuse("CreateTrainingJob", THROTTLED)
    ended = world.run(TRAINING, [RUNNING, DONE])
    assert ended.success
    assert len(world.account.jobs) == 1
    assert len(ended.saying("Rate exceeded")) == 4
    assert ended.saying("asking again in")


def test_a_network_that_fails_for_a_moment_is_waited_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, down = Account._answered, iter([False, True, True])

    def sometimes(account: Account, request: Any, **event: object) -> Any:
        if next(down, False):
            raise EndpointConnectionError(endpoint_url=request.url)
        return answered(account, request, **event)

    monkeypatch.setattr(Account, "_answered", sometimes)
    assert world.run(TRAINING, [RUNNING, DONE]).success


def test_throttling_without_end_is_an_error_of_access_and_the_job_goes_on(world: World) -> None:
    world.account.refuse("DescribeTrainingJob", None, None, *[THROTTLED] * 1000)
    world.run(TRAINING, [RUNNING], patience=Patience(within_s=0.05, first_s=0.01))
    assert isinstance(world.error, AwsAccessError)
    assert world.error.code == "ThrottlingException"
    assert "which goes on by itself" in str(world.error)
    assert not world.account.named("StopTrainingJob")


def test_expired_credentials_are_told_at_once_and_the_next_run_takes_the_job_up(world: World) -> None:
    world.run(TRAINING, [RUNNING, EXPIRED, DONE])
    assert isinstance(world.error, AwsAccessError)
    assert "the credentials have expired: sign in again" in str(world.error)
    assert not world.account.named("StopTrainingJob")
    again = world.run(TRAINING)
    assert again.value("taken_up") is True
    assert len(world.account.jobs) == 1


def test_a_log_that_may_not_be_read_is_told_once_and_the_job_followed(world: World) -> None:
    world.account.refuse("DescribeLogStreams", DENIED)
    ended = world.run(TRAINING, [RUNNING, RUNNING, DONE])
    assert ended.success
    [told] = ended.saying("its log cannot be read here")
    assert "these credentials may not do that" in told
    assert len(world.account.named("DescribeLogStreams")) == 1


def test_a_throttled_log_comes_late_and_whole(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    pages = {None: (["one"], "f/1"), "f/1": ([], "f/2"), "f/2": (["two"], "f/3"), "f/3": ([], "f/3")}

    def events(asked: Fields) -> Fields:
        lines, token = pages[asked.get("nextToken")]
        return {"events": [{"message": line, "timestamp": 0} for line in lines], "nextForwardToken": token}

    world.account.answers["DescribeLogStreams"] = lambda _: {"logStreams": [{"logStreamName": "job/algo-1"}]}
    world.account.answers["GetLogEvents"] = events
    world.account.refuse("GetLogEvents", None, THROTTLED)
    ended = world.run(TRAINING, [RUNNING, RUNNING, DONE])
    assert len(ended.saying("its log comes late")) == 1
    assert re.findall(r"^(one|two)$", capfd.readouterr().out, re.MULTILINE) == ["one", "two"]


def test_a_request_that_is_refused_is_a_failure_that_says_why(world: World) -> None:
    world.account.refuse("CreateTrainingJob", Refusal("ValidationException", "RoleArn is no role"))
    world.run(TRAINING, retries=2)
    assert isinstance(world.error, JobRequestError)
    assert "ValidationException: RoleArn is no role" in str(world.error.description)


def test_an_environment_that_is_too_long_names_its_variable_before_anything_starts(world: World) -> None:
    world.run({**PROCESSING, "Environment": {"LONG": "x" * 257}}, kind="processing")
    assert isinstance(world.error, EnvironmentTooLongError)
    assert "LONG has 257 characters, at most 256 go" in str(world.error.description)
    assert not world.account.named("CreateProcessingJob")


# -- time ------------------------------------------------------------------------------------------------------------


def test_after_the_longest_wait_the_job_is_stopped_and_then_the_error_raised(world: World) -> None:
    world.account.stopping = [training("Stopping", "Starting"), training("Stopped", "Starting", "Stopped")]
    world.run(TRAINING, [RUNNING], max_wait_s=0, retries=2)
    assert isinstance(world.error, JobTimeoutError)
    assert "when it was Starting: it was stopped. Raise max_wait_s" in str(world.error.description)
    assert len(world.account.named("StopTrainingJob")) == 1
    assert world.account.calls[-2][0] == "DescribeTrainingJob"
    assert len(world.account.jobs) == 1


def test_the_wait_of_a_spot_job_is_left_to_sagemaker_where_it_is_longer(world: World) -> None:
    request = {**TRAINING, "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120}}
    assert world.run(request, [RUNNING, RUNNING, DONE], max_wait_s=0).success
    assert not world.account.named("StopTrainingJob")


def test_a_job_that_completes_while_it_is_told_to_stop_has_completed(world: World) -> None:
    world.account.stopping = [DONE]
    assert world.run(TRAINING, [RUNNING], max_wait_s=0).success


def test_a_job_that_was_stopped_by_somebody_is_a_failure(world: World) -> None:
    world.run(TRAINING, [RUNNING, training("Stopped", "Training", "Stopped")], retries=2)
    assert isinstance(world.error, JobFailedError)
    assert world.error.status == "Stopped"
    assert len(world.account.jobs) == 1


def test_a_job_that_completed_without_a_report_is_not_taken_up_for_ever(world: World) -> None:
    world.run(TRAINING, [DONE])
    [messages] = world.folder.rglob("messages.jsonl")
    messages.write_text('{"__dagster_pipes_version": "0.1", "method": "opened", "params": {"extras": {}}}\n')
    ended = world.run(TRAINING, [DONE])
    assert ended.value("taken_up") is False
    assert ended.saying("completed before, but reported no materialization")
