"""The backtest from figures to forecasts: worlds, fits, searches, and the forecasts of every variant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import pandas as pd

from benchmarks.accuracy.backtest import Board, Case, board, cases, forecast, needed
from benchmarks.accuracy.fits import complete
from benchmarks.accuracy.store import Store
from benchmarks.accuracy.variants import Variant
from benchmarks.accuracy.worlds import Period, Rules, World, scored_weeks, weeks_of, world
from forecasting import parallel
from forecasting.configuration import Configuration

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        periods: of the origins.
        step: weeks between origins.
        variants: what to compare.
        candidates: of the search.
        rules: the platform's settings.
        store: the file of finished fits.
        workers: threads of the engine, processes of everything else.
    """

    periods: tuple[Period, ...]
    step: int
    variants: tuple[Variant, ...]
    candidates: tuple[Configuration, ...]
    rules: Rules
    store: Path
    workers: int


@dataclass(frozen=True)
class _WorldTask:
    history: pd.DataFrame
    week: date
    rules: Rules


@dataclass(frozen=True)
class _BoardTask:
    case: Case
    candidates: tuple[Configuration, ...]
    store: Path


@dataclass(frozen=True)
class _ForecastTask:
    case: Case
    variants: tuple[Variant, ...]
    board: Board | None
    store: Path


def run(history: pd.DataFrame, plan: Plan, progress: Progress) -> pd.DataFrame:
    """Forecasts of every variant from every origin of every series, beside what came.

    Args:
        history: unique_id, ds, y up to the last week before the exam.
        plan: what to run.
        progress: called with the stage, what is done of it, and how much it is.

    Returns:
        The rows that `scores.by_series` takes.
    """
    all_cases = _cases(history, plan, progress)
    store = Store(plan.store)
    fits = [fit for case in all_cases for fit in needed(case, plan.variants, plan.candidates)]
    complete(fits, store, workers=plan.workers, progress=_stage("fits", progress))
    boards: list[Board | None] = [None] * len(all_cases)
    if any(variant.choice != "given" for variant in plan.variants):
        searches = [_BoardTask(case, plan.candidates, plan.store) for case in all_cases]
        boards = list(_each(_board, searches, plan, "searches", progress))
        finals = [
            case.final(configuration)
            for case, found in zip(all_cases, boards, strict=True)
            for variant in plan.variants
            if found is not None
            for configuration in found.configurations(variant)
        ]
        complete(finals, store, workers=plan.workers, progress=_stage("fits of what was chosen", progress))
    tasks = [
        _ForecastTask(case, plan.variants, found, plan.store) for case, found in zip(all_cases, boards, strict=True)
    ]
    return pd.concat(_each(_forecasts, tasks, plan, "forecasts", progress), ignore_index=True)


def _cases(history: pd.DataFrame, plan: Plan, progress: Progress) -> list[Case]:
    newest = history["ds"].max().date()
    origins = [
        (period.name, week)
        for period in plan.periods
        for week in weeks_of(period, newest=newest, horizon=plan.rules.horizon, step=plan.step)
    ]
    tasks = [_WorldTask(history, week, plan.rules) for _, week in origins]
    worlds = _each(_world, tasks, plan, "worlds", progress)
    scored = scored_weeks(history, plan.rules)
    return [
        case
        for (period, _), known in zip(origins, worlds, strict=True)
        for case in cases(period, known, scored, plan.rules)
    ]


def _each(function: Callable[[T], R], tasks: Sequence[T], plan: Plan, stage: str, progress: Progress) -> list[R]:
    report = _stage(stage, progress)
    report(0, len(tasks))
    return parallel.run(function, tasks, workers=plan.workers, finished=lambda done, _task: report(done, len(tasks)))


def _stage(stage: str, progress: Progress) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total)


def _world(task: _WorldTask) -> World:
    return world(task.history, task.week, task.rules)


def _board(task: _BoardTask) -> Board:
    return board(task.case, task.candidates, Store(task.store))


def _forecasts(task: _ForecastTask) -> pd.DataFrame:
    store = Store(task.store)
    frames = []
    for variant in task.variants:
        configurations = variant.configurations if task.board is None else task.board.configurations(variant)
        frames.append(forecast(task.case, variant, configurations, store))
    return pd.concat(frames, ignore_index=True)
