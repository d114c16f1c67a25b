"""`python -m containers.processing`: the processing job of the counterfactual.

Environment: `FORECAST_TASK` ("counterfactual"), `FORECAST_WEEK` and `FORECAST_SPAN_START` (dates).
Inputs `observations` and `structural_break`, output
`counterfactual/data.parquet`.
"""

import os

from containers.contract import Paths, StopSignal, leave, run


def main() -> int:
    """Runs the job; the exit code."""
    paths = Paths.from_environment(os.environ)

    def task(_stop: StopSignal) -> None:
        from containers.processing.task import process  # a failing import is a failure to report as well

        process(paths, os.environ)

    return run(task, failure=paths.processing_message)


if __name__ == "__main__":
    leave(main())
