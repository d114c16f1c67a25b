"""`python -m containers.processing`: the processing job, one of two tasks, which the environment names.

`FORECAST_TASK=counterfactual`, with `FORECAST_WEEK` and `FORECAST_TRAINING_WEEKS`: inputs `observations` and
`structural_break`, output `counterfactual/data.parquet`. `FORECAST_TASK=gate`, with `FORECAST_WEEK` and
`FORECAST_GATE_TOLERANCE`: input `fit` (the archives that the fit left), outputs `verdict/verdict.json`,
`model/model.tar.gz` and `model/metrics.json`.
"""

import os

from containers.contract import Paths, StopSignal, leave, run
from containers.parameters import Parameters


def main() -> int:
    """Runs the job; the exit code."""
    paths = Paths.from_environment(os.environ)

    def task(_stop: StopSignal) -> None:
        named = Parameters(os.environ, "environment variable").choice("FORECAST_TASK", ("counterfactual", "gate"))
        if named == "gate":
            from containers.processing.gate import process  # a failing import is a failure to report as well
        else:
            from containers.processing.counterfactual import process

        process(paths, os.environ)

    return run(task, failure=paths.processing_message)


if __name__ == "__main__":
    leave(main())
