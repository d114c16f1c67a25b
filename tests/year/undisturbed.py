"""The same weeks with nothing going wrong: what the disturbed year is compared with.

`python -m tests.year.undisturbed SPEC` refreshes week by week in this process, in a lake of its own, with the settings
of its environment. Line by line it says which weeks it has.
"""

import json
import sys
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from forecast_assets.definitions import build_defs
from forecast_assets.refresh import Platform
from resources.eia.calendar import due
from resources.lake import Lake, content_digest
from tests.year.figures import Figures

_OF_THE_FETCH = ("release", "revisions")
"""Tables that tell how figures came, which differs where they came twice."""


def write_spec(
    path: Path, *, shared: Path, series: str, weeks: list[date], revised: dict[date, dict[date, float]]
) -> None:
    """What the other process is to do."""
    changes = {str(week): {str(day): value for day, value in rows.items()} for week, rows in revised.items()}
    path.write_text(
        json.dumps(
            {"shared": str(shared), "series": series, "weeks": [str(week) for week in weeks], "revised": changes}
        )
    )


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
