"""SageMaker jobs for Dagster assets, through Dagster Pipes: the client, and what it is made of."""

from resources.sagemaker.pipes.client import FORCE_TAG, PipesSageMakerClient
from resources.sagemaker.pipes.completed_job import CompletedJob
from resources.sagemaker.pipes.errors import (
    EnvironmentTooLongError,
    JobFailedError,
    JobRequestError,
    JobTimeoutError,
    NoCapacityError,
)

__all__ = [
    "FORCE_TAG",
    "CompletedJob",
    "EnvironmentTooLongError",
    "JobFailedError",
    "JobRequestError",
    "JobTimeoutError",
    "NoCapacityError",
    "PipesSageMakerClient",
]
