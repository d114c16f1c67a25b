"""The counterfactual's processing job, run as the process that SageMaker starts."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

ENVIRONMENT = {
    "FORECAST_TASK": "counterfactual",
    "FORECAST_WEEK": "2021-12-31",
    "FORECAST_TRAINING_WEEKS": "157",  # from 2019-01-04 on
}


@pytest.fixture
def observations() -> pd.DataFrame:
    ds = pd.date_range("2015-01-02", "2021-12-31", freq="W-FRI")
    noise = np.random.default_rng(0).normal(0, 0.01, len(ds))
    y = 9000 * np.exp(0.05 * np.sin(2 * np.pi * np.arange(len(ds)) / 52.18) + noise)
    y[(ds >= "2020-03-13") & (ds <= "2020-06-26")] *= 0.6
    return pd.DataFrame({"unique_id": "WGFUPUS2", "ds": ds, "y": y, "source": "file"})


@pytest.fixture
def structural_break() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unique_id": ["WGFUPUS2"],
            "name": ["covid-19"],
            "start": [pd.Timestamp("2020-03-13")],
            "end": [pd.Timestamp("2020-06-26")],
            "weeks": [16],
            "outliers": [10],
            "share": [0.625],
            "fitted_from": [pd.Timestamp("2016-01-01")],
        }
    )


def test_weeks_of_the_break_are_replaced_and_dagster_is_told(
    container,
    observations: pd.DataFrame,
    structural_break: pd.DataFrame,
    pipes_environment: tuple[dict[str, str], Callable[[], list[dict[str, object]]]],
) -> None:
    container.write_processing_input("observations", observations)
    container.write_processing_input("structural_break", structural_break)
    environment, messages = pipes_environment
    ended = container.run("processing", environment=ENVIRONMENT | environment)
    assert ended.code == 0, ended.err
    table = pd.read_parquet(container.root / "processing" / "output" / "counterfactual" / "data.parquet")
    assert list(table) == ["unique_id", "ds", "y", "counterfactual", "replaced"]
    assert (table["ds"].min(), table["ds"].max()) == (pd.Timestamp("2019-01-04"), pd.Timestamp("2021-12-31"))
    replaced = table[table["replaced"]]
    assert (len(replaced), replaced["ds"].min()) == (16, pd.Timestamp("2020-03-13"))
    assert (replaced["counterfactual"] > 1.3 * replaced["y"]).all()
    kept = table[~table["replaced"]]
    assert kept["counterfactual"].equals(kept["y"])

    (report,) = [m["params"] for m in messages() if m["method"] == "report_asset_materialization"]
    assert re.fullmatch("[0-9a-f]{64}", report["data_version"])
    metadata = {name: value["raw_value"] for name, value in report["metadata"].items()}
    assert metadata["replaced_weeks"] == metadata["replaced_weeks_WGFUPUS2"] == 16
    change = 100 * (replaced["counterfactual"] / replaced["y"] - 1).mean()
    assert metadata["change_percent_WGFUPUS2"] == pytest.approx(change, rel=1e-5)
    assert metadata["counterfactual_WGFUPUS2"].startswith("![plot](data:image/png;base64,")


def test_without_a_break_the_counterfactual_is_what_was_observed(
    container,
    observations: pd.DataFrame,
    structural_break: pd.DataFrame,
    pipes_environment: tuple[dict[str, str], Callable[[], list[dict[str, object]]]],
) -> None:
    container.write_processing_input("observations", observations)
    container.write_processing_input("structural_break", structural_break.iloc[:0])
    environment, messages = pipes_environment
    assert container.run("processing", environment=ENVIRONMENT | environment).code == 0
    (report,) = [m["params"] for m in messages() if m["method"] == "report_asset_materialization"]
    metadata = {name: value["raw_value"] for name, value in report["metadata"].items()}
    assert metadata["replaced_weeks"] == metadata["replaced_weeks_WGFUPUS2"] == metadata["change_percent_WGFUPUS2"] == 0
    table = pd.read_parquet(container.root / "processing" / "output" / "counterfactual" / "data.parquet")
    assert table["counterfactual"].equals(table["y"])
    assert not table["replaced"].any()


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        pytest.param({"FORECAST_TASK": "paint"}, "'FORECAST_TASK' is 'paint', expected one of counter", id="task"),
        pytest.param({"FORECAST_WEEK": ""}, "environment variable 'FORECAST_WEEK' is missing", id="week missing"),
        pytest.param({"FORECAST_WEEK": "2021-12-24"}, "WGFUPUS2 reach 2021-12-31, after the week", id="later weeks"),
        pytest.param(
            {"FORECAST_TRAINING_WEEKS": "x"}, "'FORECAST_TRAINING_WEEKS' is 'x', expected a whole number", id="span"
        ),
        pytest.param({"FORECAST_TRAINING_WEEKS": "418"}, "SeriesTooShortError: WGFUPUS2: 366 weeks", id="short"),
    ],
)
def test_wrong_input_fails_by_name(
    container, observations: pd.DataFrame, structural_break: pd.DataFrame, change: dict[str, str], failure: str
) -> None:
    container.write_processing_input("observations", observations)
    container.write_processing_input("structural_break", structural_break)
    ended = container.run("processing", environment=ENVIRONMENT | change)
    assert ended.code == 1
    assert failure in (container.root / "output" / "message").read_text()


def test_missing_input_is_named(container, observations: pd.DataFrame) -> None:
    container.write_processing_input("observations", observations)
    assert container.run("processing", environment=ENVIRONMENT).code == 1
    message = (container.root / "output" / "message").read_text()
    assert message.startswith("MissingChannelError: input 'structural_break' is missing")
    assert "given: observations" in message


def test_a_series_that_is_too_short_is_left_out_alone(
    container, observations: pd.DataFrame, structural_break: pd.DataFrame
) -> None:
    young = observations[observations["ds"] >= "2020-01-03"].assign(unique_id="YOUNG")
    container.write_processing_input("observations", pd.concat([observations, young]))
    container.write_processing_input("structural_break", structural_break)
    ended = container.run("processing", environment=ENVIRONMENT)
    assert ended.code == 0
    assert "YOUNG: 105 weeks for the training span of 2021-12-31, 157 are needed" in ended.out
    table = pd.read_parquet(container.root / "processing" / "output" / "counterfactual" / "data.parquet")
    assert set(table["unique_id"]) == {"WGFUPUS2"}
