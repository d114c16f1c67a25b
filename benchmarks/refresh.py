"""A whole `forecast refresh --force`, beside the reference's steps by hand, and where the time goes.

Ours is the command as a user types it, in a lake of its own that has been refreshed before: Dagster, the jobs of the
local SageMaker, the checks, the registry, the endpoint. Theirs, here: load, outliers, counterfactual, search, fit,
joblib. Of the search, four of 40 configurations run on every tenth window, scaled to all.
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import figures, measure, reference
from benchmarks.measure import Progress, Result
from forecasting.configuration import PUBLISHED

LIMIT_S = 45
EVERY = 10
FORECAST = Path(sys.executable).with_name("forecast")


@dataclass(frozen=True)
class Refresh:
    """One refresh: its wall time, and the seconds of Dagster's steps and of what surrounds them."""

    seconds: float
    parts: dict[str, float]


def run(progress: Progress) -> list[Result]:
    """One row: seconds of a refresh; its note tells the parts."""
    with tempfile.TemporaryDirectory() as name:
        lake = Path(name) / "lake"
        environment = {
            "FORECAST_LAKE_URI": str(lake),
            "FORECAST_EIA_SOURCE": str(figures.folder()),
            "FORECAST_SERIES": figures.GASOLINE,
        }
        progress("a first refresh, so that the others find everything warm")
        measure.run([FORECAST, "refresh"], environment=environment)
        try:
            mine, others = measure.alternate(
                lambda: _ours(lake, environment), lambda: _theirs(Path(name) / "reference"), progress=progress
            )
        finally:
            measure.run([FORECAST, "endpoint", "stop"], environment=environment)
    return [
        measure.below(
            "refresh: weekly_refresh --force, warm",
            median(one.seconds for one in mine),
            median(others),
            "s",
            limit=LIMIT_S,
            note=f"one series; {_where_the_time_goes(mine)}; theirs: search scaled from 4 of 40 configurations on "
            f"every {EVERY}th window, two processes",
        )
    ]


def _ours(lake: Path, environment: dict[str, str]) -> Refresh:
    began = time.time()
    done = measure.run([FORECAST, "refresh", "--force"], environment=environment)
    parts = _steps(lake / "_dagster", since=began)
    parts["outside of steps: start, runs, deployment, output"] = done.seconds - sum(parts.values())
    return Refresh(done.seconds, parts)


def _steps(home: Path, *, since: float) -> dict[str, float]:
    """Seconds of every step of the runs since a time, from Dagster's event log."""
    import dagster as dg

    parts: dict[str, float] = {}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for record in instance.get_run_records():
            if record.create_timestamp.timestamp() < since:
                continue
            for step in instance.get_run_step_stats(record.dagster_run.run_id):
                assert step.start_time is not None
                assert step.end_time is not None
                parts[step.step_key] = step.end_time - step.start_time
    return parts


def _theirs(folder: Path) -> float:
    began = time.perf_counter()
    y = reference.prepare(figures.folder() / f"{figures.GASOLINE}.csv")
    prepared_s = time.perf_counter() - began
    search = reference.search(y.iloc[: -figures.HELD_OUT], every=EVERY)
    began = time.perf_counter()
    reference.save(reference.fit(y, PUBLISHED), folder)
    return prepared_s + search.scaled_s + time.perf_counter() - began


def _where_the_time_goes(refreshes: list[Refresh], *, shown: int = 6) -> str:
    """The longest parts by their median seconds, the others together."""
    parts = [(name, median(one.parts[name] for one in refreshes)) for name in refreshes[0].parts]
    parts.sort(key=lambda part: -part[1])
    longest, rest = parts[:shown], sum(seconds for _, seconds in parts[shown:])
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in [*longest, ("all other steps", rest)])
