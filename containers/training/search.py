"""The tasks `tune` and `evaluate`: rolling-origin scores of configurations on the weeks before the held-out ones."""

import json
import time
from functools import partial

import pandas as pd

from containers.contract import Paths, StopRequested, StopSignal, write_text
from containers.reporting import Reporter, Throttle, markdown_table, say
from containers.tables import content_digest, write_table
from containers.training.checkpoint import Checkpoint, search_key
from containers.training.settings import Settings
from containers.training.span import before_held_out, read_span
from forecasting import plots, tuning
from forecasting.by_series import by_series
from forecasting.configuration import Configuration
from forecasting.cross_validation import Splits
from forecasting.engine.arima import prepare
from forecasting.errors import ForecastingError
from forecasting.plots.tuning import MAX_TRIALS

METRIC = "Mean MSE across all splits"
_BOARD = ["unique_id", "configuration", "chosen", "loss", "delta", "delta_se"]


class NoTrialError(ForecastingError):
    """Not one configuration could be scored."""


def search(paths: Paths, settings: Settings, reporter: Reporter, stop: StopSignal) -> None:
    """Runs the task and writes `trials.parquet` and `errors.parquet` to the model folder.

    A series whose trials all failed is recorded in `failures.json` of the output data. A stop keeps what is finished:
    the tables of the origins that every configuration has been scored at, and `unfinished.json` beside them, which says
    how many they are, so that no one takes them for the whole; and a checkpoint, from which the next attempt goes on.

    Raises:
        NoTrialError: No series has a configuration to use.
        TableError: The series of the job is not among the data.
    """
    data = before_held_out(read_span(paths, settings), settings)
    progress = Throttle(reporter, time.monotonic)
    candidates = _candidates(settings)
    checkpoint = Checkpoint(paths.checkpoints, search_key(data, candidates, settings), reporter, time.monotonic)
    running = searching(data, candidates, settings)

    def finished(done: int, total: int, what: str) -> None:
        stop.check()
        checkpoint.keep(running)
        progress.say(f"{done} of {total} groups of windows: {what}", last=done == total)

    reporter.log("preparing the search engine; the first time on a machine it is compiled, which takes a minute")
    prepare()
    checkpoint.resume(running)
    try:
        running.run(workers=settings.workers, progress=finished)
        stop.check()
    except StopRequested:
        checkpoint.keep(running, now=True)
        done, total = running.origins
        reporter.log(f"stopped after {done} of {total} origins")
        if done:
            write(paths, running.result())
            write_text(paths.model / "unfinished.json", json.dumps({"finished_origins": done, "origins": total}))
        raise
    result = running.result()
    write(paths, result)
    report(reporter, result, data, running.splits)
    checkpoint.forget()


def searching(data: pd.DataFrame, candidates: list[Configuration], settings: Settings) -> tuning.Search:
    """The search of a job's candidates by the job's protocol, not yet begun."""
    return tuning.Search(
        data,
        configurations=candidates,
        scoring=settings.scoring,
        window=settings.window,
        horizon=settings.scored_horizon,
        step=settings.step,
        max_origins=settings.max_origins,
        season_length=settings.season_length,
        max_harmonics=settings.max_harmonics,
    )


def _candidates(settings: Settings) -> list[Configuration]:
    if settings.configuration is not None:
        return [settings.configuration]
    if settings.search == "quick":
        return tuning.quick_configurations()
    return tuning.exhaustive_configurations(max_harmonics=settings.max_harmonics)


def write(paths: Paths, result: tuning.SearchResult) -> None:
    """Writes the leaderboard, its errors, and the series without a configuration.

    Raises:
        NoTrialError: That is all of them; the leaderboard is not written.
    """
    trials = result.trials
    failures = {
        str(series): {"error": str(rows["status"].iloc[0]), "message": str(rows["reason"].iloc[0])}
        for series, rows in trials.groupby("unique_id", sort=True)
        if str(series) not in result.chosen
    }
    write_text(paths.output_data / "failures.json", json.dumps(failures, indent=1, sort_keys=True))
    if not result.chosen:
        series, failure = next(iter(failures.items()))
        why = f"{series}: {failure['error']}: {failure['message']}"
        raise NoTrialError(f"no configuration of any series could be scored; {why}")
    write_table(trials, paths.model / "trials.parquet")
    write_table(result.errors, paths.model / "errors.parquet")


def report(reporter: Reporter, result: tuning.SearchResult, data: pd.DataFrame, scheme: Splits) -> None:
    """Tells the metric, and Dagster the leaderboard: numbers, pictures, a data version."""
    trials = result.trials
    told = trials[(trials["rank"] <= MAX_TRIALS) | trials["chosen"]]
    cutoffs = {str(series): rows["cutoff"].unique() for series, rows in result.errors.groupby("unique_id")}
    for row in trials[trials["chosen"]].itertuples():
        reporter.log(f"{row.unique_id}: {row.configuration}, mean MSE {row.loss:.6g} over {row.n_origins} origins")
    loss = trials.loc[trials["chosen"], "loss"].mean()
    if pd.notna(loss):  # nothing observed to score: there is no metric, and the trials say so
        say(f"{METRIC}: {float(loss)!r}")
    reporter.materialized(
        {
            "trials": len(trials),
            "failed_trials": int((trials["status"] != "ok").sum()),
            **_numbers(trials),
            "chosen": {"raw_value": {s: c.name for s, c in result.chosen.items()}, "type": "json"},
            "leaderboard": markdown_table(told.sort_values(["unique_id", "rank"])[_BOARD]),
        },
        # Not the seconds: the same trials on a slower machine are the same trials.
        data_version=content_digest(trials.drop(columns="seconds"), result.errors),
        plots={
            f"leaderboard_{series!s}": partial(plots.leaderboard, rows)
            for series, rows in trials.groupby("unique_id", sort=True)
            if rows["loss"].notna().any()
        }
        | {
            f"splits_{series!s}": partial(plots.splits, rows, scheme, cutoffs.get(str(series), ()))
            for series, rows in data.groupby("unique_id", sort=True)
        },
    )


def _numbers(trials: pd.DataFrame) -> dict[str, int | float]:
    """What Dagster draws over the weeks: errors as roots of the losses, so that they have the unit of the series."""
    chosen = trials[trials["chosen"]].set_index("unique_id")
    default = chosen["loss"] - chosen["delta"]
    return {
        **by_series("origins", chosen["n_origins"]),
        **by_series("chosen_rmse", chosen["loss"] ** 0.5),
        **by_series("best_rmse", trials.groupby("unique_id")["loss"].min() ** 0.5),
        # Above zero the chosen configuration forecasts better than the default.
        **by_series("gain_percent", -100 * chosen["delta"] / default),
    }
