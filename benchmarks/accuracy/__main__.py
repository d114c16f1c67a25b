"""`python -m benchmarks.accuracy`: backtest the platform against what a user would pick instead.

Prints a table for each period and the targets; writes `benchmarks/accuracy/results.json` and `docs/accuracy.md`. What
is computed stays in the cache, so a run that was stopped goes on, and another variant costs only what is new in it.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.accuracy import report
from benchmarks.accuracy import run as backtest
from benchmarks.accuracy.variants import MODELS, VARIANTS
from benchmarks.accuracy.worlds import PERIODS, Rules, read_series
from benchmarks.figures import MissingFiguresError, folder
from forecast_assets.settings import load_settings
from forecasting import tuning
from forecasting.breaks import BreakRule

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")


def main(arguments: list[str]) -> int:
    """The exit code: 0 when everything was measured, whether or not targets are met; 1 when the figures are missing."""
    options = _parser().parse_args(arguments)
    try:
        history = read_series(folder().parent)
    except MissingFiguresError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if options.series:
        history = history[history["unique_id"].isin(options.series)].reset_index(drop=True)
    plan = _plan(options)
    with _progress() as progress:
        forecasts = backtest.run(history, plan, progress)
    findings = report.find(forecasts, plan)
    report.show(findings, plan, Console(width=None if sys.stdout.isatty() else 200, highlight=False))
    if not options.dry:
        report.save(findings, plan, RESULTS)
        report.write(findings, plan, ROOT / "docs")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--step", type=int, default=8, help="weeks between origins")
    parser.add_argument(
        "--search", choices=("exhaustive", "quick"), default="exhaustive", help="candidates to tune over"
    )
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="beside the four models; or all")
    parser.add_argument("--series", nargs="+", default=[], metavar="ID", help="all by default")
    parser.add_argument("--cache", type=Path, default=ROOT / ".forecast" / "accuracy", help="folder of finished fits")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="cores to use")
    parser.add_argument("--dry", action="store_true", help="print only; results.json and docs/accuracy.md stay")
    return parser


def _plan(options: argparse.Namespace) -> backtest.Plan:
    settings = load_settings()
    rules = Rules(
        horizon=settings.horizon,
        training_weeks=settings.training_weeks,
        window=settings.window,
        step=settings.step,
        season_length=settings.season_length,
        max_harmonics=settings.max_harmonics,
        fence=settings.outlier_fence,
        breaks=tuple(BreakRule(**rule.model_dump()) for rule in settings.breaks),
    )
    names = VARIANTS if options.variants == ["all"] else options.variants
    if unknown := set(names) - set(VARIANTS):
        _parser().error(f"there is no variant {', '.join(sorted(unknown))}; there are {', '.join(VARIANTS)}")
    exhaustive = options.search == "exhaustive"
    candidates = (
        tuning.exhaustive_configurations(max_harmonics=settings.max_harmonics)
        if exhaustive
        else tuning.quick_configurations()
    )
    return backtest.Plan(
        periods=PERIODS,
        step=options.step,
        variants=tuple(dict.fromkeys([*MODELS, *(VARIANTS[name] for name in names)])),
        candidates=tuple(candidates),
        rules=rules,
        store=options.cache / "fits.sqlite",
        workers=options.workers,
    )


@contextmanager
def _progress() -> Iterator[backtest.Progress]:
    """Bars by stage on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        tasks = {}

        def report_stage(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report_stage


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
