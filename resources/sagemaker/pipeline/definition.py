"""A SageMaker Pipeline that trains a model: its jobs in order, a gate, and a registration behind it.

What is described here knows no SDK: requests are those of boto3, and what is known only when the pipeline runs stands
in them as a placeholder, `@@Parameters.Week@@`. `definition` makes of it what SageMaker reads, with the SDK's own
classes.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines.html
"""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from resources.aws import AwsError, asking
from resources.sagemaker.pipeline.sdk import quiet_sdk

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

Request = dict[str, Any]
Resolve = Callable[[str], object]

EXECUTION = "@@Execution.PipelineExecutionId@@"
"""Differs from execution to execution."""

# Of characters that every field of a request takes.
_PLACEHOLDER = re.compile(r"@@(.+?)@@")
_MEMBER = re.compile(r"\.?(\w+)|\['(\w+)'\]")


class PipelineError(AwsError):
    """The pipeline cannot be made or started."""


@dataclass(frozen=True)
class Report:
    """A JSON file that a processing job writes, and the pipeline reads: `@@Report.<step>.<path>@@`.

    Attributes:
        output: The job's output that it is in.
        file: Its name there.
    """

    output: str
    file: str


@dataclass(frozen=True)
class Job:
    """A step that runs a job.

    Attributes:
        name: Of the step.
        kind: What it runs.
        request: The request of boto3 that creates the job, without its name.
        retries: New attempts where SageMaker is at fault, or has no capacity.
        report: What a processing job tells the pipeline.
    """

    name: str
    kind: Literal["Processing", "Training"]
    request: Request
    retries: int
    report: Report | None = None


@dataclass(frozen=True)
class TrainingPipeline:
    """Jobs, and a registration that a report of the last one decides on.

    Attributes:
        name: Of the pipeline.
        parameters: What is said when it is started; None where it must be, else its default.
        jobs: The jobs; what a request takes from another job makes it wait for that job.
        passes: The member of the last job's report that must be at least 1.
        registration: The request of boto3 that creates the model package.
        refusal: The reason of the failure otherwise.
    """

    name: str
    parameters: Mapping[str, str | None]
    jobs: tuple[Job, ...]
    passes: str
    registration: Request
    refusal: str


def definition(pipeline: TrainingPipeline, *, region: str) -> str:
    """The pipeline as SageMaker reads it: JSON, schema version 2020-12-01. Nothing is asked of AWS.

    Raises:
        SdkMissingError: The SDK is not installed.
        PipelineError: A placeholder stands for nothing.
    """
    with quiet_sdk(region):
        return _definition(pipeline, region)


def _definition(pipeline: TrainingPipeline, region: str) -> str:
    import boto3
    from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
    from sagemaker.core.workflow.execution_variables import ExecutionVariable
    from sagemaker.core.workflow.functions import Join, JsonGet
    from sagemaker.core.workflow.parameters import ParameterString
    from sagemaker.core.workflow.pipeline_context import PipelineSession
    from sagemaker.mlops.workflow.condition_step import ConditionStep
    from sagemaker.mlops.workflow.fail_step import FailStep
    from sagemaker.mlops.workflow.pipeline import Pipeline
    from sagemaker.mlops.workflow.steps import StepTypeEnum

    from resources.sagemaker.pipeline.steps import RequestStep, retry_policies

    parameters = {name: ParameterString(name, default_value=value) for name, value in pipeline.parameters.items()}
    reports = {job.name: job.report for job in pipeline.jobs if job.report is not None}
    steps: dict[str, RequestStep] = {}

    def resolve(placeholder: str) -> object:
        kind, _, rest = placeholder.partition(".")
        name, _, path = rest.partition(".")
        if kind == "Parameters" and rest in parameters:
            return parameters[rest]
        if kind == "Execution":
            return ExecutionVariable(rest)
        if kind == "Report" and name in reports:
            return JsonGet(step_name=name, property_file=reports[name].file.partition(".")[0], json_path=path)
        if kind == "Steps" and name in steps:
            return _member(steps[name].properties, path)
        raise PipelineError(f"the pipeline {pipeline.name} holds {placeholder}, which stands for nothing")

    def filled(value: object) -> Any:  # noqa: ANN401 - JSON, and the SDK's expressions in it
        return _filled(value, resolve, lambda values: Join(on="", values=values))

    for job in pipeline.jobs:
        steps[job.name] = RequestStep(
            job.name,
            StepTypeEnum(job.kind),
            filled(job.request),
            report=job.report,
            retries=retry_policies(job.retries),
        )
    last = pipeline.jobs[-1].name
    register = RequestStep("Register", StepTypeEnum.REGISTER_MODEL, filled(pipeline.registration))
    gate = ConditionStep(
        name="Passed",
        conditions=[ConditionGreaterThanOrEqualTo(left=resolve(f"Report.{last}.{pipeline.passes}"), right=1)],
        if_steps=[register],
        else_steps=[FailStep(name="HeldBack", error_message=filled(pipeline.refusal))],
    )
    session = PipelineSession(boto_session=boto3.Session(region_name=region), default_bucket="unused")
    made = Pipeline(
        name=pipeline.name,
        parameters=list(parameters.values()),
        pipeline_experiment_config=None,
        steps=[*steps.values(), gate],
        sagemaker_session=session,
    )
    text: str = made.definition()
    return text


def upsert(client: "SageMakerClient", name: str, text: str, *, role_arn: str, description: str) -> tuple[str, bool]:
    """Create the pipeline, or bring it to a definition.

    Args:
        client: boto3 client of SageMaker.
        name: Of the pipeline.
        text: Its definition.
        role_arn: The role that it starts jobs and registers models with.
        description: For people.

    Returns:
        Its ARN, and whether it was created.

    Raises:
        AwsAccessError: The account refuses.
    """
    with asking(f"put the pipeline {name}"):
        if _exists(client, name):
            updated = client.update_pipeline(
                PipelineName=name, PipelineDefinition=text, PipelineDescription=description, RoleArn=role_arn
            )
            return updated["PipelineArn"], False
        created = client.create_pipeline(
            PipelineName=name,
            PipelineDefinition=text,
            PipelineDescription=description,
            RoleArn=role_arn,
            ClientRequestToken=uuid.uuid4().hex,
        )
        return created["PipelineArn"], True


def start(client: "SageMakerClient", name: str, parameters: Mapping[str, str]) -> str:
    """Start an execution; its ARN.

    Raises:
        PipelineError: There is no such pipeline.
        AwsAccessError: The account refuses.
    """
    with asking(f"start the pipeline {name}"):
        if not _exists(client, name):
            raise PipelineError(f"there is no pipeline {name}: make it with `forecast pipeline upsert`")
        started = client.start_pipeline_execution(
            PipelineName=name,
            PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters.items()],
            ClientRequestToken=uuid.uuid4().hex,
        )
        return started["PipelineExecutionArn"]


def _exists(client: "SageMakerClient", name: str) -> bool:
    pages = client.get_paginator("list_pipelines").paginate(PipelineNamePrefix=name)
    return any(found["PipelineName"] == name for page in pages for found in page["PipelineSummaries"])


def _filled(value: object, resolve: Resolve, join: Callable[[list[object]], object]) -> object:
    """A request with its placeholders replaced: alone in a text by what it stands for, else by a joined text."""
    if isinstance(value, Mapping):
        return {key: _filled(inner, resolve, join) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(inner, resolve, join) for inner in value]
    if not isinstance(value, str):
        return value
    parts: list[object] = [
        resolve(part) if index % 2 else part for index, part in enumerate(_PLACEHOLDER.split(value)) if part
    ]
    if len(parts) == 1:
        return parts[0]
    return join(parts) if parts else value


def _member(properties: Any, path: str) -> object:  # noqa: ANN401 - the SDK makes them at run time
    """A member of a job's description, such as `ModelArtifacts.S3ModelArtifacts` or `Outputs['model'].S3Output`."""
    for name, key in _MEMBER.findall(path):
        properties = getattr(properties, name) if name else properties[key]
    return properties


def pretty(text: str) -> str:
    """A definition for people."""
    return json.dumps(json.loads(text), indent=2)
