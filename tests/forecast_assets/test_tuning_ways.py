"""The two ways to search on the real figures: one job, and SageMaker automatic tuning; and what befalls them."""

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast_assets.automatic import _failed
from forecast_assets.requests import automatic_request, tuning_request
from forecast_assets.settings import load_settings
from forecasting.configuration import DEFAULT, search_space
from forecasting.tuning import exhaustive_configurations
from resources.sagemaker.local.clients import register_image
from resources.sagemaker.local.interruption import interrupt
from tests.world import ROOT, SERIES, WEEK, World

BEFORE = ("release", "observations", "outlier_flags", "structural_break", "counterfactual")

# The training image, of which every trial of one K fails by name and every one of another is killed.
UNLUCKY = """
import json, os, signal, sys
from pathlib import Path
root = Path(os.environ["SM_ML_ROOT"])
given = json.loads((root / "input/config/hyperparameters.json").read_text())
if given.get("harmonics") == "1":
    (root / "output/failure").write_text("NoTrialError: nothing; A: SingularError: its design is singular")
    sys.exit(1)
if given.get("harmonics") == "2":
    os.kill(os.getpid(), signal.SIGKILL)
os.execv(sys.executable, [sys.executable, "-m", "containers.training", "train"])
"""

# The training image, which waits in its first life once two origins are done.
PAUSING = """
import runpy, sys, time
from pathlib import Path
from containers.training.checkpoint import Checkpoint
mark, keep = Path({mark!r}), Checkpoint.keep

def pausing(self, search, *, now=False):
    keep(self, search, now=now)
    if not now and search.origins[0] == 2:
        mark.touch()
        time.sleep(60)

if not mark.exists():
    Checkpoint.keep = pausing
sys.argv = ["containers.training", "train"]
runpy.run_module("containers.training", run_name="__main__")
"""


@pytest.fixture(scope="module")
def exhaustive(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        world = World(tmp_path_factory.mktemp("exhaustive") / "lake", shared_data / "weekly")
        assert world.materialize(*BEFORE, "tuning_trials").success
        yield world


@pytest.fixture
def automatic(
    exhaustive: World, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], World]:
    """A world that searches automatically, so many trials a series."""

    def made(trials: int) -> World:
        monkeypatch.chdir(ROOT)
        monkeypatch.setenv("FORECAST_SEARCH", "automatic")
        monkeypatch.setenv("FORECAST_AUTOMATIC__TRIALS", str(trials))
        monkeypatch.setenv("FORECAST_AUTOMATIC__PARALLEL", "3")
        shutil.copytree(
            exhaustive.lake.root, tmp_path / "lake", ignore=shutil.ignore_patterns("_*", "tuning_*", "jobs")
        )
        return World(tmp_path / "lake", shared_data / "weekly")

    return made


def board(world: World) -> pd.DataFrame:
    return world.lake.read("tuning_trials", WEEK)


@pytest.mark.slow
def test_automatic_tuning_ends_in_the_tables_of_the_exhaustive_search(
    automatic: Callable[[int], World], exhaustive: World
) -> None:
    world = automatic(6)
    outcome = world.run("weekly_refresh")
    assert outcome.succeeded, outcome.reasons
    found, whole = board(world), board(exhaustive)
    assert list(found.columns) == list(whole.columns)
    assert dict(found.dtypes) == dict(whole.dtypes)
    assert set(found.groupby("unique_id").size()) <= {6, 7}, "six trials, and the default"
    assert set(found.loc[found["configuration"] == DEFAULT.name, "unique_id"]) == set(SERIES)
    assert found.groupby("unique_id")["chosen"].sum().eq(1).all()
    key = ["unique_id", "configuration"]
    one, other = (
        frame.set_index(key).drop(columns=["rank", "chosen", "seconds", "protocol"]) for frame in (found, whole)
    )
    pd.testing.assert_frame_equal(one.sort_index(), other.loc[one.index].sort_index(), check_exact=True)
    errors, all_errors = (each.lake.read("tuning_errors", WEEK) for each in (world, exhaustive))
    assert list(errors.columns) == list(all_errors.columns)
    together = errors.merge(all_errors, how="left", indicator=True)
    assert (together["_merge"] == "both").all(), "the errors of a configuration are the same, whoever made them"
    again = world.materialize("tuning_trials")
    assert again.success
    jobs = world.platform.sagemaker.client().list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert len(jobs) == len(SERIES), "tuning jobs that ran for the same request are taken up"
    world.close()


@pytest.mark.slow
def test_trials_that_fail_are_rows_of_the_leaderboard_with_their_reasons(
    automatic: Callable[[int], World], tmp_path: Path
) -> None:
    world = automatic(10)
    sagemaker = world.platform.sagemaker
    sagemaker.client()
    script = tmp_path / "unlucky.py"
    script.write_text(UNLUCKY)
    register_image(sagemaker.root, sagemaker.image("training"), {"train": [sys.executable, str(script)]})
    assert world.materialize("tuning_trials").success
    found = board(world)
    by_harmonics = dict(iter(found.groupby("harmonics")))
    assert set(by_harmonics["1"]["status"]) == {"SingularError"}
    assert set(by_harmonics["1"]["reason"]) == {"its design is singular"}
    assert set(by_harmonics["2"]["status"]) == {"AlgorithmError"}
    assert by_harmonics["2"]["reason"].str.contains("exit code: 137").all()
    assert set(by_harmonics["aicc"]["status"]) == {"ok"}
    failed = found[found["status"] != "ok"]
    assert failed["loss"].isna().all()
    assert not failed["chosen"].any()
    assert found.groupby("unique_id")["chosen"].sum().eq(1).all()
    assert set(world.lake.read("tuning_errors", WEEK)["configuration"]).isdisjoint(failed["configuration"])


@pytest.mark.slow
def test_an_interrupted_search_goes_on_and_ends_with_the_same_leaderboard(
    exhaustive: World,
    tmp_path: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    shutil.copytree(exhaustive.lake.root, tmp_path / "lake", ignore=shutil.ignore_patterns("_*", "tuning_*", "jobs"))
    world = World(tmp_path / "lake", shared_data / "weekly")
    sagemaker = world.platform.sagemaker
    client = sagemaker.client()
    script, reached = tmp_path / "pausing.py", tmp_path / "reached"
    script.write_text(PAUSING.format(mark=str(reached)))
    register_image(sagemaker.root, sagemaker.image("training"), {"train": [sys.executable, str(script)]})

    def take_away() -> None:
        while not reached.exists():
            time.sleep(0.05)
        [job] = client.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
        interrupt(sagemaker.root, job["TrainingJobName"])

    thread = threading.Thread(target=take_away, daemon=True)
    thread.start()
    assert world.materialize("tuning_trials").success
    assert not thread.is_alive()
    (summary,) = client.list_training_jobs(NameContains="tuning-trials")["TrainingJobSummaries"]
    job = client.describe_training_job(TrainingJobName=summary["TrainingJobName"])
    assert [step["Status"] for step in job["SecondaryStatusTransitions"]].count("Interrupted") == 1
    assert "going on from a checkpoint: 2 of 5 origins are done" in capfd.readouterr().out
    for table in ("tuning_trials", "tuning_errors"):
        one, other = (
            each.lake.read(table, WEEK).drop(columns="seconds", errors="ignore") for each in (world, exhaustive)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert list(world.lake.storage.keys("jobs/checkpoints")) == []


# -- requests -------------------------------------------------------------------------------------------------------


class Nowhere:
    """Tables that are all empty, and S3 by name."""

    role_arn = "arn:aws:iam::000000000000:role/jobs"

    def read(self, *_: object) -> pd.DataFrame:
        return pd.DataFrame({"unique_id": []})

    def image(self, name: str) -> str:
        return f"images/{name}"

    def uri(self, key: str) -> str:
        return f"s3://lake/{key}"


def requests(monkeypatch: pytest.MonkeyPatch, **variables: str) -> tuple[dict[str, Any], dict[str, Any]]:
    monkeypatch.chdir(ROOT)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings, nowhere = load_settings(), Nowhere()
    arguments: Any = (settings, nowhere, nowhere, WEEK)
    return tuning_request(*arguments), automatic_request(*arguments, series="WGFUPUS2")


def test_the_search_may_be_interrupted_and_finds_its_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    request, tuning = requests(monkeypatch)
    for each in (request, tuning["TrainingJobDefinition"]):
        assert each["EnableManagedSpotTraining"] is True
        limits = each["StoppingCondition"]
        assert limits["MaxWaitTimeInSeconds"] >= limits["MaxRuntimeInSeconds"]
        assert each["CheckpointConfig"]["S3Uri"].startswith("s3://lake/jobs/checkpoints/tuning-2023-11-10-")
        assert each["CheckpointConfig"]["S3Uri"].endswith("/")
    again, _ = requests(monkeypatch)
    assert again == request
    other, _ = requests(monkeypatch, FORECAST_STEP="8")
    assert other["CheckpointConfig"] != request["CheckpointConfig"]
    steady, _ = requests(monkeypatch, FORECAST_TUNING__SPOT="false")
    assert steady["EnableManagedSpotTraining"] is False
    assert "MaxWaitTimeInSeconds" not in steady["StoppingCondition"]


def test_a_tuning_job_searches_what_the_exhaustive_search_does(monkeypatch: pytest.MonkeyPatch) -> None:
    _, tuning = requests(monkeypatch)
    config, definition = tuning["HyperParameterTuningJobConfig"], tuning["TrainingJobDefinition"]
    ranges = {item["Name"]: item["Values"] for item in config["ParameterRanges"]["CategoricalParameterRanges"]}
    assert ranges == {name: list(values) for name, values in search_space().items()}
    assert not ranges.keys() & definition["StaticHyperParameters"].keys()
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 10}
    metric = config["HyperParameterTuningJobObjective"]["MetricName"]
    assert [item["Name"] for item in definition["AlgorithmSpecification"]["MetricDefinitions"]] == [metric]
    instances = definition["HyperParameterTuningResourceConfig"]
    assert len(instances["InstanceConfigs"]) == 3
    _, small = requests(monkeypatch, FORECAST_MAX_HARMONICS="0", FORECAST_AUTOMATIC__TRIALS="500")
    limits = small["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits["MaxNumberOfTrainingJobs"] == len(exhaustive_configurations(max_harmonics=0)) == 32


@pytest.mark.parametrize(
    ("summary", "status", "reason"),
    [
        pytest.param(
            {"FailureReason": "AlgorithmError: NoTrialError: none; W1: RankError: of 3; it is 2, exit code: 1"},
            "RankError",
            "of 3; it is 2",
            id="the mathematics",
        ),
        pytest.param(
            {"FailureReason": "InternalServerError: lost"},
            "InternalServerError",
            "InternalServerError: lost",
            id="lost",
        ),
        pytest.param({"TrainingJobStatus": "Stopped"}, "Stopped", "the training job was Stopped", id="stopped"),
    ],
)
def test_a_trial_that_did_not_complete_says_why(summary: dict[str, str], status: str, reason: str) -> None:
    tuned = {
        "harmonics": "3",
        "holidays": "false",
        "detrend": "true",
        "deseasonalise": "false",
        "counterfactual": "true",
    }
    row = _failed("W1", {"TunedHyperParameters": tuned, "TrainingJobStatus": "Failed", **summary})
    assert (row["configuration"], row["status"], row["reason"]) == ("dhr(K=3,detrend)", status, reason)
    assert json.dumps(row["harmonics"]) == '"3"'
