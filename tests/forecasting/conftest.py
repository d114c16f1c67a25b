"""Real series and their counterfactuals as they stood on 2023-11-10."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.breaks import BreakRule, find_breaks
from forecasting.counterfactual import counterfactual

SERIES = ("WGFUPUS2", "WDIUPUS2", "WKJUPUS2", "WREUPUS2", "WPRUP_NUS_2", "WWOUP_NUS_2", "WRPUPUS2")


@pytest.fixture(scope="session")
def covid() -> BreakRule:
    return BreakRule("covid-19", date(2020, 3, 1), date(2022, 12, 31), 8, date(2023, 5, 12), date(2013, 1, 1))


@pytest.fixture(scope="session")
def real_history(shared_data: Path) -> pd.DataFrame:
    """All seven series: unique_id, ds, y."""
    tables = []
    for unique_id in SERIES:
        table = pd.read_csv(shared_data / "weekly" / f"{unique_id}.csv", parse_dates=["date"])
        tables.append(pd.DataFrame({"unique_id": unique_id, "ds": table["date"], "y": table["value"].astype(float)}))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="session")
def real_breaks(real_history: pd.DataFrame, covid: BreakRule) -> pd.DataFrame:
    """The breaks of every series."""
    return find_breaks(real_history, [covid], last=date(2023, 5, 12))


@pytest.fixture(scope="session")
def real_counterfactual(real_history: pd.DataFrame, real_breaks: pd.DataFrame) -> dict[str, pd.Series]:
    """The counterfactual of every series over the 567 weeks to 2023-11-10, index ds, name unique_id."""
    table = counterfactual(real_history, real_breaks, span_start=date(2013, 1, 4))
    return {
        str(unique_id): pd.Series(
            rows["counterfactual"].to_numpy(), index=pd.DatetimeIndex(rows["ds"]), name=str(unique_id)
        )
        for unique_id, rows in table.groupby("unique_id")
    }


@pytest.fixture(scope="session")
def simulated() -> pd.Series:
    """Three years of weeks to 2023-11-10 with a season, and AR(1) errors."""
    rng = np.random.default_rng(7)
    n = 160
    errors = np.zeros(n)
    for t in range(1, n):
        errors[t] = 0.6 * errors[t - 1] + rng.normal(0, 0.02)
    log_y = np.log(5000) + 0.05 * np.sin(2 * np.pi * np.arange(n) / 52.18) + errors
    return pd.Series(np.exp(log_y), index=pd.date_range(end="2023-11-10", periods=n, freq="W-FRI"), name="SIM")
