"""Process start to the first forecast: our artifact and the standard library, beside joblib and sktime.

Both sides are a fresh `python` that loads the same model (the published configuration, fitted on the 567 weeks) and
prints 26 weeks with a 90 % interval. Files are in the page cache and byte code is written, as after any first run. Ours
needs no package and leaves them out (`-S`).
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import figures, measure, reference
from benchmarks.measure import MeasureError, Progress, Result
from forecasting import artifact, models
from forecasting.configuration import PUBLISHED

ROUNDS = 7
WEEKS = 26
TOLERANCE = 0.01

# The peak is that of the program's own address space: what getrusage tells begins with its parent's.
_LAST_LINE = 'print(perf_counter() - began, open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])'

OURS = f"""
from time import perf_counter
began = perf_counter()
import sys
from forecasting import forecaster
artifact = forecaster.load(open(sys.argv[1], encoding="utf-8").read())
for row in forecaster.forecast(artifact["series"]["{figures.GASOLINE}"], horizon=26, levels=[90], interval="normal"):
    print(row["ds"], row["lo-90"], row["mean"], row["hi-90"])
{_LAST_LINE}
"""

THEIRS = f"""
from time import perf_counter
began = perf_counter()
import sys
from pathlib import Path
from benchmarks.reference import load
for row in load(Path(sys.argv[1])).predict(26, 0.9).itertuples(index=False):
    print(*row)
{_LAST_LINE}
"""


@dataclass(frozen=True)
class Start:
    """One fresh process.

    Attributes:
        seconds: From before it was started to after its end.
        own_s: The part that its program took, without the interpreter's start and end.
        peak_mb: Its largest resident set.
        rows: Date, lower, mean and upper by week, as printed.
    """

    seconds: float
    own_s: float
    peak_mb: float
    rows: tuple[tuple[str, ...], ...]


def run(progress: Progress) -> list[Result]:
    """Rows: time to the first forecast, peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress("fitting the model on both sides")
        _build(folder)
        model = str(folder / artifact.FILE_NAME)
        plain_s, bare_s = [], []

        def ours() -> Start:
            plain_s.append(_start(["-c", OURS, model]).seconds)
            bare_s.append(measure.run([sys.executable, "-S", "-c", "pass"]).seconds)
            return _start(["-S", "-c", OURS, model])

        mine, others = measure.alternate(
            ours, lambda: _start(["-c", THEIRS, str(folder / "reference")]), rounds=ROUNDS, progress=progress
        )
    difference = _difference(mine[0], others[0])
    if difference > TOLERANCE:
        raise MeasureError(f"the two sides forecast different things: {difference:.1%} apart")
    own = [median(start.own_s for start in side) for side in (mine, others)]
    return [
        measure.smaller(
            "cold_start: process start to the first forecast",
            1e3 * median(start.seconds for start in mine),
            1e3 * median(start.seconds for start in others),
            "ms",
            times=300,
            note=f"{1e3 * median(bare_s):.3g} ms of ours are the bare interpreter; after it ours {1e3 * own[0]:.3g} ms "
            f"and theirs {1e3 * own[1]:.4g} ms, {own[1] / own[0]:.0f}x; with site-packages on the path ours takes "
            f"{1e3 * median(plain_s):.3g} ms; forecasts and bounds differ by {difference:.1g} at most, relatively",
        ),
        measure.smaller(
            "cold_start: peak memory",
            median(start.peak_mb for start in mine),
            median(start.peak_mb for start in others),
            "MB",
            times=10,
            note="largest resident set of the same processes",
        ),
    ]


def _build(folder: Path) -> None:
    history = figures.trained_on(figures.span())
    entries = {figures.GASOLINE: models.fit(history, PUBLISHED).entry}
    built = artifact.build_artifact(entries, provenance={})
    (folder / artifact.FILE_NAME).write_text(artifact.dumps(built), encoding="utf-8")
    reference.save(reference.fit(reference.by_period(history), PUBLISHED), folder / "reference")


def _start(arguments: Sequence[str]) -> Start:
    done = measure.run([sys.executable, *arguments])
    *rows, (own_s, peak_kib) = (tuple(line.split()) for line in done.output.splitlines())
    if len(rows) != WEEKS:
        raise MeasureError(f"{len(rows)} weeks were printed instead of {WEEKS}")
    return Start(done.seconds, float(own_s), float(peak_kib) * 1024 / 1e6, tuple(rows))


def _difference(one: Start, other: Start) -> float:
    """The largest relative difference of two forecasts of the same weeks."""
    if [row[0] for row in one.rows] != [row[0] for row in other.rows]:
        raise MeasureError("the two sides forecast different weeks")
    pairs = [
        (float(a), float(b))
        for ours, theirs in zip(one.rows, other.rows, strict=True)
        for a, b in zip(ours[1:], theirs[1:], strict=True)
    ]
    return max(abs(a / b - 1) for a, b in pairs)
