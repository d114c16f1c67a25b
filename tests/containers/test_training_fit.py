"""The task fit, run as the process that SageMaker starts."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from containers.training.series import RoleFailure, RoleFit, RoleTask, fit_role
from forecasting import artifact, forecaster, gate, intervals, models
from forecasting.configuration import SEASONAL_NAIVE, Configuration

WEEK = "2023-11-10"
CUTOFF = "2023-09-15"
WEEKS, HORIZON = 180, 8
CHOSEN = Configuration(harmonics=1, holidays=False)
CHAMPION = Configuration(harmonics=2, holidays=False)
HYPERPARAMETERS = {
    "task": "fit",
    "week": WEEK,
    "horizon": str(HORIZON),
    "max_harmonics": "2",
    "levels": "[80, 90, 95]",
    "workers": "1",
    "code_version": "7",
    "data_checksum": "c" * 64,
}


def span_of(*names: str) -> pd.DataFrame:
    t = np.arange(WEEKS)
    frames = []
    for seed, name in enumerate(names):
        noise = np.random.default_rng(seed).normal(0, 0.02, WEEKS)
        values = 9000 * np.exp(0.05 * np.sin(2 * np.pi * t / 52.18) + noise)
        ds = pd.date_range(end=WEEK, periods=WEEKS, freq="W-FRI")
        frames.append(pd.DataFrame({"unique_id": name, "ds": ds, "y": values}))
    table = pd.concat(frames, ignore_index=True)
    return table.assign(counterfactual=table["y"], replaced=False)


def errors_of(*names: str, configuration: Configuration = CHOSEN, origins: int = 6) -> pd.DataFrame:
    """Rolling-origin errors with the spread that the model claims."""
    rng = np.random.default_rng(5)
    rows = [
        {"unique_id": name, "configuration": configuration.name, "cutoff": cutoff, "horizon": h, "observed": True}
        for name in names
        for cutoff in pd.date_range(end="2023-06-02", periods=origins, freq="4W-FRI")
        for h in range(1, HORIZON + 1)
    ]
    table = pd.DataFrame(rows)
    table["ds"] = table["cutoff"] + pd.to_timedelta(7 * table["horizon"], unit="D")
    return table.assign(y=9000 * np.exp(rng.normal(0, 0.02, len(table))), mean=9000.0, se=0.02)


def write_inputs(
    container,
    span: pd.DataFrame,
    errors: pd.DataFrame,
    *,
    chosen: Mapping[str, Configuration],
    champions: Mapping[str, Configuration] | None = None,
) -> None:
    container.write_channel("counterfactual", span)
    container.write_hyperparameters(HYPERPARAMETERS)
    container.write_channel("tuning_errors", errors)
    container.write_channel("tuning_trials", configurations(chosen).assign(chosen=True))
    if champions is not None:
        container.write_channel("champions", configurations(champions))


def configurations(by_series: Mapping[str, Configuration]) -> pd.DataFrame:
    rows = [{"unique_id": name, **c.to_dict(), "harmonics": str(c.harmonics)} for name, c in by_series.items()]
    return pd.DataFrame(rows, columns=["unique_id", *(field.name for field in dataclasses.fields(Configuration))])


def outputs(container) -> dict[str, object]:
    folder = container.root / "output" / "data"
    tables = {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    return tables | {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_fit_makes_the_model_its_scores_and_its_stand_in(
    container, pipes_environment: tuple[dict[str, str], Callable[[], list[dict[str, object]]]]
) -> None:
    span = span_of("A", "B")
    write_inputs(
        container,
        span,
        errors_of("A", "B"),
        chosen={"A": CHOSEN, "B": CHOSEN},
        champions={"A": CHAMPION, "B": CHOSEN},
    )
    environment, messages = pipes_environment
    ended = container.run("training", environment=environment)
    assert ended.code == 0, ended.err

    model = forecaster.load((container.root / "model" / "forecaster.json").read_text())
    assert list(model["series"]) == ["A", "B"]
    assert model["provenance"] == {"week": WEEK, "code_version": "7", "data_checksum": "c" * 64}
    entry = model["series"]["A"]
    assert (entry["cutoff"], entry["n"]) == (WEEK, WEEKS)
    assert entry["conformal"]["scores"] == intervals.conformal_scores(errors_of("A"), horizon=HORIZON)
    assert entry["configuration"] == CHOSEN.to_dict()

    found = outputs(container)
    scores = found["scores"]
    assert list(zip(scores["unique_id"], scores["role"], scores["interval"], strict=True)) == [
        ("A", "candidate", "conformal"),
        ("A", "champion", "normal"),  # its errors were not part of the search
        ("A", "seasonal_naive", "normal"),
        ("B", "candidate", "conformal"),
        ("B", "champion", "conformal"),  # the candidate's configuration, hence its fit
        ("B", "seasonal_naive", "normal"),
    ]
    assert list(scores.columns[-6:]) == [f"{what}-{p}" for what in ("coverage", "width") for p in (80, 90, 95)]
    assert list(gate.verdicts(scores)["unique_id"]) == ["A", "B"]

    # The held-out forecasts are those of a fit that never saw the held-out weeks.
    series = span[span["unique_id"] == "A"].set_index("ds")["y"].rename("A")
    blind = models.fit(series[:CUTOFF], CHOSEN, max_harmonics=2).entry | {"conformal": entry["conformal"]}
    rows = forecaster.forecast(blind, horizon=HORIZON)
    held_out = found["held_out"]
    own = held_out[(held_out["unique_id"] == "A") & (held_out["role"] == "candidate")]
    assert (own["cutoff"] == pd.Timestamp(CUTOFF)).all()
    assert own["y"].tolist() == series.iloc[-HORIZON:].tolist()
    for column in ("horizon", "mean", "lo-80", "hi-95"):
        assert own[column].tolist() == [row[column] for row in rows]
    mae = (own["y"] - own["mean"]).abs().mean()
    assert scores.loc[0, "mae"] == pytest.approx(mae, rel=1e-12)
    past = series[:CUTOFF].to_numpy()
    assert scores.loc[0, "mase"] == pytest.approx(mae / np.abs(past[52:] - past[:-52]).mean(), rel=1e-12)
    assert entry["scores"]["held_out"]["mae"] == scores.loc[0, "mae"]
    assert entry["scores"]["in_sample"]["all_weeks"]["sigma"] == math.sqrt(entry["arima"]["sigma2"])
    assert entry["scores"]["in_sample"]["without_held_out"]["weeks"] == WEEKS - HORIZON

    assert set(found["residuals"]) == {"unique_id", "ds", "residual"}
    assert found["residuals"].groupby("unique_id").size().to_dict() == {"A": WEEKS, "B": WEEKS}
    assert list(found["diagnostics"]) == ["unique_id", "test", "lag", "statistic", "p_value"]
    tests = found["diagnostics"].groupby("unique_id")["test"].apply(list).to_dict()
    assert tests == {name: ["shapiro_wilk", *["ljung_box"] * 4] for name in "AB"}
    assert found["failures"] == {}
    # The champion stands in where it is another configuration; itself held back, it is no stand-in for itself.
    assert found["fallback"]["A"]["configuration"] == CHAMPION.to_dict()
    assert found["fallback"]["B"]["model"] == "seasonal_naive"
    assert all(forecaster.forecast(stand_in, interval="normal") for stand_in in found["fallback"].values())

    (report,) = [m["params"] for m in messages() if m["method"] == "report_asset_materialization"]
    assert report["data_version"] == artifact.digest(model)
    metadata = {name: value["raw_value"] for name, value in report["metadata"].items()}
    assert metadata["series"] == 2
    candidates = scores[scores["role"] == "candidate"]
    assert metadata["mean_mase"] == pytest.approx(candidates["mase"].mean(), abs=5e-5)
    assert {"mean_ratio_to_naive", "mean_coverage-80", "scores", "held_out_A", "held_out_B"} <= set(metadata)
    told = {
        "mase_A": scores.loc[0, "mase"],
        "coverage-80_A": scores.loc[0, "coverage-80"],
        "ratio_to_naive_A": scores.loc[0, "mae"] / scores.loc[2, "mae"],
        "bias_percent_A": 100 * (own["mean"] - own["y"]).mean() / own["y"].mean(),
    }
    assert {name: metadata[name] for name in told} == pytest.approx(told, rel=1e-5)


def test_same_input_gives_the_same_bytes_however_many_workers(container, tmp_path) -> None:
    models_made = []
    for workers in ("1", "2"):
        container.root = tmp_path / workers
        write_inputs(container, span_of("A", "B"), errors_of("A", "B"), chosen={"A": CHOSEN, "B": CHOSEN})
        container.write_hyperparameters(HYPERPARAMETERS | {"workers": workers})
        assert container.run("training").code == 0
        models_made.append((container.root / "model" / "forecaster.json").read_bytes())
    assert models_made[0] == models_made[1]


def test_series_that_fails_is_recorded_and_the_others_have_a_model(container) -> None:
    span = span_of("A", "B", "C")
    span.loc[span["unique_id"] == "B", ["y", "counterfactual"]] = -1.0
    write_inputs(container, span, errors_of("A", "B"), chosen={"A": CHOSEN, "B": CHOSEN})
    ended = container.run("training")
    assert ended.code == 0, ended.err
    found = outputs(container)
    assert list(json.loads((container.root / "model" / "forecaster.json").read_text())["series"]) == ["A"]
    assert set(found["scores"]["unique_id"]) == {"A"}
    assert found["failures"]["B"]["error"] == "NotPositiveError"
    assert found["failures"]["B"]["message"].startswith("candidate: B: ")
    assert found["failures"]["C"]["message"] == "the search chose no configuration"


def test_job_fails_where_no_series_is_left(container) -> None:
    span = span_of("A").assign(y=-1.0, counterfactual=-1.0)
    write_inputs(container, span, errors_of("A"), chosen={"A": CHOSEN})
    assert container.run("training").code == 1
    failure = (container.root / "output" / "failure").read_text()
    assert failure.startswith("NoModelError: no series has a model; A: NotPositiveError: candidate: A: ")
    assert not (container.root / "model" / "forecaster.json").exists()


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        pytest.param({"harmonics": "many"}, "configuration of A: harmonics 'many'", id="value"),
        pytest.param({"model": "crystal ball"}, "configuration of A: model 'crystal ball'", id="model"),
        pytest.param({"holidays": None}, "configuration of A: holidays", id="missing"),
    ],
)
def test_unusable_choice_is_named(container, change: dict[str, object], failure: str) -> None:
    write_inputs(container, span_of("A"), errors_of("A"), chosen={})
    container.write_channel("tuning_trials", configurations({"A": CHOSEN}).assign(chosen=True, **change))
    assert container.run("training").code == 1
    assert failure in (container.root / "output" / "failure").read_text()


def role_task(**changes: object) -> RoleTask:
    values = {
        "unique_id": "A",
        "role": "seasonal_naive",
        "configuration": SEASONAL_NAIVE,
        "span": span_of("A").drop(columns="unique_id"),
        "errors": errors_of("A").iloc[:0],
        "horizon": HORIZON,
        "levels": (80.0, 97.5),
        "season_length": 365.25 / 7,
        "max_harmonics": 2,
    }
    return RoleTask(**(values | changes))


def test_replaced_weeks_are_learnt_from_and_not_scored() -> None:
    span = span_of("A").drop(columns="unique_id")
    replaced = np.zeros(WEEKS, dtype=bool)
    replaced[-HORIZON:-2] = True
    span = span.assign(y=span["y"].where(~replaced, 1.0), replaced=replaced)
    made = fit_role(role_task(span=span))
    assert isinstance(made, RoleFit)
    assert made.score["weeks"] == 2
    assert made.score["mae"] < 1000  # of the two observed weeks, not of the six at 1
    assert math.log(1.0) not in made.entry["seasonal_naive"]["values"]
    assert {"coverage-97.5", "width-97.5"} <= set(made.score)


def test_observed_weeks_are_learnt_from_where_the_configuration_says_so() -> None:
    span = span_of("A").drop(columns="unique_id")
    span = span.assign(y=2 * span["counterfactual"])
    observed = Configuration(model="seasonal_naive", harmonics=0, holidays=False, counterfactual=False)
    made = fit_role(role_task(span=span, configuration=observed))
    assert isinstance(made, RoleFit)
    assert made.entry["seasonal_naive"]["values"][-1] == pytest.approx(math.log(span["y"].iloc[-1]))


def test_no_observed_error_gives_normal_intervals_and_says_so() -> None:
    replaced = errors_of("A", configuration=SEASONAL_NAIVE).assign(observed=False)
    made = fit_role(role_task(errors=replaced))
    assert isinstance(made, RoleFit)
    assert made.entry["conformal"] is None
    assert made.score["interval"] == made.entry["scores"]["held_out"]["interval"] == "normal"


def test_nothing_observed_among_the_held_out_weeks_is_a_named_failure() -> None:
    span = span_of("A").drop(columns="unique_id").assign(replaced=True)
    made = fit_role(role_task(span=span))
    assert isinstance(made, RoleFailure)
    assert made.error == "NothingHeldOutError"
    assert re.match(r"seasonal_naive: A: all 8 weeks after 2023-09-15 were replaced", made.message)
