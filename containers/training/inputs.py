"""What a fit receives besides the data: the outcome of the search, and what serves so far.

The outcome of the search is its two tables, or in the channel `search` the archive with both that the job left.
"""

from collections.abc import Hashable
from dataclasses import fields
from typing import Any

import pandas as pd

from containers.contract import ContractError, Paths
from containers.tables import archived_table, read_archive, read_table
from forecasting.configuration import Configuration
from forecasting.errors import ConfigurationError

ERRORS = ("unique_id", "configuration", "cutoff", "horizon", "ds", "y", "mean", "se", "observed")


PARAMETERS = tuple(field.name for field in fields(Configuration))


class ConfigurationRowError(ContractError):
    """A row of a table is no configuration."""

    def __init__(self, unique_id: str, reason: str) -> None:
        super().__init__(f"configuration of {unique_id}: {reason}; run the search of the week again")
        self.unique_id = unique_id


def read_chosen(paths: Paths) -> dict[str, Configuration]:
    """The configuration that the search chose for every series; raises a `ContractError`."""
    trials = _searched(paths, "trials", ("unique_id", "chosen", *PARAMETERS))
    return _configurations(trials[trials["chosen"]])


def read_errors(paths: Paths) -> pd.DataFrame:
    """The rolling-origin errors of the search, columns `ERRORS`; raises a `ContractError`."""
    return _searched(paths, "errors", ERRORS)


def _searched(paths: Paths, table: str, columns: tuple[str, ...]) -> pd.DataFrame:
    if paths.has_channel("search"):
        return archived_table(read_archive(paths.channel("search") / "model.tar.gz"), f"{table}.parquet", columns)
    return read_table(paths.channel(f"tuning_{table}"), columns)


def read_champions(paths: Paths) -> dict[str, Configuration]:
    """The configurations that serve so far, none without the channel `champions`; raises a `ContractError`."""
    if not paths.has_channel("champions"):
        return {}
    return _configurations(read_table(paths.channel("champions"), ("unique_id", *PARAMETERS)))


def read_configuration(row: dict[Hashable, Any]) -> Configuration:
    """The configuration of a row; raises `ConfigurationRowError`."""
    values = {str(name): value for name, value in row.items() if name in PARAMETERS}
    # A column has one type; the number of harmonics is a number or a word, so it travels as text.
    harmonics = str(values["harmonics"])
    values["harmonics"] = int(harmonics) if harmonics.isdigit() else harmonics
    try:
        return Configuration.from_dict(values)
    except ConfigurationError as error:
        raise ConfigurationRowError(str(row["unique_id"]), str(error)) from error


def _configurations(rows: pd.DataFrame) -> dict[str, Configuration]:
    return {str(row["unique_id"]): read_configuration(row) for row in rows.to_dict("records")}
