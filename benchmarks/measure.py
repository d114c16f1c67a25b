"""What every benchmark shares: timed processes, both sides in turn, result rows, their table and their file."""

import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

A = TypeVar("A")
B = TypeVar("B")
Progress = Callable[[str], None]

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
PACKAGES = (
    *("dagster", "fastapi", "httptools", "joblib", "numba", "numpy", "pandas", "scipy", "sktime", "starlette"),
    *("statsforecast", "statsmodels", "uvicorn", "uvloop"),
)


class MeasureError(RuntimeError):
    """Something that is measured did not do what it is measured for."""


@dataclass(frozen=True)
class Result:
    """One row.

    Attributes:
        name: `<benchmark>: <what>`; runs of a benchmark replace the rows that begin with its name.
        ours: The median of our side, in `unit`.
        theirs: That of the other side, if there is one.
        unit: Of both.
        ratio: How many times better ours is; None where there is nothing to compare with.
        target: What it should reach, in words.
        met: Whether it does.
        note: How it was measured, and the measured reason where the target is not met.
    """

    name: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None
    target: str
    met: bool
    note: str

    @property
    def benchmark(self) -> str:
        """The benchmark that the row belongs to."""
        return self.name.partition(":")[0]


def smaller(name: str, ours: float, theirs: float, unit: str, *, times: float, note: str) -> Result:
    """A row whose smaller figure is better: ours should be `times` smaller than theirs."""
    ratio = theirs / ours
    return Result(name, ours, theirs, unit, ratio, f"{times:g}x", ratio >= times, note)


def larger(name: str, ours: float, theirs: float, unit: str, *, times: float, note: str) -> Result:
    """A row whose larger figure is better: ours should be `times` larger than theirs."""
    ratio = ours / theirs
    return Result(name, ours, theirs, unit, ratio, f"{times:g}x", ratio >= times, note)


def below(name: str, ours: float, theirs: float | None, unit: str, *, limit: float, note: str) -> Result:
    """A row whose figure should stay below a limit, whatever the other side does."""
    ratio = None if theirs is None else theirs / ours
    return Result(name, ours, theirs, unit, ratio, f"< {limit:g} {unit}", ours < limit, note)


def alternate(
    ours: Callable[[], A], theirs: Callable[[], B], *, rounds: int = ROUNDS, progress: Progress
) -> tuple[list[A], list[B]]:
    """Ours, theirs, ours, theirs, ...: what either side gave in each round, so that both meet the same machine.

    Raises:
        ValueError: Fewer than three rounds, of which a median says little.
    """
    if rounds < ROUNDS:
        raise ValueError(f"{rounds} rounds; a median needs {ROUNDS}")
    mine, others = [], []
    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}, ours")
        mine.append(ours())
        progress(f"round {number} of {rounds}, theirs")
        others.append(theirs())
    return mine, others


@dataclass(frozen=True)
class Finished:
    """A process that ended well: its wall time, start and end included, and its standard output."""

    seconds: float
    output: str


def run(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a process from the root of the project to its end.

    Args:
        command: Program and arguments.
        environment: On top of `clean_environment`.

    Raises:
        MeasureError: It failed; with the end of what it wrote to standard error.
    """
    settings = clean_environment() | dict(environment or {})
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise MeasureError(f"{' '.join(map(str, command))[:200]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Finished(seconds, done.stdout)


def clean_environment() -> dict[str, str]:
    """This process's environment without what steers Python, Dagster or the platform.

    Byte code may be written, for instance, as it is on any machine that runs a program twice.
    """
    ours = ("PYTHON", "FORECAST_", "DAGSTER_", "SM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def cores() -> tuple[int, int]:
    """A core for the server and another for who asks it; the same one where there is no other."""
    available = sorted(os.sched_getaffinity(0))
    return available[0], available[-1]


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and what it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> dict[str, Any]:
    """Processor, cores, memory in GiB, system, and its load, of which measuring is a part."""
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages * page_bytes / 2**30, 1),
        "system": platform.platform(terse=True),
        "load_average": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def print_table(results: Sequence[Result]) -> None:
    """The rows on standard output, the notes below them."""
    table = Table("what", "ours", "theirs", "", "ratio", "target", "met", header_style="bold", box=None)
    for column in (1, 2, 4):
        table.columns[column].justify = "right"
    for result in results:
        theirs = "" if result.theirs is None else _figure(result.theirs)
        ratio = "" if result.ratio is None else f"{_figure(result.ratio)}x"
        met = "[green]yes[/]" if result.met else "[red]no[/]"
        table.add_row(result.name, _figure(result.ours), theirs, result.unit, ratio, result.target, met)
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)
    for result in results:
        console.print(f"[bold]{result.name}[/]: {result.note}")


def save(results: Sequence[Result], path: Path) -> None:
    """Write rows into the file of results: they replace all rows of their benchmarks, the others stay.

    The file is a JSON list of `{name, ours, theirs, unit, ratio, target, met, note, machine, versions}` in order of
    name; it is written beside itself first and then moved into place.

    Args:
        results: The rows of the benchmarks that were run.
        path: The file; it need not exist.
    """
    replaced = {result.benchmark for result in results}
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    rows = [row for row in before if row["name"].partition(":")[0] not in replaced]
    described = {"machine": machine(), "versions": versions()}
    rows += [_rounded(asdict(result)) | described for result in results]
    rows.sort(key=lambda row: row["name"].partition(":")[0])
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Four significant digits: the rest is noise."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}


def _figure(value: float) -> str:
    """Three significant digits, thousands in full.

    >>> _figure(0.012345), _figure(1234.5), _figure(0)
    ('0.0123', '1,234', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
