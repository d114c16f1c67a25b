"""Many fits through the platform's own rolling-origin evaluation, each of them once."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from benchmarks.accuracy.store import Fit, Outcome, Store
from forecasting.configuration import Configuration
from forecasting.cross_validation import Evaluation, Splits, rolling_origin

Progress = Callable[[int, int], None]


def complete(fits: Iterable[Fit], store: Store, *, workers: int, progress: Progress) -> None:
    """Compute the fits that the store lacks and keep them.

    Histories of the same weeks are one call of the engine, which shares their regressors.

    Args:
        fits: what is needed; doubles cost nothing.
        store: where finished cells are.
        workers: threads.
        progress: called with fits there and fits in all.
    """
    wanted = {fit.key: fit for fit in fits}
    missing = store.missing(wanted)
    done = len(wanted) - len(missing)
    progress(done, len(wanted))
    for batch in _batches([wanted[key] for key in wanted if key in missing]):
        store.write(_computed(batch, workers))
        done += len(batch)
        progress(done, len(wanted))


def _batches(fits: Sequence[Fit]) -> list[list[Fit]]:
    """Fits of histories that cover the same weeks, with what else they share."""
    found = defaultdict(list)
    for fit in fits:
        found[fit.history.first, len(fit.history.values), fit.options].append(fit)
    return list(found.values())


def _computed(batch: Sequence[Fit], workers: int) -> dict[str, Outcome]:
    """Outcomes by key of fits to histories of the same weeks."""
    # One evaluation tries all its configurations on all its series, so histories go together that lack the same ones.
    lacking: dict[str, list[Fit]] = defaultdict(list)
    for fit in batch:
        lacking[fit.history.digest].append(fit)
    together: dict[tuple[Configuration, ...], list[list[Fit]]] = defaultdict(list)
    for own in lacking.values():
        together[tuple(fit.as_handed_over for fit in own)].append(own)
    found: dict[str, Outcome] = {}
    for configurations, groups in together.items():
        history, options = groups[0][0].history, groups[0][0].options
        evaluation = rolling_origin(
            pd.concat([_data(str(i), own[0]) for i, own in enumerate(groups)], ignore_index=True),
            configurations,
            # Every forecast counts here; what it is compared with is decided later.
            scoring="published",
            splits=Splits(window=len(history.values), horizon=options.horizon, step=1),
            season_length=options.season_length,
            max_harmonics=options.max_harmonics,
            workers=workers,
        )
        outcomes = _outcomes(evaluation)
        for i, own in enumerate(groups):
            found |= {fit.key: outcomes[str(i), fit.as_handed_over.name] for fit in own}
    return found


def _data(unique_id: str, fit: Fit) -> pd.DataFrame:
    """The history, and rows for the weeks to forecast: what they hold is not looked at."""
    values = np.concatenate([fit.history.values, np.full(fit.options.horizon, fit.history.values[-1])])
    ds = pd.date_range(fit.history.first, periods=len(values), freq="7D")
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": values, "counterfactual": values, "replaced": False})


def _outcomes(evaluation: Evaluation) -> dict[tuple[str, str], Outcome]:
    moments = {
        (str(unique_id), str(configuration)): np.column_stack([np.log(rows["mean"]), rows["se"]])
        for (unique_id, configuration), rows in evaluation.errors.groupby(["unique_id", "configuration"], sort=False)
    }
    found = {}
    for trial in evaluation.trials.to_dict("records"):
        name = str(trial["unique_id"]), str(trial["configuration"])
        failure = ("", "") if trial["status"] == "ok" else (str(trial["status"]), str(trial["reason"]))
        found[name] = Outcome(moments.get(name), float(trial["n_parameters"]), failure)
    return found
