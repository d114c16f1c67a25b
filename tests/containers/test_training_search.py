"""The tasks tune and evaluate, run as the process that SageMaker starts."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.configuration import Configuration
from forecasting.tuning import quick_configurations

WEEK = "2023-11-10"
METRIC = re.compile(r"Mean MSE across all splits: ([0-9.eE+-]+)")  # as the requests define it
SMALL = {
    "week": WEEK,
    "horizon": "4",
    "window": "110",
    "step": "2",
    "max_harmonics": "1",
    "workers": "1",
    "code_version": "1",
    "data_checksum": "0" * 64,
}


def span_of(*names: str, weeks: int = 124) -> pd.DataFrame:
    t = np.arange(weeks)
    frames = []
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).normal(0, 0.02, weeks)
        values = 9000 * np.exp(0.05 * np.sin(2 * np.pi * t / 52.18) + noise)
        ds = pd.date_range(end=WEEK, periods=weeks, freq="W-FRI")
        frames.append(pd.DataFrame({"unique_id": name, "ds": ds, "y": values}))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(counterfactual=table["y"], replaced=False)


def test_tune_writes_the_leaderboard_and_tells_dagster(
    container, pipes_environment: tuple[dict[str, str], Callable[[], list[dict[str, object]]]]
) -> None:
    container.write_channel("counterfactual", span_of("A"))
    container.write_hyperparameters({"task": "tune", **SMALL, "workers": "2", "_tuning_objective_metric": "mse"})
    environment, messages = pipes_environment
    ended = container.run("training", environment=environment)
    assert ended.code == 0, ended.err

    trials = pd.read_parquet(container.root / "model" / "trials.parquet")
    errors = pd.read_parquet(container.root / "model" / "errors.parquet")
    assert set(trials["unique_id"]) == {"A"}
    assert len(trials) == 16 * 3  # every combination, K = 0, 1 and by AICc
    assert trials["chosen"].sum() == 1
    # The last four weeks are held out: nothing the search saw or forecast lies in them.
    assert errors["ds"].max() == pd.Timestamp(WEEK) - pd.Timedelta(weeks=4)
    assert float(METRIC.findall(ended.out)[-1]) == trials.loc[trials["chosen"], "loss"].item()
    assert json.loads((container.root / "output" / "data" / "failures.json").read_text()) == {}
    assert not (container.root / "model" / "unfinished.json").exists()
    assert not (container.root / "output" / "failure").exists()

    sent = messages()
    assert [sent[0]["method"], sent[-1]["method"]] == ["opened", "closed"]
    assert any(message["method"] == "log" for message in sent)
    (report,) = [message["params"] for message in sent if message["method"] == "report_asset_materialization"]
    assert re.fullmatch("[0-9a-f]{64}", report["data_version"])
    metadata = {name: value["raw_value"] for name, value in report["metadata"].items()}
    assert metadata["trials"] == len(trials)
    assert metadata["chosen"] == {"A": trials.loc[trials["chosen"], "configuration"].item()}
    told = trials[(trials["rank"] <= 12) | trials["chosen"]]
    assert metadata["leaderboard"].count("\n") == len(told) + 1 < len(trials)
    for picture in ("leaderboard_A", "splits_A"):
        assert metadata[picture].startswith("![plot](data:image/png;base64,iVBOR")
    best, chosen = trials["loss"].min(), trials.loc[trials["chosen"], "loss"].item()
    default = trials.loc[trials["configuration"] == "dhr(K=aicc,holidays)", "loss"].item()
    assert metadata["best_rmse_A"] == pytest.approx(best**0.5, rel=1e-5)
    assert metadata["chosen_rmse_A"] == pytest.approx(chosen**0.5, rel=1e-5)
    assert metadata["gain_percent_A"] == pytest.approx(100 * (1 - chosen / default), rel=1e-4, abs=1e-9)
    assert metadata["origins_A"] == errors["cutoff"].nunique()


def test_evaluate_scores_the_one_configuration_of_its_hyperparameters(container) -> None:
    container.write_channel("counterfactual", span_of("A", "B"))
    switches = {"holidays": "false", "detrend": "true", "deseasonalise": "0", "counterfactual": "1"}
    container.write_hyperparameters({"task": "evaluate", "harmonics": "1", "test_mode": "true", **switches, **SMALL})
    ended = container.run("training")
    assert ended.code == 0, ended.err
    trials = pd.read_parquet(container.root / "model" / "trials.parquet")
    configuration = Configuration(harmonics=1, holidays=False, detrend=True)
    assert list(trials["configuration"]) == [configuration.name] * 2
    assert (trials["n_origins"] <= 5).all()
    assert float(METRIC.findall(ended.out)[-1]) == trials["loss"].mean()
    assert trials["chosen"].all()


def test_quick_search_tries_four(container) -> None:
    container.write_channel("counterfactual", span_of("A"))
    container.write_hyperparameters({"task": "tune", **SMALL, "search": "quick"})
    assert container.run("training").code == 0
    trials = pd.read_parquet(container.root / "model" / "trials.parquet")
    assert set(trials["configuration"]) == {configuration.name for configuration in quick_configurations()}


def test_published_scoring_leaves_out_the_last_horizon(container) -> None:
    container.write_channel("counterfactual", span_of("A"))
    switches = dict.fromkeys(("holidays", "detrend", "deseasonalise", "counterfactual"), "false")
    container.write_hyperparameters({"task": "evaluate", "harmonics": "1", "scoring": "published", **switches, **SMALL})
    assert container.run("training").code == 0
    errors = pd.read_parquet(container.root / "model" / "errors.parquet")
    assert errors["horizon"].max() == 3


def test_series_that_fails_does_not_stop_the_others(container) -> None:
    table = span_of("A", "B")
    table.loc[table["unique_id"] == "B", ["y", "counterfactual"]] = -1.0
    container.write_channel("counterfactual", table)
    container.write_hyperparameters({"task": "tune", "test_mode": "true", **SMALL})
    ended = container.run("training")
    assert ended.code == 0, ended.err
    trials = pd.read_parquet(container.root / "model" / "trials.parquet")
    assert list(trials.loc[trials["chosen"], "unique_id"]) == ["A"]
    failures = json.loads((container.root / "output" / "data" / "failures.json").read_text())
    assert failures["B"]["error"] == "NotPositiveError"
    assert "not positive" in failures["B"]["message"]
    assert METRIC.search(ended.out)


def test_job_fails_where_no_series_can_be_scored(container) -> None:
    container.write_channel("counterfactual", span_of("A", weeks=100))
    container.write_hyperparameters({"task": "tune", **SMALL})
    ended = container.run("training")
    assert ended.code == 1
    failure = (container.root / "output" / "failure").read_text()
    assert failure.startswith("NoTrialError: ")
    assert "100 weeks" in failure or "96 weeks" in failure
    assert not (container.root / "model" / "trials.parquet").exists()


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        pytest.param({"week": ""}, "MissingParameterError: hyper-parameter 'week' is missing", id="missing"),
        pytest.param({"week": "2023-11-17"}, "TableError: series A ends on 2023-11-10", id="another week"),
        pytest.param({"scoring": "unfair"}, "'scoring' is 'unfair', expected one of fair, published", id="choice"),
        pytest.param({"max_harmonic": "3"}, "unknown hyper-parameter 'max_harmonic'; known are task", id="unknown"),
        pytest.param({"task": "fit"}, "MissingChannelError: input 'tuning_trials' is missing", id="channel"),
        pytest.param({"levels": "[80, 80]"}, "'levels' is '[80, 80]', expected a JSON list", id="levels"),
        pytest.param({"task": "evaluate"}, "hyper-parameter 'harmonics' is missing", id="no configuration"),
        pytest.param({"search": "endless"}, "'search' is 'endless', expected one of exhaustive, quick", id="search"),
    ],
)
def test_wrong_input_fails_by_name(container, change: dict[str, str], failure: str) -> None:
    container.write_channel("counterfactual", span_of("A"))
    container.write_hyperparameters({"task": "tune", **SMALL, **change})
    ended = container.run("training")
    assert ended.code == 1
    assert failure in (container.root / "output" / "failure").read_text()
    assert failure in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        pytest.param((), "UsageError: arguments are [], expected ['train']", id="none"),
        pytest.param(("serve",), "UsageError: arguments are ['serve']", id="serve"),
    ],
)
def test_other_command_lines_are_refused(container, arguments: tuple[str, ...], failure: str) -> None:
    assert container.run("training", "-m", "containers.training", *arguments).code == 1
    assert failure in (container.root / "output" / "failure").read_text()


LONG = {"task": "tune", **SMALL, "step": "1", "max_harmonics": "3"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_stop_keeps_the_origins_that_are_finished_and_says_how_many(container, workers: str) -> None:
    container.write_channel("counterfactual", span_of("A", weeks=560))
    container.write_hyperparameters({**LONG, "workers": workers})
    process = container.start("training")
    assert process.stdout is not None
    while "groups of windows" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1.5)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert time.monotonic() - began < 10
    assert "SIGTERM" in (container.root / "output" / "failure").read_text()
    unfinished = json.loads((container.root / "model" / "unfinished.json").read_text())
    assert 1 <= unfinished["finished_origins"] < unfinished["origins"] == 560 - 4 - 110 - 4 + 1
    assert f"stopped after {unfinished['finished_origins']} of {unfinished['origins']} origins" in out
    trials = pd.read_parquet(container.root / "model" / "trials.parquet")
    errors = pd.read_parquet(container.root / "model" / "errors.parquet")
    assert len(trials) == 16 * 5
    assert set(trials["n_origins"]) == {unfinished["finished_origins"]} == {errors["cutoff"].nunique()}
    assert (errors.groupby(["configuration", "cutoff"]).size() == 4).all()
    assert METRIC.search(out) is None


@pytest.mark.parametrize("whole_group", [False, True], ids=["the first process", "the whole group"])
def test_stop_before_an_origin_is_finished_leaves_no_leaderboard(container, whole_group: bool) -> None:
    container.write_channel("counterfactual", span_of("A", weeks=560))
    container.write_hyperparameters({**LONG, "workers": "2", "max_harmonics": "12"})
    process = container.start("training")
    assert process.stdout is not None
    assert "preparing the search engine" in process.stdout.readline()
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    process.communicate(timeout=200)  # what is being compiled is compiled to its end
    assert process.returncode == 143
    assert "SIGTERM" in (container.root / "output" / "failure").read_text()
    assert list(container.root.glob("model/*")) == []


@pytest.mark.slow
def test_tune_on_gasoline_in_test_mode(container, shared_data: Path) -> None:
    history = pd.read_csv(shared_data / "weekly" / "WGFUPUS2.csv", parse_dates=["date"]).tail(567)
    table = pd.DataFrame({"unique_id": "WGFUPUS2", "ds": history["date"], "y": history["value"].astype(float)})
    container.write_channel("counterfactual", table.assign(counterfactual=table["y"], replaced=False))
    content = {"week": WEEK, "code_version": "1", "data_checksum": "0", "workers": "2"}
    container.write_hyperparameters({"task": "tune", "test_mode": "true", **content})
    ended = container.run("training")
    assert ended.code == 0, ended.err
    trials = pd.read_parquet(container.root / "model" / "trials.parquet")
    assert len(trials) == 224
    assert (trials["n_origins"] == 5).all()
    assert (trials["status"] == "ok").all()
    # Five origins of 2022 and 2023: an RMSE of a few percent of demand.
    assert 150 < trials["loss"].min() ** 0.5 < 600
