"""Dashboard: a page a week for those who would rather look than query.

The page is one file: no script, nothing fetched, so it can be mailed, archived or put behind any web server.
"""

import base64
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.accuracy import RECENT_WEEKS, scores_between
from forecast_assets.metadata import of_series, opened, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecasting import accuracy, changes
from forecasting.columns import levels_in
from resources.eia.calendar import due
from resources.lake import Lake

PAGE = "dashboard/index.html"
"""The newest week's page in the lake; every week's own is beside it, under `week=`."""


@dataclass(frozen=True)
class Accuracy:
    """How the forecasts of a series did in the weeks scored last.

    Attributes:
        weeks: How many weeks.
        error: Mean absolute error, thousand barrels per day.
        relative: The same as a share of the seasonal naive's; None where that cannot be told.
        coverages: Share of the scored weeks inside the interval, by level in per cent.
    """

    weeks: int
    error: float
    relative: float | None
    coverages: dict[str, float]


@dataclass(frozen=True)
class Change:
    """How the forecast differs from last week's over the weeks that both have.

    Attributes:
        total: Mean change, thousand barrels per day.
        parts: What it is made of, the largest first.
    """

    total: float
    parts: dict[str, float]


@dataclass(frozen=True)
class SeriesView:
    """What the page says of a series.

    Attributes:
        unique_id: EIA series.
        name: What people call it.
        fan: The fan chart, PNG in base64.
        observed: The newest figure, thousand barrels per day.
        year_ago: The forecast weeks' mean over that of the same weeks a year before, minus one; None without them.
        rows: The forecast, a dictionary a week.
        role: `candidate`, or what stands in for a model that was held back.
        accuracy: None where nothing has been scored yet.
        change: None where there was no forecast the week before.
    """

    unique_id: str
    name: str
    fan: str
    observed: float
    year_ago: float | None
    rows: list[dict[str, Any]]
    role: str
    accuracy: Accuracy | None
    change: Change | None


_OF_A_WEEK = re.compile(r"dashboard/week=(\d{4}-\d\d-\d\d)/index\.html")
_SHOWN = ("forecast", "forecast_accuracy", "forecast_changes")


@weekly_asset(
    deps=_SHOWN,
    description="The week on one self-contained page: forecasts, how past ones did, and why this week's moved.",
    group="forecasts",
    kinds={"python", "html"},
    code_version="1",
)
def dashboard(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Write the page, and make it the newest week's if it is."""
    week = week_of(context.partition_key)
    page = render(lake, settings, week).encode()
    shown = _page(week)
    lake.write_bytes(shown, page)
    if week == lake.weeks("forecast")[-1]:
        shown = PAGE
        lake.write_bytes(shown, page)
    return dg.MaterializeResult(metadata={"page": opened(lake, shown), "bytes": len(page)})


def is_shown(lake: Lake, week: date) -> bool:
    """Whether the page of a week is there and no older than what it shows."""
    made = [time for table in _SHOWN if (time := lake.written_at(table, week)) is not None]
    drawn = lake.storage.written_at(_page(week))
    return drawn is not None and drawn >= max(made, default=0)


def outdated_pages(lake: Lake) -> dict[date, str]:
    """The weeks whose page is older than what it shows, in order; each with the age of what it does not show yet."""
    keys = (_OF_A_WEEK.fullmatch(key) for key in lake.storage.keys("dashboard"))
    weeks = sorted(date.fromisoformat(found[1]) for found in keys if found)
    return {
        week: str(max(time for time in lake.written(_SHOWN, week).values() if time is not None))
        for week in weeks
        if lake.has("forecast", week) and not is_shown(lake, week)
    }


def _page(week: date) -> str:
    return f"dashboard/week={week}/index.html"


def render(lake: Lake, settings: Settings, week: date) -> str:
    """The page of a week.

    Raises:
        MissingTableError: The week has no forecast.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    tables = _Tables.of(lake, week)
    environment = Environment(
        loader=PackageLoader("forecast_assets", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("dashboard.html.jinja").render(
        week=week,
        next_release=due(week + timedelta(weeks=1)),
        simulated=lake.kind == "simulated",
        levels=[f"{level:g}" for level in settings.levels],
        series=[_series_view(tables.of_series(str(name)), settings) for name in tables.forecast["unique_id"].unique()],
    )


@dataclass(frozen=True)
class _Tables:
    """What the page of a week shows: of all its series, or of one."""

    forecast: pd.DataFrame
    observations: pd.DataFrame
    scores: pd.DataFrame
    changes: pd.DataFrame

    @classmethod
    def of(cls, lake: Lake, week: date) -> "_Tables":
        return cls(
            forecast=lake.read("forecast", week),
            observations=lake.read("observations", week),
            scores=scores_between(lake, week - timedelta(weeks=RECENT_WEEKS - 1), week),
            changes=lake.read("forecast_changes", week) if lake.has("forecast_changes", week) else changes.EMPTY,
        )

    def of_series(self, name: str) -> "_Tables":
        return _Tables(
            of_series(self.forecast, name),
            of_series(self.observations, name),
            of_series(self.scores, name),
            of_series(self.changes, name),
        )


def _series_view(tables: _Tables, settings: Settings) -> SeriesView:
    """What the page says of one series."""
    from forecasting.plots import fan_chart

    observations, forecast = tables.observations, tables.forecast
    name, cutoff = str(forecast["unique_id"].iloc[0]), forecast["cutoff"].iloc[0]
    configured = settings.series.get(name)
    return SeriesView(
        unique_id=name,
        name=configured.name if configured else name,
        fan=base64.b64encode(fan_chart(observations, forecast)).decode(),
        observed=float(observations.loc[observations["ds"] == cutoff, "y"].iloc[0]),
        year_ago=_against_year_ago(observations, forecast),
        rows=[{str(key): value for key, value in row.items()} for row in forecast.to_dict("records")],
        role=str(forecast["role"].iloc[0]),
        accuracy=_accuracy(tables.scores),
        change=_change(tables.changes),
    )


def _against_year_ago(observations: pd.DataFrame, forecast: pd.DataFrame) -> float | None:
    """Over the weeks whose namesake 52 weeks before was observed."""
    before = observations.set_index("ds")["y"].reindex(pd.DatetimeIndex(forecast["ds"]) - pd.Timedelta(weeks=52))
    known = before.notna().to_numpy()
    return float(forecast["mean"][known].mean() / before[known].mean()) - 1 if known.any() else None


def _accuracy(scores: pd.DataFrame) -> Accuracy | None:
    summary = accuracy.summarize(scores)
    if summary.empty:
        return None
    found = summary.iloc[0]
    return Accuracy(
        weeks=int(found["weeks"]),
        error=float(found["mae"]),
        relative=None if pd.isna(found["relative"]) else float(found["relative"]),
        coverages={level: float(found[f"coverage-{level}"]) for level in levels_in(summary, "coverage-")},
    )


def _change(rows: pd.DataFrame) -> Change | None:
    if rows.empty:
        return None
    parts = {words: float(rows[part].mean()) for part, words in changes.PARTS.items()}
    return Change(
        float(rows["change"].mean()), dict(sorted(parts.items(), key=lambda part: abs(part[1]), reverse=True))
    )
