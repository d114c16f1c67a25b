"""A spot instance taken away on demand, to see that a job goes on from its checkpoints.

``python -m resources.sagemaker.local.interruption --root ROOT JOB`` does it once. The container gets SIGTERM and, 120 s
later (``SAGEMAKER_LOCAL_STOP_GRACE_S``), SIGKILL; what it wrote is lost but for its checkpoints. Then it starts anew:
the job is ``Interrupted``, ``Starting``, ``Downloading`` and ``Training`` again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from resources.sagemaker.local.operations import LocalSageMaker
from resources.sagemaker.local.wire import AwsError


def interrupt(root: Path, name: str) -> None:
    """Take the spot instance of a training job away.

    Args:
        root: Folder that holds this machine's SageMaker.
        name: The job's name. A trial of a tuning job is a training job too.

    Raises:
        AwsError: There is no such job, it is not on spot instances, or it is not training.
    """
    LocalSageMaker(root).interrupt_training_job(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Interrupt a job by its name."""
    parser = argparse.ArgumentParser(description="Take the spot instance of a training job on this machine away.")
    parser.add_argument("--root", type=Path, required=True, help="folder that holds the state of SageMaker")
    parser.add_argument("job", help="name of the training job")
    options = parser.parse_args(arguments)
    try:
        interrupt(options.root, options.job)
    except AwsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
