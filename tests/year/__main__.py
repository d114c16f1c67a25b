"""`python -m tests.year`: a simulated year. Its last line says what was lost, its exit code whether anything was."""

import argparse
import os
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from resources.clock import Clock
from tests.daemon import signalled
from tests.refreshes import processes_of
from tests.world import ROOT
from tests.year.figures import WEEK
from tests.year.inbox import receiving
from tests.year.machine import SERIES, Disk, YearError, YearMachine, inside_a_disk, mounting_works
from tests.year.plan import short_year, weeks_from, whole_year
from tests.year.source import publishing
from tests.year.year import Year

WEEKS = 52
LAST = date(2024, 4, 19)
"""From the week after it the gate refuses this series for a while, undisturbed as well."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.year", description=__doc__)
    parser.add_argument("--short", action="store_true", help="four weeks instead of 52")
    # Taken out: the platform refuses variables that look like its settings and are none.
    parser.add_argument("--seed", type=int, default=int(os.environ.pop("FORECAST_YEAR_SEED", "1")))
    parser.add_argument("--folder", type=Path, help="where everything is kept; by default a new one that is told")
    return parser.parse_args()


def main() -> int:
    """The exit code."""
    told = arguments()
    console = Console(width=200, soft_wrap=True, highlight=False)
    shared = (ROOT / os.environ.get("SHARED_DATA", "../shared/data")).resolve()
    if not (shared / "weekly").is_dir():
        console.print(f"no EIA figures at SHARED_DATA={shared}")
        return 2
    folder = (told.folder or Path(tempfile.mkdtemp(prefix="year-"))).resolve()
    disk = Disk(folder / "disk")
    disk.folder.mkdir(parents=True, exist_ok=True)
    if not disk.is_own and mounting_works():
        rest = ["--short"] if told.short else []
        inside_a_disk(disk.folder, ["--seed", str(told.seed), "--folder", str(folder), *rest])
    without = () if disk.is_own else ("disk full",)
    weeks = weeks_from(LAST - (WEEKS - 1) * WEEK, WEEKS)
    plan = (short_year if told.short else whole_year)(told.seed, weeks, without=without)
    console.print(
        f"Seed {told.seed}: {len(plan.weeks)} weeks, {len(plan.all)} faults of {len(plan.kinds)} kinds, in {folder}"
    )
    if without:
        console.print("This machine lets nobody mount a disk of their own: none is filled.")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell started this in the background
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    clock = Clock(fixed=str(folder / "now"))
    with publishing(clock, SERIES) as source, receiving() as inbox:
        machine = YearMachine(disk.folder, folder, source.url, inbox.url)
        year = Year(plan, shared, folder, disk=disk, source=source, inbox=inbox, machine=machine, console=console)
        tally = year.tally
        try:
            year.run()
        except (YearError, AssertionError, pytest.fail.Exception) as error:
            tally.other.append(f"the year ended early: {error}")
        except KeyboardInterrupt:
            tally.other.append("interrupted")
        except Exception as error:  # noqa: BLE001 - told with its trace; the account of what came before is still wanted
            console.print_exception()
            tally.other.append(f"the year broke off: {type(error).__name__}: {error}")
        finally:
            year.client.stop()
            source.stopping.set()
            signalled(set(machine.workers()), signal.SIGCONT)
            machine.close()
    if left := processes_of(folder):
        tally.other += [
            f"process {pid} is left: {command[:120]}" for pid, command in left.items() if pid != os.getpid()
        ]
    year.ledger.show(console)
    for reason in tally.all:
        console.print(f"! {reason}", markup=False)
    console.print(f"{time.monotonic() - began:.0f} s, {year.client.asked} requests; the ledger is {year.ledger.path}")
    console.print(str(tally))
    return 1 if tally.all else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
