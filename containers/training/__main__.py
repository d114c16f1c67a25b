"""`python -m containers.training train`: the training job, one of four tasks.

`tune` searches and `evaluate` scores one configuration: channel `counterfactual`, model folder `trials.parquet` and
`errors.parquet`. `rank` makes the same of what jobs of `evaluate` found: channels `counterfactual`, `trials` and
`errors`. `fit` makes the model: channels `counterfactual`, `tuning_trials` and `tuning_errors` (the tables of `tune`;
or `search`, the `model.tar.gz` that it left) and optionally `champions`, model folder `forecaster.json`. The
hyper-parameters are those of `containers.training.settings`.
"""

import os
import sys

from containers.contract import ContractError, Paths, StopSignal, leave, run
from containers.parameters import Parameters


class UsageError(ContractError):
    """The command line is not the one that SageMaker uses."""


def main(arguments: list[str]) -> int:
    """Runs the job; the exit code."""
    paths = Paths.from_environment(os.environ)

    def task(stop: StopSignal) -> None:
        if arguments != ["train"]:
            raise UsageError(f"arguments are {arguments}, expected ['train']")
        from containers.reporting import open_reporter  # a failing import is a failure to report as well

        with open_reporter(os.environ) as reporter:
            from containers.training.settings import Settings

            settings = Settings.read(Parameters.of_training(paths))
            if settings.task == "fit":
                from containers.training.fit import fit as work
            elif settings.task == "rank":
                from containers.training.rank import rank as work
            else:
                from containers.training.search import search as work
            work(paths, settings, reporter, stop)

    return run(task, failure=paths.training_failure)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
