"""What a training job left in the lake: its files, by name."""

import json
from collections.abc import Mapping
from typing import Any

from resources.archive import JobFiles, members
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker


def training_files(lake: Lake, sagemaker: SageMaker, description: Mapping[str, Any]) -> JobFiles:
    """The files of a completed training job: its model, and its further output beside it.

    Args:
        lake: Where the job wrote.
        sagemaker: Where it ran.
        description: Its final description.

    Raises:
        ArchiveError: An archive is missing or damaged.
    """
    model = lake.root / sagemaker.key(description["ModelArtifacts"]["S3ModelArtifacts"])
    return JobFiles(model.parent, {**members(model), **members(model.with_name("output.tar.gz"))})


def failure_messages(content: bytes) -> dict[str, str]:
    """The messages of a job's `failures.json`, by series."""
    found: dict[str, dict[str, str]] = json.loads(content)
    return {series: f"{failure['error']}: {failure['message']}" for series, failure in found.items()}
