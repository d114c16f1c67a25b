"""The gate's processing job, run as the process that SageMaker starts."""

import io
import json
import tarfile

import pandas as pd
import pytest

from forecasting import artifact, forecaster
from forecasting.gate import verdicts
from tests.served import small_artifact

WEEK = "2023-11-10"
ENVIRONMENT = {"FORECAST_TASK": "gate", "FORECAST_WEEK": WEEK, "FORECAST_GATE_TOLERANCE": "1.05"}


def scores_of(mae: dict[str, dict[str, float]]) -> pd.DataFrame:
    rows = [
        {"unique_id": series, "role": role, "mae": value, "mase": 1.0, "rmse": value, "bias": 0.0}
        for series, roles in mae.items()
        for role, value in roles.items()
    ]
    return pd.DataFrame(rows)


GOOD = {"candidate": 1.0, "seasonal_naive": 2.0}
BAD = {"candidate": 3.0, "seasonal_naive": 2.0}


def left_by_the_fit(scores: pd.DataFrame, model: dict[str, object]) -> dict[str, dict[str, bytes]]:
    """The archives of a fit by name; the stand-in of both series is that of the first."""
    table = io.BytesIO()
    scores.to_parquet(table, index=False)
    entry = model["series"]["WDIUPUS2"]
    stand_ins = {name: entry | {"unique_id": name} for name in model["series"]}
    return {
        "model.tar.gz": {"forecaster.json": json.dumps(model).encode()},
        "output.tar.gz": {"scores.parquet": table.getvalue(), "fallback.json": json.dumps(stand_ins).encode()},
    }


def write(container, archives: dict[str, dict[str, bytes]]) -> None:
    folder = container.root / "processing" / "input" / "fit"
    folder.mkdir(parents=True)
    for name, files in archives.items():
        with tarfile.open(folder / name, "w:gz") as archive:
            for member, content in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def said_of(container) -> dict[str, object]:
    found: dict[str, object] = json.loads(
        (container.root / "processing" / "output" / "verdict" / "verdict.json").read_text()
    )
    return found


def model_of(container) -> dict[str, object]:
    return artifact.unpack((container.root / "processing" / "output" / "model" / "model.tar.gz").read_bytes())


def test_a_series_that_is_held_back_has_its_stand_in(container) -> None:
    model, scores = small_artifact(), scores_of({"WDIUPUS2": GOOD, "WGFUPUS2": BAD})
    write(container, left_by_the_fit(scores, model))
    ended = container.run("processing", environment=ENVIRONMENT)
    assert ended.code == 0, ended.err
    said, made = said_of(container), model_of(container)
    expected = verdicts(scores, tolerance=1.05).set_index("unique_id")["passed"]
    assert (said["series_passed"], said["series_held_back"]) == (expected.sum(), (~expected).sum()) == (1, 1)
    assert said["digest"] == made["digest"]
    assert said["facts"]["held_back"] == "WGFUPUS2"
    assert made["series"]["WDIUPUS2"] == model["series"]["WDIUPUS2"]
    assert made["series"]["WGFUPUS2"]["model"] == "seasonal_naive"
    metrics = json.loads((container.root / "processing" / "output" / "model" / "metrics.json").read_text())
    assert metrics["regression_metrics"]["mae"]["value"] == 2.0
    rows = forecaster.forecast(made["series"]["WGFUPUS2"], horizon=2, levels=[80], interval="normal")
    assert len(rows) == 2


def test_where_no_series_passes_the_job_says_so_and_has_done_its_work(container) -> None:
    write(container, left_by_the_fit(scores_of({"WDIUPUS2": BAD, "WGFUPUS2": BAD}), small_artifact()))
    assert container.run("processing", environment=ENVIRONMENT).code == 0
    said = said_of(container)
    assert said["series_passed"] == 0
    assert str(said["reason"]).startswith(f"No series of {WEEK} passes the gate: held back, worse than the seasonal")
    assert len(str(said["reason"])) <= 512


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        pytest.param(lambda found: found["output.tar.gz"].pop("scores.parquet"), "lacks scores.parquet", id="scores"),
        pytest.param(lambda found: found["output.tar.gz"].pop("fallback.json"), "lack fallback.json", id="stand-ins"),
        pytest.param(lambda found: found.pop("model.tar.gz"), "model.tar.gz is not an archive", id="archive"),
        pytest.param(
            lambda found: found["output.tar.gz"].update({"scores.parquet": b"x"}), "not a Parquet file", id="damaged"
        ),
    ],
)
def test_what_the_fit_did_not_leave_is_named(container, spoil, failure: str) -> None:
    archives = left_by_the_fit(scores_of({"WDIUPUS2": GOOD, "WGFUPUS2": GOOD}), small_artifact())
    spoil(archives)
    write(container, archives)
    assert container.run("processing", environment=ENVIRONMENT).code == 1
    assert failure in (container.root / "output" / "message").read_text()
    assert not (container.root / "processing" / "output" / "verdict").exists()
