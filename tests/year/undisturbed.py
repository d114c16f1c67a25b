"""The same weeks with nothing going wrong: what the disturbed year is compared with.

`python -m tests.year.undisturbed SPEC` refreshes week by week in this process, in a lake of its own, with the settings
of its environment. Line by line it says which weeks it has.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from forecast_assets.definitions import build_defs
from forecast_assets.refresh import Platform
from resources.eia.calendar import due
from resources.lake import Lake, content_digest
from tests.refreshes import end, processes_of
from tests.world import ROOT
from tests.year.figures import Figures, Rows

_OF_THE_FETCH = ("release", "revisions")
"""Tables that tell how figures came, which differs where they came twice."""


class Undisturbed:
    """The process that makes the weeks undisturbed, and its lake.

    Args:
        folder: Of all that is its own.
        shared: The folder of real figures.
        series: Which series.
        settings: The environment of the platform.
    """

    def __init__(self, folder: Path, *, shared: Path, series: str, settings: Mapping[str, str]) -> None:
        self._folder, self._shared, self._series = folder, shared, series
        self.lake = Lake(uri=str(folder / "lake"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
        self._environment = {
            **kept,
            **settings,
            "FORECAST_LAKE_URI": self.lake.uri,
            "FORECAST_EIA_SOURCE": str(folder / "figures"),
            "FORECAST_NOW": str(folder / "now"),
            "PYTHONWARNINGS": "ignore",
        }
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self, weeks: Sequence[date], revised: Mapping[date, Rows]) -> Iterator[None]:
        """Make weeks, each from its last release, while the block runs."""
        figures = self._folder / "figures"
        figures.mkdir(parents=True)
        changes = {str(week): {str(day): value for day, value in rows.items()} for week, rows in revised.items()}
        spec = {"shared": str(self._shared), "series": self._series, "weeks": [str(week) for week in weeks]}
        (self._folder / "spec.json").write_text(json.dumps({**spec, "revised": changes}))
        arguments = [self._folder / "spec.json", self._folder / "now", figures / f"{self._series}w.xls"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["nice", "-n", "10", sys.executable, "-m", "tests.year.undisturbed", *map(str, arguments)],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            self._process.kill()
            self._process.wait()
            end(processes_of(self.lake.root))

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._process is None or self._process.poll() is not None

    @property
    def weeks(self) -> set[date]:
        """Those that are made."""
        lines = (self._folder / "log").read_text().splitlines()
        return {date.fromisoformat(line.removeprefix("week ")) for line in lines if line.startswith("week ")}


def run(spec: dict[str, object], *, clock: Path, source: Path) -> None:
    """Refresh the weeks, each from its last release."""
    revised = {
        date.fromisoformat(week): {date.fromisoformat(day): float(value) for day, value in rows.items()}
        for week, rows in dict(spec["revised"]).items()  # type: ignore[call-overload]
    }
    figures = Figures(Path(str(spec["shared"])), str(spec["series"]), revised)
    platform = Platform(build_defs())
    with dg.DagsterInstance.ephemeral() as instance:
        for week in map(date.fromisoformat, list(spec["weeks"])):  # type: ignore[call-overload]
            clock.write_text((due(week) + timedelta(hours=1)).isoformat())
            source.write_bytes(figures.release(figures.vintage(week)))
            outcome = platform.run("weekly_refresh", instance, week=week, quiet=True)
            if not outcome.succeeded:
                sys.exit(f"the undisturbed week {week} failed: {'; '.join(outcome.reasons)}")
            sys.stdout.write(f"week {week}\n")
            sys.stdout.flush()


def numbers_of(lake: Lake, week: date) -> dict[str, str]:
    """The content of every table of a week, but for how its figures came."""
    found = {}
    for path in sorted(lake.root.glob(f"*/week={week}/data.parquet")):
        name = path.parts[-3]
        if name not in _OF_THE_FETCH:
            found[name] = content_digest(lake.read(name, week).drop(columns="fetched_at", errors="ignore"))
    return found


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text()), clock=Path(sys.argv[2]), source=Path(sys.argv[3]))
