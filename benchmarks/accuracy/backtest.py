"""What every variant would have forecast from every origin, made as the platform makes it, beside what came."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.accuracy.calibrations import CALIBRATIONS, Scores
from benchmarks.accuracy.scores import LEVELS, QUANTILE_LEVELS
from benchmarks.accuracy.store import Fit, Floats, History, Options, Outcome, Store, code_digest
from benchmarks.accuracy.variants import BEST, Variant
from benchmarks.accuracy.worlds import Rules, World
from forecasting import tuning
from forecasting.configuration import Configuration
from forecasting.cross_validation import NothingObservedError, origins
from forecasting.scoring import overlap_lags

_CHOOSING: Final = ("configuration", "cross_validation", "scoring", "tuning")
_SEASON: Final = 52


class IncompleteVariantError(RuntimeError):
    """A configuration failed where the platform would have had no forecast."""

    def __init__(self, case: "Case", configuration: str, outcome: Outcome) -> None:
        super().__init__(f"{case.unique_id} {case.week}: {configuration}: {': '.join(outcome.failure)}")


@dataclass(frozen=True, eq=False)
class Case:
    """One series at one origin.

    Attributes:
        period: of the origin.
        week: the origin.
        unique_id: the series.
        span: ds, y, counterfactual, replaced: the training span as it was known.
        y: what came in the weeks after, (horizon,); NaN where a week is not scored.
        rules: the platform's settings.
    """

    period: str
    week: date
    unique_id: str
    span: pd.DataFrame
    y: Floats
    rules: Rules

    @property
    def scale(self) -> float:
        """In-sample MAE of the seasonal naive forecast."""
        values = self._values[True]
        return float(np.abs(values[_SEASON:] - values[:-_SEASON]).mean())

    @property
    def options(self) -> Options:
        """Of every fit."""
        return Options(self.rules.horizon, self.rules.season_length, self.rules.max_harmonics)

    @cached_property
    def _values(self) -> dict[bool, Floats]:
        """The counterfactual and the observed weeks."""
        return {kind: self.span[name].to_numpy(dtype=np.float64) for kind, name in _COLUMNS.items()}

    @cached_property
    def _replaced(self) -> npt.NDArray[np.bool_]:
        return self.span["replaced"].to_numpy(dtype=bool)

    @cached_property
    def _days(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.span["ds"])

    @cached_property
    def _whole(self) -> dict[bool, History]:
        return {kind: History(self._days[0], values) for kind, values in self._values.items()}

    @cached_property
    def _stops(self) -> list[int]:
        """Positions after the last week of the windows that the search scores: it was observed, and some week after."""
        rules = self.rules
        starts = origins(len(self.span) - rules.horizon, window=rules.window, horizon=rules.horizon, step=rules.step)
        stops = [start + rules.window for start in starts]
        return [
            stop
            for stop in stops
            if not self._replaced[stop - 1] and not self._replaced[stop : stop + rules.horizon].all()
        ]

    @cached_property
    def _windows(self) -> dict[bool, list[History]]:
        return {
            kind: [
                History(self._days[stop - self.rules.window], values[stop - self.rules.window : stop])
                for stop in self._stops
            ]
            for kind, values in self._values.items()
        }

    def final(self, configuration: Configuration) -> Fit:
        """The fit on all weeks."""
        return Fit(self._whole[configuration.counterfactual], configuration, self.options)

    def windows(self, configuration: Configuration) -> list[Fit]:
        """The fits of the search."""
        return [Fit(window, configuration, self.options) for window in self._windows[configuration.counterfactual]]

    def errors(self, moments: Floats) -> pd.DataFrame:
        """The errors of the search, as `cross_validation.Evaluation` has them.

        Args:
            moments: mean and standard error of log y by configuration, window and horizon, (m, windows, horizon, 2).

        Returns:
            cutoff, horizon, ds, y, mean, se, observed; m rows for each in order.
        """
        horizon = self.rules.horizon
        stops = np.array(self._stops, dtype=np.int64)
        moments = moments.reshape(-1, len(stops), horizon, 2) if len(stops) else np.empty((0, 0, horizon, 2))
        targets = (stops[:, None] + np.arange(horizon)).ravel()
        rows = {
            "cutoff": np.repeat(self._days.to_numpy()[stops - 1], horizon),
            "horizon": np.tile(np.arange(1, horizon + 1), len(stops)),
            "ds": self._days.to_numpy()[targets],
            "y": self._values[False][targets],
            "observed": ~self._replaced[targets],
        }
        table = pd.DataFrame({name: np.tile(values, len(moments)) for name, values in rows.items()})
        return table.assign(mean=np.exp(moments[..., 0]).ravel(), se=moments[..., 1].ravel())


_COLUMNS: Final = {True: "counterfactual", False: "y"}


def cases(period: str, world: World, scored: pd.DataFrame, rules: Rules) -> list[Case]:
    """The series of a world that have a week to be scored.

    Args:
        period: of the origin.
        world: what was known.
        scored: unique_id, ds, y of the weeks that forecasts are compared with.
        rules: the platform's settings.
    """
    after = pd.date_range(world.week + timedelta(weeks=1), periods=rules.horizon, freq="7D")
    found = []
    for unique_id, span in world.span.groupby("unique_id", sort=True):
        own = scored[scored["unique_id"] == unique_id].set_index("ds")["y"]
        y = own.reindex(after).to_numpy(dtype=np.float64)
        if np.isfinite(y).any():
            found.append(Case(period, world.week, str(unique_id), span.reset_index(drop=True), y, rules))
    return found


def needed(case: Case, variants: Sequence[Variant], candidates: Sequence[Configuration]) -> Iterator[Fit]:
    """The fits that must be there before anything can be chosen."""
    given = [variant for variant in variants if variant.choice == "given"]
    if len(given) < len(variants):
        for configuration in candidates:
            yield from case.windows(configuration)
    for variant in given:
        for configuration in variant.configurations:
            yield case.final(configuration)
            if variant.calibration != "normal":
                yield from case.windows(configuration)


@dataclass(frozen=True)
class Board:
    """What a search found.

    Attributes:
        chosen: the configuration that the platform's rule takes.
        by_loss: configurations, the lowest loss first, no more than `BEST`; the chosen one where nothing was scored.
    """

    chosen: Configuration
    by_loss: tuple[Configuration, ...]

    def configurations(self, variant: Variant) -> tuple[Configuration, ...]:
        """Those that a variant averages."""
        match variant.choice:
            case "given":
                return variant.configurations
            case "searched":
                return (self.chosen,)
            case "lowest":
                return self.by_loss[:1]
            case "best":
                return self.by_loss


def board(case: Case, candidates: Sequence[Configuration], store: Store) -> Board:
    """The search of a case by the platform's rule, from fits that are in the store; kept there too."""
    fits = {configuration.name: case.windows(configuration) for configuration in candidates}
    content = hashlib.sha256(code_digest(_CHOOSING).encode())
    content.update(case.span["replaced"].to_numpy(dtype=bool).tobytes())
    for name, windows in fits.items():
        content.update(name.encode() + b"".join(fit.key.encode() for fit in windows))
    note = store.noted(content.hexdigest(), lambda: _searched(case, candidates, fits, store))
    return Board(
        Configuration.from_dict(note["chosen"]), tuple(Configuration.from_dict(each) for each in note["by_loss"])
    )


def _searched(
    case: Case, candidates: Sequence[Configuration], fits: dict[str, list[Fit]], store: Store
) -> dict[str, Any]:
    outcomes = {name: [store.read(fit.key) for fit in windows] for name, windows in fits.items()}
    # No window had an observed week after it: what the platform's search says then, and keeps the default.
    nothing = ("", "") if case.windows(candidates[0]) else (NothingObservedError.__name__, "every week was replaced")
    failures = {name: next((o.failure for o in made if o.moments is None), nothing) for name, made in outcomes.items()}
    working = [name for name, (error, _) in failures.items() if not error]
    moments = [[outcome.moments for outcome in outcomes[name]] for name in working]
    errors = case.errors(np.array(moments))
    rows = len(errors) // max(1, len(working))
    errors = errors.assign(unique_id=case.unique_id, configuration=np.repeat(np.array(working, dtype=object), rows))
    trials = pd.DataFrame(
        [
            {
                "unique_id": case.unique_id,
                "configuration": name,
                "status": error or "ok",
                "reason": reason,
                "n_parameters": float(np.mean([o.n_parameters for o in outcomes[name]]))
                if outcomes[name]
                else math.nan,
                "seconds": 0.0,
            }
            for name, (error, reason) in failures.items()
        ]
    )
    lags = overlap_lags(horizon=case.rules.horizon, step=case.rules.step)
    found = tuning.leaderboard(trials, errors, candidates, fair=True, lags=lags)
    by_name = {configuration.name: configuration.to_dict() for configuration in candidates}
    chosen = found.loc[found["chosen"], "configuration"].iloc[0]
    by_loss = found.dropna(subset="loss")["configuration"].head(BEST).tolist() or [chosen]
    return {"chosen": by_name[chosen], "by_loss": [by_name[name] for name in by_loss]}


def forecast(case: Case, variant: Variant, configurations: Sequence[Configuration], store: Store) -> pd.DataFrame:
    """The forecasts of a variant and what came: the rows that `scores.by_series` takes.

    Raises:
        IncompleteVariantError: a configuration could not be fitted.
    """
    moments = np.mean([_moments(case, each, case.final(each), store) for each in configurations], axis=0)
    found: Scores | None = None
    if variant.calibration != "normal":
        past = [[_moments(case, each, fit, store) for fit in case.windows(each)] for each in configurations]
        errors = case.errors(np.mean(np.array(past), axis=0)[None])
        names = " & ".join(each.name for each in configurations)
        errors = errors.assign(unique_id=case.unique_id, configuration=names)
        found = CALIBRATIONS[variant.calibration](errors, case.rules.horizon)
    table = pd.DataFrame(
        {
            "period": case.period,
            "variant": variant.name,
            "unique_id": case.unique_id,
            "cutoff": pd.Timestamp(case.week),
            "horizon": np.arange(1, case.rules.horizon + 1),
            "y": case.y,
            "mean": np.exp(moments[:, 0]),
            "scale": case.scale,
            "configuration": " & ".join(each.name for each in configurations),
            "interval": "normal" if found is None else "conformal",
            **bounds(moments, found),
        }
    )
    return table[np.isfinite(case.y)]


def _moments(case: Case, configuration: Configuration, fit: Fit, store: Store) -> Floats:
    outcome = store.read(fit.key)
    if outcome.moments is None:
        raise IncompleteVariantError(case, configuration.name, outcome)
    return outcome.moments


def bounds(moments: Floats, scores: Scores | None) -> dict[str, Floats]:
    """The bounds that `forecaster.forecast` gives for these moments and scores, by name of the column.

    Args:
        moments: mean and standard error of log y, (horizon, 2).
        scores: ascending, by horizon, the last for all beyond; None for normal intervals.
    """
    mean, se = moments.T
    found = {}
    for level in sorted({*QUANTILE_LEVELS, *LEVELS}):
        factors = _factors(scores, level, len(moments))
        found[f"lo-{level:g}"] = np.exp(mean - factors * se)
        found[f"hi-{level:g}"] = np.exp(mean + factors * se)
    return found


def _factors(scores: Scores | None, level: float, horizon: int) -> Floats:
    """How many standard errors an interval reaches to either side, (horizon,)."""
    if scores is None:
        return np.full(horizon, _z(level / 100))
    by_horizon = [_quantile(own, level / 100) for own in scores[:horizon]]
    return np.array(by_horizon + by_horizon[-1:] * (horizon - len(by_horizon)))


def _quantile(scores: list[float], level: float) -> float:
    n = len(scores)
    rank = math.ceil(round((n + 1) * level, 9))
    return scores[rank - 1] if rank <= n else scores[-1] * _z(level) / _z(n / (n + 1))


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
