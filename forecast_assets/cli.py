"""`forecast`: the platform from a terminal."""

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from forecast_assets.commands import model
from forecast_assets.commands.alerts import alerts
from forecast_assets.commands.api import api
from forecast_assets.commands.aws import aws
from forecast_assets.commands.images import images
from forecast_assets.commands.pipeline import pipeline
from forecast_assets.commands.support import Week, err, explained, open_platform, out
from forecast_assets.history import HistoryWriteError, dagster_home, database_said, postgres_of, write_errors
from forecast_assets.lake import configured_lake
from resources.lake import Lake
from resources.lake.folder import replacing

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from forecast_assets.refresh import Platform


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="forecast-assets")
def main() -> None:
    """Weekly demand forecasts of U.S. petroleum products."""


main.add_command(model.model)
main.add_command(alerts)
main.add_command(api)
main.add_command(aws)
aws.add_command(images)
main.add_command(pipeline)


@main.command()
@click.option("--week", type=Week(), help="The week to refresh, a Friday; the newest released one by default.")
@click.option("--force", is_flag=True, help="Compute everything anew, even where nothing has changed.")
@explained
def refresh(week: date | None, *, force: bool) -> None:
    """Refresh a week: release, model, forecast, endpoint."""
    platform = open_platform()
    with err.status("Asking which week is newest"):
        week = week or platform.newest_week()
    _announce(platform)
    with _instance(platform) as instance:
        if not force and platform.is_fresh(week):
            err.print(f"Week {week} is up to date.")
        else:
            err.print(f"Refreshing week {week}", style="bold")
            outcome = platform.run("weekly_refresh", instance, week=week, force=force)
            if not outcome.succeeded:  # where the gate held everything back, earlier forecasts are scored all the same
                _score_again(platform, instance, only=week)
                if platform.is_refused(week):  # the gate ended the run before the registry heard of the candidate
                    platform.run("register", instance, week=week, quiet=True)
            _finish(outcome, f"The refresh of {week}")
        if not platform.is_deployed():
            _finish(platform.run("deploy", instance), "The deployment")
    _print_forecast(platform.lake, week)
    if (waiting := platform.waiting()) is not None:
        err.print(
            f"Version {waiting.version}, of week {waiting.week}, waits for approval. `forecast model approve` lets it "
            "serve; `forecast refresh` deploys it then."
        )
    if platform.has_approved():
        _print_endpoint(platform)
        out.print(f"API: POST {platform.api.url()}, key from `forecast api key`", soft_wrap=True, highlight=False)


@main.command()
@click.option("--from", "first", type=Week(), required=True, help="The first week, a Friday.")
@click.option("--to", "last", type=Week(), required=True, help="The last week, a Friday.")
@click.option("--force", is_flag=True, help="Replay weeks that have a forecast already.")
@explained
def backfill(first: date, last: date, *, force: bool) -> None:
    """Replay weeks in order, each as it was known then. Registers nothing and leaves the endpoint alone."""
    from forecast_assets.refresh import weeks_between

    if first > last:
        raise click.BadParameter(f"{first} is after {last}", param_hint="--from")
    platform = open_platform()
    _announce(platform)
    weeks = list(weeks_between(first, last))
    failed: list[date] = []
    warnings: Counter[str] = Counter()
    with _instance(platform) as instance:
        for number, week in enumerate(weeks, start=1):
            head = f"[{number}/{len(weeks)}] {week}"
            if not force and platform.is_replayed(week):
                err.print(f"{head} has its forecast", style="dim", markup=False)
                continue
            began = time.monotonic()
            with err.status(escape(head)):
                outcome = platform.run("backfill", instance, week=week, force=force, quiet=True)
            warnings.update(outcome.warnings)
            if outcome.succeeded:
                err.print(f"{head} made in {time.monotonic() - began:.0f} s", markup=False)
            else:
                failed.append(week)
                errors = [reason for reason in outcome.reasons if not reason.startswith("WARN ")]
                err.print(f"{head} failed: {'; '.join(errors)}", style="red", markup=False, soft_wrap=True)
        _score_again(platform, instance)
    if warnings:
        counted = ", ".join(
            f"{name} in {count} {'week' if count == 1 else 'weeks'}" for name, count in warnings.most_common()
        )
        err.print(f"Checks that warned: {counted}. `forecast ui` shows what they say.", style="yellow", markup=False)
    err.print(
        f"{len(weeks) - len(failed)} of {len(weeks)} weeks have a forecast; `forecast accuracy` shows how they fared."
    )
    if failed:
        sys.exit(1)


@main.command()
@click.option("--from", "first", type=Week(), help="First of the weeks that were forecast; all by default.")
@click.option("--to", "last", type=Week(), help="The last of them.")
@click.option(
    "--by",
    type=click.Choice(["series", "horizon", "model", "week"]),
    default="series",
    show_default=True,
    help="What a row is of; each series has a table of its own.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@explained
def accuracy(first: date | None, last: date | None, *, by: str, as_json: bool) -> None:
    """Show how earlier forecasts fared, once the weeks that they were of had arrived."""
    from forecast_assets.reader import load_accuracy
    from forecast_assets.scoreboard import as_grids, as_rows

    scores = load_accuracy(first, last, lake=configured_lake())
    if as_json:
        click.echo(json.dumps(as_rows(scores, by=by), indent=2))
    else:
        out.print(*as_grids(scores, by=by), sep="\n")


@main.command()
@click.option("--week", type=Week(), help="The cutoff of the forecast, a Friday; the newest by default.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@explained
def show(week: date | None, *, as_json: bool) -> None:
    """Show a forecast."""
    from forecast_assets.reader import newest_forecast

    lake = configured_lake()
    week = week or newest_forecast(lake)
    if as_json:
        click.echo(json.dumps(forecast_json(lake.read("forecast", week), week), indent=2))
    else:
        _print_forecast(lake, week)


@main.group()
def endpoint() -> None:
    """The endpoint that serves the newest approved model."""


@endpoint.command()
@explained
def status() -> None:
    """How the endpoint stands."""
    _print_endpoint(open_platform())


@endpoint.command()
@click.option("--periods", default=10, show_default=True, help="Weeks ahead.")
@click.option("--conf", default=0.9, show_default=True, help="Level of the interval, between 0 and 1.")
@click.option("--series", help="EIA series; the first configured one by default.")
@explained
def invoke(periods: int, conf: float, series: str | None) -> None:
    """Ask the endpoint for a forecast; its JSON answer goes to standard output."""
    from forecast_assets.serving import model_endpoint

    platform = open_platform()
    request = {"periods": periods, "conf": conf, "series": series or platform.settings.series_ids[0]}
    click.echo(json.dumps(model_endpoint(platform.settings, platform.sagemaker).invoke(request), indent=2))


@endpoint.command()
@explained
def stop() -> None:
    """Take the endpoint down; `forecast refresh` brings it back."""
    from forecast_assets.serving import model_endpoint

    platform = open_platform()
    with err.status("Waiting until the last request is answered"):
        model_endpoint(platform.settings, platform.sagemaker).delete()
    err.print(f"Endpoint {platform.settings.endpoint.name} is stopped.")


@main.command()
@explained
def doctor() -> None:
    """What is configured, reachable and missing, and what to do about it."""
    from forecast_assets.doctor import examine

    with err.status("Looking"):
        findings = list(examine(open_platform()))
    table = Table("", "What", "Finding, and what to do", box=None, header_style="bold")
    marks = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}
    for finding in findings:
        remedy = f"\n[dim]→ {escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(marks[finding.state], escape(finding.what), escape(finding.found) + remedy)
    out.print(table)
    if any(finding.state == "fail" for finding in findings):
        sys.exit(1)


@main.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@explained
def housekeeping(*, dry_run: bool) -> None:
    """Remove what the settings of retention keep no longer: runs, jobs, models, logs. Never tables."""
    from forecast_assets.housekeeping import keep_house, outlived
    from jobs.housekeeping import is_ours

    platform = open_platform()
    resources = platform.settings, platform.clock, platform.lake, platform.sagemaker, platform.alerts
    with _instance(platform) as instance, err.status("Looking") as shown:
        found = outlived(*resources, instance, is_ours=is_ours)
        tallies = keep_house(found, lambda what: shown.update(escape(f"Removing {what}")), dry_run=dry_run)
        if platform.lake.folder is not None and not dry_run:
            platform.lake.folder.sweep()
    for tally in tallies:
        out.print(f"{'Would remove' if dry_run else 'Removed'} {tally}", markup=False, highlight=False)
    if not tallies:
        out.print("Nothing is older than the settings keep it.")


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port on this machine.")
@explained
def ui(port: int) -> None:
    """Open Dagster: webserver and daemon, on 127.0.0.1."""
    home = _dagster_home(configured_lake())
    dagster = Path(sys.executable).with_name("dagster")
    arguments = ["dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    os.environ["DAGSTER_HOME"] = str(home)
    # The command that Dagster would rather see belongs to a package that this project has no other use for.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:Function `dev_command` is superseded")
    # A shell ignores Ctrl-C for what it starts in the background, and Dagster would then ignore TERM as well.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(dagster, [str(dagster), *arguments])  # noqa: S606 - replaces this process: signals reach Dagster


def forecast_json(table: "pd.DataFrame", week: date) -> dict[str, Any]:
    """A forecast as `{week, series: {ID: [{ds, horizon, mean, lo-80, hi-80, ...}]}}`."""
    columns = [name for name in table.columns if name in {"horizon", "mean"} or name.startswith(("lo-", "hi-"))]
    return {
        "week": week.isoformat(),
        "source": str(table["source"].iloc[0]),
        "series": {
            str(name): [
                {"ds": row["ds"].date().isoformat(), **{column: row[column] for column in columns}}
                for row in rows.to_dict("records")
            ]
            for name, rows in table.groupby("unique_id", sort=False)
        },
    }


def _dagster_home(lake: Lake) -> Path:
    """Dagster's home, with this project's `dagster.yaml` in it unless whoever has set `DAGSTER_HOME` has put one there.

    Raises:
        HistoryUnreachableError: The database that it names cannot be opened.
    """
    home = dagster_home(lake)
    if not os.environ.get("DAGSTER_HOME") or not (home / "dagster.yaml").exists():
        with replacing(home / "dagster.yaml") as temporary:  # another process may be reading it
            shutil.copyfile("dagster.yaml", temporary)
    if (postgres := postgres_of(home)) is not None:
        postgres.check()
    return home


@contextmanager
def _instance(platform: "Platform") -> Iterator["dg.DagsterInstance"]:
    import dagster as dg

    home = _dagster_home(platform.lake)
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    except write_errors() as error:
        raise HistoryWriteError(home, database_said(error)) from error


def _announce(platform: "Platform") -> None:
    from resources.eia.resource import SIMULATED_WARNING

    if platform.lake.kind == "simulated":
        err.print(SIMULATED_WARNING, style="bold yellow")


def _score_again(platform: "Platform", instance: "dg.DagsterInstance", *, only: date | None = None) -> None:
    """Score the weeks that were made before forecasts that are there now, or whose own forecast failed."""
    from forecast_assets import accuracy, changes, dashboard

    stale = {*accuracy.stale_weeks(platform.lake), *changes.stale_weeks(platform.lake)}
    weeks = sorted(week for week in stale if only in {None, week})
    for number, week in enumerate(weeks, start=1):
        with err.status(f"Scoring {week}, {number} of {len(weeks)}"):
            outcome = platform.run("score", instance, week=week, quiet=True)
        if outcome.succeeded:
            err.print(f"Scored the earlier forecasts of {week}.", style="dim", markup=False)
        else:
            err.print(f"{week} could not be scored: {'; '.join(outcome.reasons)}", style="yellow", markup=False)
    for week in dashboard.outdated_pages(platform.lake) if only is None else ():
        platform.run("redraw", instance, week=week, quiet=True)


def _finish(outcome: Any, what: str) -> None:  # noqa: ANN401 - Outcome, imported where Dagster is
    if not outcome.succeeded:
        reasons = "\n  ".join(outcome.reasons)
        raise click.ClickException(f"{what} failed:\n  {reasons}")


def _print_forecast(lake: Lake, week: date) -> None:
    """The forecast as a table; every level that fits the terminal, the narrowest first."""
    table = lake.read("forecast", week)
    levels = [name.removeprefix("lo-") for name in table.columns if name.startswith("lo-")]
    for name, rows in table.groupby("unique_id", sort=False):
        simulated = ", [bold yellow]SIMULATED[/]" if rows["source"].iloc[0] == "sample" else ""
        title = f"{name}: forecast of week {week}, thousand barrels per day{simulated}"
        grid = Table(title=title, title_justify="left", box=None, header_style="bold")
        for heading in ("Week", "Ahead", "Mean", *(f"{level} % interval" for level in levels)):
            grid.add_column(heading, justify="right", no_wrap=True)
        for row in rows.to_dict("records"):
            bounds = [f"{row[f'lo-{level}']:,.0f}–{row[f'hi-{level}']:,.0f}" for level in levels]
            grid.add_row(f"{row['ds']:%Y-%m-%d}", str(row["horizon"]), f"{row['mean']:,.0f}", *bounds)
        out.print(grid)


def _print_endpoint(platform: "Platform") -> None:
    from forecast_assets.serving import model_endpoint

    name = platform.settings.endpoint.name
    endpoint = model_endpoint(platform.settings, platform.sagemaker)
    found = endpoint.status()
    if found is None:
        raise click.ClickException(f"there is no endpoint {name}: run `forecast refresh`")
    package = endpoint.package(found.config)
    model = platform.registry.model(package) if package else None
    url = platform.sagemaker.endpoint_url(name) if platform.sagemaker.mode == "local" else None
    out.print(
        f"Endpoint {name}: {found.status}"
        + (f", model of week {model.week} (version {model.version})" if model else "")
        + (f", POST {url}/invocations" if url else "")
        + (f" - {found.reason}" if found.reason else ""),
        soft_wrap=True,
        highlight=False,
    )
