"""The counterfactual of a week: reads the observations and the breaks, writes every week of the training span."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd

from containers.contract import Paths
from containers.parameters import Parameters
from containers.reporting import Reporter, markdown_table, open_reporter
from containers.tables import TableError, content_digest, read_table, write_table
from forecasting import plots
from forecasting.by_series import by_series
from forecasting.counterfactual import counterfactual
from forecasting.span import span_start, split_by_length

OBSERVATIONS = ("unique_id", "ds", "y")
BREAKS = ("unique_id", "start", "end", "fitted_from")
OUTPUT = ("unique_id", "ds", "y", "counterfactual", "replaced")


@dataclass(frozen=True)
class Settings:
    """What the job is asked for.

    Attributes:
        week: The last week that may be seen.
        training_weeks: Length of the training span.
    """

    week: dt.date
    training_weeks: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads `FORECAST_*`; raises a `ContractError` that names the variable."""
        parameters = Parameters(environment, "environment variable")
        return cls(
            week=parameters.date("FORECAST_WEEK"),
            training_weeks=parameters.integer("FORECAST_TRAINING_WEEKS", least=1),
        )

    @property
    def span_start(self) -> dt.date:
        """The first week of the training span."""
        return span_start(self.week, weeks=self.training_weeks)


def process(paths: Paths, environment: Mapping[str, str]) -> None:
    """Runs the job under the container's folders and reports to Dagster where it is listening."""
    with open_reporter(environment) as reporter:
        settings = Settings.from_environment(environment)
        history = _observations(paths, settings.week)
        history, short = split_by_length(history, start=settings.span_start, week=settings.week)
        for error in short.values():
            reporter.log(str(error))
        if history.empty:
            raise next(iter(short.values()))
        breaks = read_table(paths.processing_input("structural_break"), BREAKS)
        reporter.log(f"{history['unique_id'].nunique()} series to {settings.week}, {len(breaks)} breaks")
        table = counterfactual(history, breaks, span_start=settings.span_start)[list(OUTPUT)]
        write_table(table, paths.processing_output("counterfactual") / "data.parquet")
        _report(reporter, table)


def _observations(paths: Paths, week: dt.date) -> pd.DataFrame:
    history = read_table(paths.processing_input("observations"), OBSERVATIONS)
    late = history.loc[history["ds"] > pd.Timestamp(week)]
    if len(late):
        row = late.iloc[0]
        raise TableError(f"observations of {row['unique_id']} reach {row['ds']:%Y-%m-%d}, after the week {week}")
    return history


def _report(reporter: Reporter, table: pd.DataFrame) -> None:
    within = table[table["replaced"]]
    replaced = table.groupby("unique_id", sort=True).agg(weeks=("ds", "size"), replaced=("replaced", "sum"))
    # Nothing replaced is no change; a gap in the series of numbers would be drawn as a straight line.
    change = (100 * (within["counterfactual"] / within["y"] - 1)).groupby(within["unique_id"]).mean()
    replaced["change, %"] = change.reindex(replaced.index, fill_value=0.0)
    for series, row in replaced.iterrows():
        reporter.log(f"{series}: {row['replaced']:.0f} of {row['weeks']:.0f} weeks replaced")
    reporter.materialized(
        {
            "series": len(replaced),
            "replaced_weeks": int(replaced["replaced"].sum()),
            **by_series("replaced_weeks", replaced["replaced"]),
            **by_series("change_percent", replaced["change, %"]),
            "by_series": markdown_table(replaced.reset_index()),
        },
        data_version=content_digest(table),
        plots={
            f"counterfactual_{series}": partial(plots.counterfactual, rows)
            for series, rows in table.groupby("unique_id", sort=True)
        },
    )
