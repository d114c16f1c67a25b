"""A step of a SageMaker Pipeline made of a request of boto3, where the SDK's own steps want objects of the SDK.

The only module that imports the SDK, an extra of this package, as it is loaded.
"""

from typing import TYPE_CHECKING, Any

from resources.sagemaker.pipeline.sdk import SdkMissingError

try:
    from sagemaker.core.workflow.properties import Properties, PropertyFile
    from sagemaker.mlops.workflow.retry import (
        RetryPolicy,
        SageMakerJobExceptionTypeEnum,
        SageMakerJobStepRetryPolicy,
    )
    from sagemaker.mlops.workflow.steps import ConfigurableRetryStep, StepTypeEnum
except ModuleNotFoundError as missing:
    raise SdkMissingError(str(missing)) from missing

if TYPE_CHECKING:
    from resources.sagemaker.pipeline.definition import Report

_SHAPES = {
    StepTypeEnum.PROCESSING: "DescribeProcessingJobResponse",
    StepTypeEnum.TRAINING: "DescribeTrainingJobResponse",
    StepTypeEnum.REGISTER_MODEL: "DescribeModelPackageOutput",
}
_WAIT_S = 60


class RequestStep(ConfigurableRetryStep):  # type: ignore[misc] # the SDK has no types here
    """A step that makes a request.

    Args:
        name: Of the step.
        step_type: What is created.
        request: The request of boto3, expressions of the pipeline in it.
        report: A file that the pipeline reads.
        retries: When it is tried again.
    """

    def __init__(
        self,
        name: str,
        step_type: StepTypeEnum,
        request: dict[str, Any],
        *,
        report: "Report | None" = None,
        retries: list[RetryPolicy] | None = None,
    ) -> None:
        super().__init__(name, step_type, retry_policies=retries)
        self._request = request
        self._properties = Properties(step_name=name, step=self, shape_name=_SHAPES[step_type])
        self.property_files = (
            [PropertyFile(name=report.file.partition(".")[0], output_name=report.output, path=report.file)]
            if report is not None
            else []
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """The request."""
        return self._request

    @property
    def properties(self) -> Properties:
        """What the job's description will say."""
        return self._properties

    def to_request(self) -> dict[str, Any]:
        """The step as it stands in the definition."""
        request: dict[str, Any] = super().to_request()
        if self.property_files:
            request["PropertyFiles"] = [file.expr for file in self.property_files]
        return request


def retry_policies(retries: int) -> list[RetryPolicy]:
    """New attempts, a minute and more apart, where SageMaker failed or had no capacity; none for 0."""
    if not retries:
        return []
    kinds = SageMakerJobExceptionTypeEnum
    return [
        SageMakerJobStepRetryPolicy(
            exception_types=[kinds.RESOURCE_LIMIT],
            failure_reason_types=[kinds.INTERNAL_ERROR, kinds.CAPACITY_ERROR],
            interval_seconds=_WAIT_S,
            max_attempts=retries,
        )
    ]
