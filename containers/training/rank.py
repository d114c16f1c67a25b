"""The task `rank`: the leaderboard of trials that were scored one by one, each in a job of its own."""

import pandas as pd

from containers.contract import Paths, StopSignal
from containers.reporting import Reporter
from containers.tables import read_table
from containers.training.inputs import ERRORS, PARAMETERS, read_configuration
from containers.training.search import report, searching, write
from containers.training.settings import Settings
from containers.training.span import before_held_out, read_span
from forecasting import tuning
from forecasting.configuration import DEFAULT
from forecasting.cross_validation import Evaluation
from forecasting.engine.arima import prepare

_TRIALS = ("unique_id", "configuration", "status", "reason", "n_parameters", "seconds")


def rank(paths: Paths, settings: Settings, reporter: Reporter, stop: StopSignal) -> None:
    """Runs the task; it writes and reports what a search does.

    The rule compares every configuration with the default, so the default is scored here for each series that has no
    score of it.

    Raises:
        NoTrialError: No series has a configuration to use.
    """
    data = before_held_out(read_span(paths, settings), settings)
    trials = read_table(paths.channel("trials"), (*_TRIALS, *PARAMETERS))
    errors = read_table(paths.channel("errors"), ERRORS)
    scored = trials[(trials["configuration"] == DEFAULT.name) & (trials["status"] == "ok")]
    without = data[~data["unique_id"].isin(scored["unique_id"])].reset_index(drop=True)
    default = searching(without if len(without) else data, [DEFAULT], settings)
    if len(without):
        reporter.log(f"scoring {DEFAULT.name} of {without['unique_id'].nunique()} series, which no trial did")
        prepare()
        default.run(workers=settings.workers, progress=lambda *_: stop.check())
        stop.check()
        trials, errors = _with_default(trials, errors, default.result())
    candidates = {row["configuration"]: read_configuration(row) for row in trials.to_dict("records")}
    evaluation = Evaluation(errors=errors, trials=trials[list(_TRIALS)])
    result = tuning.ranked(evaluation, [*candidates.values()], scoring=settings.scoring, splits=default.splits)
    write(paths, result)
    report(reporter, result, data, default.splits)


def _with_default(
    trials: pd.DataFrame, errors: pd.DataFrame, found: tuning.SearchResult
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials and errors with those of the default, which take the place of a trial of it that failed."""
    again = (trials["configuration"] == DEFAULT.name) & trials["unique_id"].isin(found.trials["unique_id"])
    columns = [*_TRIALS, *PARAMETERS]
    together = pd.concat([found.trials[columns], trials.loc[~again, columns]], ignore_index=True)
    kept = [frame for frame in (found.errors, errors) if len(frame)]
    return together, pd.concat(kept or [errors], ignore_index=True)
