"""The command line in AWS mode: processes whose AWS is on this machine."""

import json
from pathlib import Path
from typing import Any

from forecast_assets.settings import load_settings
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker
from tests.aws.world import REGION, Aws
from tests.refreshes import ENDPOINT, QUESTION, CommandLine, numbers, until
from tests.world import WEEK


def sagemaker(lake_uri: str, *, poll_interval_s: float = 0.1) -> SageMaker:
    """SageMaker as the settings of this process have it, without the ten seconds between two looks at a job."""
    settings = load_settings(lake_uri=lake_uri, eia_source="live")
    return SageMaker(
        mode="aws",
        region=settings.region,
        role_arn=settings.role_arn,
        images=settings.images,
        lake=Lake(uri=lake_uri, region=settings.region),
        poll_interval_s=poll_interval_s,
    )


class AwsSite(CommandLine):
    """A lake in a bucket, and the command line that works on it.

    Args:
        folder: For logs and Dagster's history.
        aws: Where everything else is.
        source: Of figures.
    """

    def __init__(self, folder: Path, aws: Aws, source: Path) -> None:
        self.aws, self.lake = aws, Lake(uri=aws.lake_uri, region=REGION)
        self.home = folder / "dagster"
        self.home.mkdir()
        history = {"DAGSTER_HOME": str(self.home)}
        super().__init__(folder, aws.settings | aws.environment | history | {"FORECAST_EIA_SOURCE": str(source)})

    def numbers(self) -> dict[str, str]:
        return numbers(self.lake, [key.removeprefix("lake/") for key in self.aws.objects("lake/")])

    def jobs(self) -> dict[str, str]:
        """The status of every training and processing job, by name."""
        client = self.aws.client("sagemaker")
        training = client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        processing = client.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]
        found = {job["TrainingJobName"]: job["TrainingJobStatus"] for job in training}
        return found | {job["ProcessingJobName"]: job["ProcessingJobStatus"] for job in processing}

    def running_job(self, stage: str) -> str:
        """The name of the job of a stage, once it runs."""
        stem = f"{stage.replace('_', '-')}-{WEEK}-"

        def look() -> str | None:
            return next((n for n, s in self.jobs().items() if n.startswith(stem) and s == "InProgress"), None)

        return str(until(look, f"job of {stage}"))

    def asks(self) -> Any:
        """What the endpoint answers."""
        runtime = self.aws.client("sagemaker-runtime")
        request = {"EndpointName": ENDPOINT, "ContentType": "application/json", "Body": json.dumps(QUESTION)}
        return json.loads(runtime.invoke_endpoint(**request)["Body"].read())
