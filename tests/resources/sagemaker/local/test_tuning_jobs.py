"""Tuning jobs: their trials, their counters, how they end, what they refuse."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from resources.sagemaker.local.processes import started_at
from tests.environments import environment

ROOT = Path(__file__).parents[4]

BOWL = """
import json, os
from pathlib import Path
values = json.loads(Path(os.environ["SM_ML_ROOT"], "input/config/hyperparameters.json").read_text())
print(json.dumps(values))
x = float(values["x"])
if x > float(values.get("fail_above", 2)):
    raise SystemExit(1)
print("loss:", (x - float(values["shift"])) ** 2)
"""


def waiting_for(go):
    """A trial that ends once a file is there."""
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)\n"
    return f"print('ready', flush=True)\n{wait}{BOWL}"


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_LOCAL_TRIALS_AT_ONCE", "4")


def test_trials_are_training_jobs_and_the_best_of_them_is_named(twin):
    twin.command(train=BOWL)
    request = twin.tuning_request("search", Strategy="Bayesian")
    request["Tags"] = [{"Key": "team", "Value": "forecasting"}]
    twin.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = twin.tuned("search")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"] | job["ObjectiveStatusCounters"] == {
        "Completed": 6,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
        "Succeeded": 6,
        "Pending": 0,
        "Failed": 0,
    }
    trials = twin.trials("search", PaginationConfig={"PageSize": 4})
    assert len(trials) == 6
    assert all(re.fullmatch(r"search-00[1-6]-[0-9a-f]{8}", trial["TrainingJobName"]) for trial in trials)
    reached = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in trials]
    expected = [(float(trial["TunedHyperParameters"]["x"]) - 0.5) ** 2 for trial in trials]
    assert reached == pytest.approx(expected)
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == min(reached)
    by_objective = twin.trials("search", SortBy="FinalObjectiveMetricValue")
    assert by_objective[0]["TrainingJobName"] == job["BestTrainingJob"]["TrainingJobName"]
    first = twin.sagemaker.describe_training_job(TrainingJobName=trials[0]["TrainingJobName"])
    assert first["TuningJobArn"] == job["HyperParameterTuningJobArn"]
    x = trials[0]["TunedHyperParameters"]["x"]
    assert first["HyperParameters"] == {"shift": "0.5", "x": x, "_tuning_objective_metric": "loss"}
    assert json.loads(twin.lines("TrainingJobs", f"{trials[0]['TrainingJobName']}/")[0]) == first["HyperParameters"]
    assert twin.sagemaker.list_tags(ResourceArn=first["TrainingJobArn"])["Tags"] == request["Tags"]
    (listed,) = twin.sagemaker.list_hyper_parameter_tuning_jobs(NameContains="sear")["HyperParameterTuningJobSummaries"]
    assert (listed["Strategy"], listed["HyperParameterTuningJobStatus"]) == ("Bayesian", "Completed")


def test_a_grid_tries_every_combination_and_largest_is_best_where_it_is_to_be_maximised(local):
    local.command(train=BOWL)
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["0.1", "0.5", "0.9", "1.9"]}]}
    objective = {"Type": "Maximize", "MetricName": "loss"}
    job = local.tune(
        "grid",
        Strategy="Grid",
        ParameterRanges=ranges,
        ResourceLimits={"MaxParallelTrainingJobs": 4},
        HyperParameterTuningJobObjective=objective,
    )
    assert sorted(trial["TunedHyperParameters"]["x"] for trial in local.trials("grid")) == ["0.1", "0.5", "0.9", "1.9"]
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "1.9"}


def test_trials_that_fail_are_counted_and_the_others_go_on(local):
    local.command(train=BOWL)
    request = local.tuning_request("some")
    request["TrainingJobDefinition"]["StaticHyperParameters"]["fail_above"] = "0.6"
    local.sagemaker.create_hyper_parameter_tuning_job(**request)
    job = local.tuned("some")
    failed = [trial for trial in local.trials("some") if trial["TrainingJobStatus"] == "Failed"]
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert 0 < len(failed) < 6
    assert (
        job["TrainingJobStatusCounters"]["NonRetryableError"] == job["ObjectiveStatusCounters"]["Failed"] == len(failed)
    )
    assert all(trial["ObjectiveStatus"] == "Failed" and "exit code: 1" in trial["FailureReason"] for trial in failed)
    by_objective = local.trials("some", SortBy="FinalObjectiveMetricValue")
    assert len(by_objective) == 6 - len(failed), "trials without an objective are not in that list"


@pytest.mark.parametrize("source", ["raise SystemExit(3)", "print('no metric')"], ids=["fail", "no metric"])
def test_a_tuning_job_of_which_no_trial_succeeds_fails_after_five(local, source):
    local.command(train=source)
    limits = {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 1}
    job = local.tune("none", ResourceLimits=limits)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert len(local.trials("none")) == 5
    assert "BestTrainingJob" not in job


def test_stopping_a_tuning_job_stops_its_trials(twin, until):
    twin.command(train=waiting_for(twin.root / "never"))
    twin.sagemaker.create_hyper_parameter_tuning_job(**twin.tuning_request("search"))
    until(lambda: len(twin.trials("search", StatusEquals="InProgress")) == 2, "two trials")
    twin.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    job = twin.tuned("search")
    assert job["HyperParameterTuningJobStatus"] == "Stopped"
    assert {trial["TrainingJobStatus"] for trial in twin.trials("search")} == {"Stopped"}
    assert job["TrainingJobStatusCounters"]["Stopped"] == len(twin.trials("search"))
    with pytest.raises(ClientError, match="in status Stopped"):
        twin.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")


def test_a_killed_supervisor_is_followed_by_another_that_makes_the_trials_it_would_have_made(local, until):
    local.command(train=BOWL)
    local.tune("whole", Strategy="Bayesian")
    go = local.root / "go"
    local.command(train=waiting_for(go))
    local.sagemaker.create_hyper_parameter_tuning_job(**local.tuning_request("killed", Strategy="Bayesian"))
    until(lambda: len(local.trials("killed")) == 2, "two trials")
    supervisor = int((local.root / "tuning/killed/lock").read_text())
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: started_at(supervisor) is None, "end of the supervisor")
    go.touch()
    assert local.tuned("killed")["HyperParameterTuningJobStatus"] == "Completed"
    assert int((local.root / "tuning/killed/lock").read_text()) != supervisor
    whole, killed = ([trial["TunedHyperParameters"] for trial in local.trials(name)] for name in ("whole", "killed"))
    assert whole == killed
    assert len(killed) == 6


def test_a_tuning_job_whose_folder_is_removed_starts_nothing_more(local, until):
    go = local.root.with_name("go")
    local.command(train=waiting_for(go))
    local.sagemaker.create_hyper_parameter_tuning_job(**local.tuning_request("search"))
    logs = local.root / "logs"
    until(lambda: logs.exists() and local.lines("TrainingJobs", "search-") == ["ready"] * 2, "two trials at rest")
    shutil.rmtree(local.root)
    go.touch()
    until(lambda: local.pids() == [], "end of the processes", 5)
    assert not (local.root / "train").exists()


def test_a_deleted_tuning_job_leaves_its_trials_and_frees_its_name(local):
    local.command(train=BOWL)
    local.tune("search")
    (name, *_) = [trial["TrainingJobName"] for trial in local.trials("search")]
    with pytest.raises(
        local.sagemaker.exceptions.ResourceInUse, match="search, already exists. Choose a different name"
    ):
        local.sagemaker.create_hyper_parameter_tuning_job(**local.tuning_request("search"))
    local.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="search")
    with pytest.raises(local.sagemaker.exceptions.ResourceNotFound, match="can't find a tuning job called search"):
        local.trials("search")
    assert local.sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Completed"
    assert local.tune("search")["TrainingJobStatusCounters"]["Completed"] == 6


@pytest.mark.slow
def test_a_bayesian_job_without_optuna_fails_and_names_the_extra(local):
    local.command(train=BOWL)
    create = (
        "import json, pathlib, sys\nfrom resources.sagemaker.local.clients import local_client\n"
        "client = local_client('sagemaker', pathlib.Path(sys.argv[1]))\n"
        "client.create_hyper_parameter_tuning_job(**json.loads(sys.argv[2]))\n"
    )
    request = json.dumps(local.tuning_request("job", Strategy="Bayesian"))
    command = [environment("processing"), "-c", create, local.root, request]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    job = local.tuned("job")
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert "forecast-assets[tuning]" in job["FailureReason"]
    assert local.trials("job") == []


def ranges(kind, **item):
    return {"ParameterRanges": {f"{kind}ParameterRanges": [{"Name": "x"} | item]}}


LIMITS = {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"metric": "mse"}, "A metric is required for this hyperparameter tuning job objective", id="metric"
        ),
        pytest.param(
            ranges("Integer", MinValue="3", MaxValue="1"), "must be less than its MaxValue", id="range upside down"
        ),
        pytest.param(ranges("Integer", MinValue="1.5", MaxValue="3"), "ranges are invalid", id="no whole number"),
        pytest.param(
            ranges("Continuous", MinValue="0", MaxValue="1", ScalingType="Logarithmic"), "greater than 0", id="log of 0"
        ),
        pytest.param(
            ranges("Continuous", MinValue="0", MaxValue="1", ScalingType="ReverseLogarithmic"),
            "0<=x<1.0",
            id="log of 1",
        ),
        pytest.param(
            ranges("Categorical", Values=["1", "2", "3"]),
            r"combinations for the provided ranges \[3.0\] must be equal or greater than .* MaxNumberOfJobs, \[6\]",
            id="few combinations",
        ),
        pytest.param({"ParameterRanges": {}}, "searches 1 to 30", id="no range"),
        pytest.param(ranges("Categorical", Name="shift", Values=["1"] * 9), "more than once", id="tuned and static"),
        pytest.param({"Strategy": "Grid"}, "categorical hyperparameter ranges only", id="grid of numbers"),
        pytest.param(
            {"Strategy": "Grid", **ranges("Categorical", Values=list("abcdefg"))},
            r"\[7\], or not be given",
            id="part of a grid",
        ),
        pytest.param(
            {"ResourceLimits": LIMITS | {"MaxParallelTrainingJobs": 7}}, "MaxParallelTrainingJobs", id="more at once"
        ),
        pytest.param({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "MaxNumberOfTrainingJobs", id="no number"),
        pytest.param({"Strategy": "Hyperband"}, "Hyperband strategy is not supported", id="Hyperband"),
        pytest.param({"TrainingJobEarlyStoppingType": "Auto"}, "Early stopping is not supported", id="early stopping"),
        pytest.param(
            {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.1}}, "is not supported", id="completion"
        ),
    ],
)
def test_a_tuning_job_is_refused(local, changes, words):
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_hyper_parameter_tuning_job(**local.tuning_request("job", **changes))
    assert local.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []


@pytest.mark.parametrize(
    ("definition", "more", "words"),
    [
        pytest.param({"EnableManagedSpotTraining": True}, {}, "Invalid MaxWaitTimeInSeconds", id="spot without a wait"),
        pytest.param({"ResourceConfig": {"InstanceCount": 1}}, {}, "InstanceType", id="no instance"),
        pytest.param({}, {"Autotune": {"Mode": "Enabled"}}, "Autotune is not supported", id="autotune"),
        pytest.param(
            {},
            {
                "WarmStartConfig": {
                    "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "a"}],
                    "WarmStartType": "TransferLearning",
                }
            },
            "A warm start is not supported",
            id="warm start",
        ),
    ],
)
def test_a_definition_of_trials_is_refused(local, definition, more, words):
    request = local.tuning_request("job")
    request["TrainingJobDefinition"] |= definition
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_hyper_parameter_tuning_job(**request, **more)
