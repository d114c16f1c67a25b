"""Loading the code location: a fresh process that resolves all jobs of the module that `workspace.yaml` names."""

import sys
from statistics import median

from benchmarks import measure
from benchmarks.measure import Progress, Result

ROUNDS = 5
LIMIT_S = 3

LOAD = """
from forecast_assets.definitions import defs
defs().get_repository_def().get_all_jobs()
"""


def run(progress: Progress) -> list[Result]:
    """One row: seconds from process start to end."""
    measure.run([sys.executable, "-c", LOAD])  # writes byte code
    seconds, bare_s = [], []
    for number in range(1, ROUNDS + 1):
        progress(f"round {number} of {ROUNDS}")
        seconds.append(measure.run([sys.executable, "-c", LOAD]).seconds)
        bare_s.append(measure.run([sys.executable, "-c", "import dagster"]).seconds)
    return [
        measure.below(
            "location: loading the code location",
            median(seconds),
            None,
            "s",
            limit=LIMIT_S,
            note=f"`import dagster` alone takes {median(bare_s):.2g} s of it",
        )
    ]
