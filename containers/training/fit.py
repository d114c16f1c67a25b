"""The task `fit`: the model of a week, what it would have scored, and what stands in when it is held back.

Three roles are fitted for every series: the candidate (the configuration that the search chose), the champion
(what serves so far, where it is given) and the seasonal naive. A champion of the candidate's configuration is
the candidate's fit.
"""

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from containers.contract import Paths, StopSignal, write_text
from containers.reporting import Reporter, Throttle, markdown_table
from containers.tables import write_table
from containers.training.inputs import read_champions, read_chosen, read_errors
from containers.training.series import Role, RoleFailure, RoleFit, RoleTask, fit_role
from containers.training.settings import Settings
from containers.training.span import read_span
from forecasting import artifact, plots
from forecasting.by_series import by_series
from forecasting.configuration import SEASONAL_NAIVE, Configuration
from forecasting.diagnostics import diagnose
from forecasting.engine.arima import prepare
from forecasting.errors import ForecastingError

_RoleFits = dict[tuple[str, Role], RoleFit]
_Failures = dict[str, dict[str, str]]


class NoModelError(ForecastingError):
    """No series has a model."""


@dataclass(frozen=True)
class _Outcome:
    fits: _RoleFits
    failures: _Failures

    @property
    def series(self) -> list[str]:
        """Those with a model: a candidate, and the seasonal naive that it is held against."""
        return [series for series, role in self.fits if role == "candidate" and (series, "seasonal_naive") in self.fits]

    @property
    def compared(self) -> list[RoleFit]:
        """The fits of all roles of the series with a model."""
        return [fit for (series, _), fit in self.fits.items() if series in self.series]

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        return {series: self.fits[series, "candidate"].entry for series in self.series}

    @property
    def residuals(self) -> pd.DataFrame:
        return _stacked([self.fits[series, "candidate"].residuals for series in self.series])

    @property
    def diagnostics(self) -> pd.DataFrame:
        """Unique_id, test, lag (0 where a test has none), statistic, p_value."""
        rows = []
        for series, residuals in self.residuals.groupby("unique_id", sort=True):
            found = diagnose(residuals.set_index("ds")["residual"].rename(str(series)))
            tests = [("shapiro_wilk", {"lag": 0, **found["shapiro_wilk"]})]
            tests += [("ljung_box", dict(at_lag)) for at_lag in found["ljung_box"]]
            rows += [{"unique_id": str(series), "test": test, **values} for test, values in tests]
        return pd.DataFrame(rows)[["unique_id", "test", "lag", "statistic", "p_value"]]

    @property
    def stand_ins(self) -> dict[str, dict[str, Any]]:
        """The champion's configuration on all weeks, unless it is the candidate's own; else the seasonal naive."""
        found: dict[str, dict[str, Any]] = {}
        for (series, role), fit in self.fits.items():
            if role == "candidate":
                continue
            own = self.fits.get((series, "candidate"))
            if role == "seasonal_naive":
                found.setdefault(series, fit.entry)
            elif own is None or fit.entry["configuration"] != own.entry["configuration"]:
                found[series] = fit.entry
        return found


def fit(paths: Paths, settings: Settings, reporter: Reporter, stop: StopSignal) -> None:
    """Runs the task.

    Writes `forecaster.json` to the model folder, and to the output data `scores.parquet`, `held_out.parquet`,
    `residuals.parquet`, `diagnostics.parquet`, `fallback.json` and `failures.json` (series, error, message: the
    fits that are missing). A stop leaves nothing behind, since a model of some series would read like a model
    of all.

    Raises:
        NoModelError: The candidate of every series failed.
    """
    span = read_span(paths, settings)
    chosen, champions, errors = read_chosen(paths), read_champions(paths), read_errors(paths)
    names = [str(series) for series in span["unique_id"].unique()]
    tasks = [
        task
        for series in names
        if series in chosen
        for task in _tasks(series, chosen[series], champions.get(series), span, errors, settings)
    ]
    failures = {
        series: {"error": NoModelError.__name__, "message": "the search chose no configuration"}
        for series in names
        if series not in chosen
    }
    outcome = _collect(tasks, _run(tasks, reporter, stop), failures, champions)
    stop.check()
    write_text(paths.output_data / "failures.json", _json(outcome.failures))
    if not outcome.series:
        series, failure = next(iter(outcome.failures.items()))
        raise NoModelError(f"no series has a model; {series}: {failure['error']}: {failure['message']}")
    model = artifact.build_artifact(outcome.entries, provenance=settings.provenance)
    _write(paths, outcome, model)
    _report(reporter, outcome, artifact.digest(model))


def _tasks(
    series: str,
    candidate: Configuration,
    champion: Configuration | None,
    span: pd.DataFrame,
    errors: pd.DataFrame,
    settings: Settings,
) -> list[RoleTask]:
    configurations: dict[Role, Configuration] = {"candidate": candidate}
    if champion is not None and champion != candidate:
        configurations["champion"] = champion
    configurations["seasonal_naive"] = SEASONAL_NAIVE
    own = errors[errors["unique_id"] == series]
    return [
        RoleTask(
            unique_id=series,
            role=role,
            configuration=configuration,
            span=span.loc[span["unique_id"] == series, ["ds", "y", "counterfactual", "replaced"]],
            errors=own[own["configuration"] == configuration.name],
            horizon=settings.horizon,
            levels=settings.levels,
            season_length=settings.season_length,
            max_harmonics=settings.max_harmonics,
        )
        for role, configuration in configurations.items()
    ]


def _run(tasks: list[RoleTask], reporter: Reporter, stop: StopSignal) -> list[RoleFit | RoleFailure]:
    reporter.log("preparing the engine; the first time on a machine it is compiled, which takes a minute")
    prepare()
    progress = Throttle(reporter, time.monotonic)
    results = []
    for done, task in enumerate(tasks, start=1):
        results.append(fit_role(task))
        stop.check()
        progress.say(
            f"{done} of {len(tasks)} fits: {task.unique_id} {task.role} {task.configuration.name}",
            last=done == len(tasks),
        )
    return results


def _collect(
    tasks: list[RoleTask],
    results: list[RoleFit | RoleFailure],
    failures: _Failures,
    champions: dict[str, Configuration],
) -> _Outcome:
    fits: _RoleFits = {}
    failures = dict(failures)
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, RoleFit):
            fits[task.unique_id, task.role] = result
        else:
            failures.setdefault(task.unique_id, {"error": result.error, "message": result.message})
    for task in tasks:
        own = fits.get((task.unique_id, task.role))
        if task.role == "candidate" and own is not None and champions.get(task.unique_id) == task.configuration:
            fits[task.unique_id, "champion"] = _as_champion(own)
    return _Outcome(dict(sorted(fits.items())), failures)


def _as_champion(own: RoleFit) -> RoleFit:
    return replace(own, score=own.score | {"role": "champion"}, held_out=own.held_out.assign(role="champion"))


def _write(paths: Paths, outcome: _Outcome, model: dict[str, Any]) -> None:
    output = paths.output_data
    write_table(_scores(outcome), output / "scores.parquet")
    write_table(_stacked([fit.held_out for fit in outcome.compared]), output / "held_out.parquet")
    write_table(outcome.residuals, output / "residuals.parquet")
    write_table(outcome.diagnostics, output / "diagnostics.parquet")
    write_text(output / "fallback.json", _json(outcome.stand_ins))
    write_text(paths.model / "forecaster.json", artifact.dumps(model))


def _scores(outcome: _Outcome) -> pd.DataFrame:
    return pd.DataFrame([fit.score for fit in outcome.compared])


def _stacked(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def _json(content: object) -> str:
    return json.dumps(content, sort_keys=True, indent=1, allow_nan=False)


def _report(reporter: Reporter, outcome: _Outcome, digest: str) -> None:
    scores = _scores(outcome)
    mae = scores.pivot_table(index="unique_id", columns="role", values="mae")
    candidates = scores[scores["role"] == "candidate"].set_index("unique_id")
    summary = candidates.drop(columns="role").assign(ratio_to_naive=mae["candidate"] / mae["seasonal_naive"])
    for series, row in summary.iterrows():
        reporter.log(
            f"{series}: {row['configuration']}, MASE {row['mase']:.3f}, "
            f"{row['ratio_to_naive']:.3f} of the seasonal naive's MAE"
        )
    for series, failure in outcome.failures.items():
        reporter.log(f"{series}: failed, {failure['error']}: {failure['message']}")
    observed = _stacked([fit.held_out for fit in outcome.compared]).query("observed").groupby("unique_id")["y"].mean()
    summary["bias_percent"] = 100 * summary["bias"] / observed
    coverages = [str(name) for name in summary if str(name).startswith("coverage-")]
    measures = ["mase", "ratio_to_naive", *coverages]
    reporter.materialized(
        {
            "series": len(summary),
            **{f"mean_{name}": round(float(summary[name].mean()), 4) for name in measures},
            **{
                key: number
                for name in (*measures, "bias_percent")
                for key, number in by_series(name, summary[name]).items()
            },
            "failures": {"raw_value": outcome.failures, "type": "json"},
            "scores": markdown_table(
                scores[["unique_id", "role", "mae", "mase", "bias", *coverages]].rename(
                    columns={name: f"in {name.removeprefix('coverage-')} %" for name in coverages}
                )
            ),
        },
        data_version=digest,
        plots={
            **{
                f"held_out_{series}": partial(
                    plots.held_out,
                    _stacked([fit.held_out for fit in outcome.compared if fit.score["unique_id"] == series]),
                )
                for series in outcome.series
            },
            **{
                f"coverage_{series}": partial(plots.coverage_bars, rows)
                for series, rows in scores.groupby("unique_id", sort=True)
            },
        },
    )
