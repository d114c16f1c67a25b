"""How the API speaks of the kinds of jobs: names of its members, places of logs, pages of the console."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Request = Mapping[str, Any]
Kind = Literal["training", "processing", "transform", "tuning"]

FINAL = frozenset({"Completed", "Failed", "Stopped"})

_KILLED = f"exit code: {128 + signal.SIGKILL}"
_KILLED_MEANS = (
    "its process was killed from outside, mostly for want of memory: refresh again, on a larger instance_type if it "
    "happens again"
)
_CUT = {
    "MaxRuntimeExceeded": "it ran longer than its MaxRuntimeInSeconds",
    "MaxWaitTimeExceeded": "spot capacity did not suffice within its MaxWaitTimeInSeconds",
}
# https://docs.aws.amazon.com/general/latest/gr/aws-arns-and-namespaces.html
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    Attributes:
        noun: TrainingJob.
        api: training_job.
        resources: Where in a request and a description the instances are.
        console: Its pages in the console.
        log_group: Its log; None where it has none of its own.
        reports: Whether a process of ours runs in it, which reports through Pipes.
        longest_name: Characters of a name.
        times: What its times are called: TrainingStartTime.
    """

    noun: str
    api: str
    resources: tuple[str, ...]
    console: str
    log_group: str | None
    reports: bool
    longest_name: int = 63
    times: str = ""

    @property
    def name_field(self) -> str:
        """The request's member that names the job."""
        return f"{self.noun}Name"

    def name(self, description: Request) -> str:
        """The name of a job."""
        return str(description[self.name_field])

    def arn(self, description: Request) -> str:
        """The ARN of a job."""
        return str(description[f"{self.noun}Arn"])

    def status(self, description: Request) -> str:
        """`InProgress`, `Completed`, `Failed`, `Stopping` or `Stopped`."""
        return str(description[f"{self.noun}Status"])

    def state(self, description: Request) -> str:
        """Its status, as finely as SageMaker tells it."""
        return str(description.get("SecondaryStatus") or self.status(description))

    def reason(self, description: Request) -> str:
        """Why it did not complete, in words."""
        parts = [description.get(field) for field in ("FailureReason", "ExitMessage")]
        text = " ".join(str(part) for part in parts if part) or _CUT.get(description.get("SecondaryStatus", ""), "")
        if text.endswith(_KILLED):
            text += f" ({_KILLED_MEANS})"
        return text or "SageMaker gives no reason; see the job's log"

    def lacked_capacity(self, description: Request) -> bool:
        """Whether it did not complete because there was no instance of its type."""
        if "CapacityError" in description.get(
            "FailureReason", ""
        ):  # also InsufficientCapacityError, EC2Insufficient...
            return True
        ran = any(step["Status"] == "Training" for step in description.get("SecondaryStatusTransitions", []))
        return description.get("SecondaryStatus") == "MaxWaitTimeExceeded" and not ran

    def cluster(self, description: Request) -> Request:
        """The instances that a request asks for, or a job has."""
        found: Any = description
        for member in self.resources:
            found = found.get(member, {})
        return found  # type: ignore[no-any-return]

    def instance_type(self, description: Request) -> str | None:
        """The instance type of a request or a job; None where there are several, or it is SageMaker's to choose."""
        cluster = self.cluster(description)
        return cluster.get("SelectedInstanceType") or cluster.get("InstanceType")

    def on_instance_type(self, request: Request, instance_type: str | None) -> dict[str, Any]:
        """The request for another instance type; for none with None."""
        return _replaced(request, self.resources, instance_type)

    def seconds(self, description: Request) -> float | None:
        """How long its instances ran, as far as that is told."""
        started = description.get(f"{self.times}StartTime", description.get("CreationTime"))
        ended = description.get(f"{self.times}EndTime")
        return (ended - started).total_seconds() if started and ended else None

    def page(self, arn: str) -> str:
        """The page of a job in the console."""
        host, region, name = _place(arn)
        return f"https://{host}/sagemaker/home?region={region}#/{self.console}/{name}"

    def log_page(self, arn: str) -> str | None:
        """The page of a job's log in the console."""
        if self.log_group is None:
            return None
        host, region, name = _place(arn)
        group = self.log_group.replace("/", "$252F")
        streams = f"$3FlogStreamNameFilter$3D{name}$252F"
        return f"https://{host}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}{streams}"


KINDS: Mapping[Kind, JobKind] = {
    "training": JobKind(
        noun="TrainingJob",
        api="training_job",
        resources=("ResourceConfig",),
        console="jobs",
        log_group="/aws/sagemaker/TrainingJobs",
        reports=True,
        times="Training",
    ),
    "processing": JobKind(
        noun="ProcessingJob",
        api="processing_job",
        resources=("ProcessingResources", "ClusterConfig"),
        console="processing-jobs",
        log_group="/aws/sagemaker/ProcessingJobs",
        reports=True,
        times="Processing",
    ),
    "transform": JobKind(
        noun="TransformJob",
        api="transform_job",
        resources=("TransformResources",),
        console="transform-jobs",
        log_group="/aws/sagemaker/TransformJobs",
        reports=False,
        times="Transform",
    ),
    "tuning": JobKind(
        noun="HyperParameterTuningJob",
        api="hyper_parameter_tuning_job",
        resources=("TrainingJobDefinition", "ResourceConfig"),
        console="hyper-tuning-jobs",
        log_group=None,  # each of its training jobs has one
        reports=False,
        longest_name=32,
        times="HyperParameterTuning",
    ),
}


def _replaced(request: Request, path: tuple[str, ...], instance_type: str | None) -> dict[str, Any]:
    if not path:
        rest = {name: value for name, value in request.items() if name != "InstanceType"}
        return rest if instance_type is None else rest | {"InstanceType": instance_type}
    if path[0] not in request:
        return dict(request)
    return {**request, path[0]: _replaced(request[path[0]], path[1:], instance_type)}


def _place(arn: str) -> tuple[str, str, str]:
    """Host of the console, region and name of a job."""
    _, partition, _, region, _, resource = arn.split(":", 5)
    return _CONSOLES.get(partition, _CONSOLES["aws"]), region, resource.partition("/")[2]
