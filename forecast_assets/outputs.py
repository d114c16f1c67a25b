"""What a training job left in the lake: its files, by name."""

import json
from collections.abc import Mapping
from typing import Any

from resources.archive import ArchiveError, JobFiles, members
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
    model = sagemaker.key(description["ModelArtifacts"]["S3ModelArtifacts"])
    folder = model.removesuffix("/model.tar.gz")
    contents: dict[str, bytes] = {}
    for key in (model, f"{folder}/output.tar.gz"):
        try:
            contents |= members(lake.read_bytes(key), where=lake.where(key))
        except OSError as error:
            raise ArchiveError(f"cannot read {lake.where(key)}: {error}; run the week again with --force") from error
    return JobFiles(lake.where(folder), contents)


def failure_messages(content: bytes) -> dict[str, str]:
    """The messages of a job's `failures.json`, by series."""
    found: dict[str, dict[str, str]] = json.loads(content)
    return {series: f"{failure['error']}: {failure['message']}" for series, failure in found.items()}
