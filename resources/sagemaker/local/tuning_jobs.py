"""The operations of hyper-parameter tuning jobs."""

import math

from resources.sagemaker.local.base import unsupported
from resources.sagemaker.local.jobs import Jobs
from resources.sagemaker.local.listing import page
from resources.sagemaker.local.store import ENDED, TRAINING_JOB, TUNING_JOB, Wire
from resources.sagemaker.local.suggestions import Categorical, Search, ranges_of
from resources.sagemaker.local.tuning import limit_of, resources_of, summary, trial_request, trials_of
from resources.sagemaker.local.wire import AwsError, invalid

_MOST_RANGES = 30


class TuningJobs(Jobs):
    """Tuning jobs: training jobs that a search makes."""

    def create_hyper_parameter_tuning_job(self, request: Wire) -> Wire:
        """CreateHyperParameterTuningJob."""
        name = request["HyperParameterTuningJobName"]
        _refuse_what_is_missing(request)
        config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
        _check_objective(config, definition)
        _check_ranges(config, definition)
        _check_limits(Search.of(name, config), config)
        if "ResourceConfig" in definition and "HyperParameterTuningResourceConfig" in definition:
            raise invalid("Provide either ResourceConfig or HyperParameterTuningResourceConfig, not both.")
        if "InstanceType" not in resources_of(definition):
            raise invalid("A training job definition must have a ResourceConfig with an InstanceType.")
        self._check_training(trial_request(request, {}))
        zero = {
            "HyperParameterTuningJobStatus": "InProgress",
            "TrainingJobStatusCounters": dict.fromkeys(
                ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped"), 0
            ),
            "ObjectiveStatusCounters": dict.fromkeys(("Succeeded", "Pending", "Failed"), 0),
        }
        taken = AwsError(
            "ResourceInUse",
            f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different name.",
        )
        return {"HyperParameterTuningJobArn": self._new(TUNING_JOB, name, request, zero, taken=taken)}

    def describe_hyper_parameter_tuning_job(self, request: Wire) -> Wire:
        """DescribeHyperParameterTuningJob."""
        return self._tuning_job(request)

    def stop_hyper_parameter_tuning_job(self, request: Wire) -> Wire:
        """StopHyperParameterTuningJob: its trials stop with it."""
        status = self._tuning_job(request)["HyperParameterTuningJobStatus"]
        if status in ENDED or status == "Stopping":
            raise invalid(f"The request was rejected because the {TUNING_JOB.words} is in status {status}.")
        self.store.stop(TUNING_JOB, request["HyperParameterTuningJobName"])
        return {}

    def delete_hyper_parameter_tuning_job(self, request: Wire) -> Wire:
        """DeleteHyperParameterTuningJob: its training jobs stay."""
        status = self._tuning_job(request)["HyperParameterTuningJobStatus"]
        if status not in ENDED:
            raise invalid(f"The request was rejected because the {TUNING_JOB.words} is in status {status}.")
        self.store.wait(TUNING_JOB, request["HyperParameterTuningJobName"])
        self.store.remove(TUNING_JOB, request["HyperParameterTuningJobName"])
        return {}

    def list_hyper_parameter_tuning_jobs(self, request: Wire) -> Wire:
        """ListHyperParameterTuningJobs."""
        found = [
            job
            | {
                "Strategy": job["HyperParameterTuningJobConfig"]["Strategy"],
                "ResourceLimits": job["HyperParameterTuningJobConfig"]["ResourceLimits"],
            }
            for job in self._all(TUNING_JOB)
        ]
        return page(TUNING_JOB, found, request, key="HyperParameterTuningJobSummaries", ascending=True)

    def list_training_jobs_for_hyper_parameter_tuning_job(self, request: Wire) -> Wire:
        """ListTrainingJobsForHyperParameterTuningJob; by objective it lists the jobs that have one."""
        job = self._tuning_job(request)
        by = request.get("SortBy", "Name")
        found = []
        for trial in trials_of(self.store, job):
            told = summary(job, trial)
            final = told.get("FinalHyperParameterTuningJobObjectiveMetric", {})
            if by != "FinalObjectiveMetricValue" or final:
                found.append(told | {"TrainingJobFinalObjectiveMetricValue": final.get("Value")})
        asked = {
            key: request[key] for key in ("StatusEquals", "SortOrder", "NextToken", "MaxResults") if key in request
        }
        return page(TRAINING_JOB, found, asked | {"SortBy": by}, key="TrainingJobSummaries", ascending=True)

    def _tuning_job(self, request: Wire) -> Wire:
        name = request["HyperParameterTuningJobName"]
        missing = f"Amazon SageMaker can't find a tuning job called {name}. Type another name."
        return self._found(TUNING_JOB, name, missing=AwsError("ResourceNotFound", missing))


def _refuse_what_is_missing(request: Wire) -> None:
    """Refuse what a tuning job can be asked for and this machine does not do."""
    config = request["HyperParameterTuningJobConfig"]
    for key, what in (
        ("WarmStartConfig", "A warm start"),
        ("Autotune", "Autotune"),
        ("TrainingJobDefinitions", "A tuning job of several training job definitions"),
    ):
        if key in request:
            raise unsupported(what)
    if config["Strategy"] == "Hyperband" or "StrategyConfig" in config:
        raise unsupported("The Hyperband strategy")
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise unsupported("Early stopping")
    if "TuningJobCompletionCriteria" in config:
        raise unsupported("TuningJobCompletionCriteria")
    if "AutoParameters" in config.get("ParameterRanges", {}):
        raise unsupported("A range of AutoParameters")
    if "TrainingJobDefinition" not in request:
        raise invalid("A TrainingJobDefinition is required to create a hyperparameter tuning job.")
    if {"TuningObjective", "HyperParameterRanges"} & request["TrainingJobDefinition"].keys():
        raise invalid("TuningObjective and HyperParameterRanges are for TrainingJobDefinitions.")


def _check_objective(config: Wire, definition: Wire) -> None:
    wanted = config.get("HyperParameterTuningJobObjective")
    defined = [item["Name"] for item in definition["AlgorithmSpecification"].get("MetricDefinitions", [])]
    if wanted is None or wanted["MetricName"] not in defined:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. "
            "Provide a metric in the metric definitions."
        )


def _check_ranges(config: Wire, definition: Wire) -> None:
    try:
        ranges = ranges_of(config.get("ParameterRanges", {}))
    except ValueError as error:
        raise invalid(f"The hyperparameter ranges are invalid: {error}.") from error
    if not 1 <= len(ranges) <= _MOST_RANGES:
        raise invalid(f"A hyperparameter tuning job searches 1 to {_MOST_RANGES} hyperparameters, not {len(ranges)}.")
    names = [each.name for each in ranges]
    if twice := {name for name in names if names.count(name) > 1} | (
        set(names) & definition.get("StaticHyperParameters", {}).keys()
    ):
        raise invalid(f"The hyperparameter [{min(twice)}] is given more than once.")
    if config["Strategy"] == "Grid" and not all(isinstance(each, Categorical) for each in ranges):
        raise invalid("The Grid strategy supports categorical hyperparameter ranges only.")
    for each in ranges:
        if isinstance(each, Categorical):
            continue
        if not (math.isfinite(each.low) and math.isfinite(each.high) and each.low < each.high):
            raise invalid(f"The MinValue of the hyperparameter [{each.name}] must be less than its MaxValue.")
        if each.scaling == "Logarithmic" and each.low <= 0:
            raise invalid(f"Logarithmic scaling of the hyperparameter [{each.name}] needs values greater than 0.")
        if each.scaling == "ReverseLogarithmic" and not (not each.whole and each.low >= 0 and each.high < 1):
            raise invalid(f"ReverseLogarithmic scaling of the hyperparameter [{each.name}] needs values of 0<=x<1.0.")


def _check_limits(search: Search, config: Wire) -> None:
    limits = config["ResourceLimits"]
    if not {"MaxNumberOfTrainingJobs", "MaxRuntimeInSeconds"} & limits.keys() and search.strategy != "Grid":
        raise invalid("MaxNumberOfTrainingJobs is required for this strategy.")
    most = limits.get("MaxNumberOfTrainingJobs", limit_of(search, config))
    if search.strategy == "Grid" and most != search.combinations:
        raise invalid(
            f"MaxNumberOfTrainingJobs, [{most}], must be the number of combinations of the Grid strategy, "
            f"[{search.combinations}], or not be given."
        )
    if most > search.combinations:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{float(search.combinations)}] must be equal or greater than the "
            f"value of MaxNumberOfJobs, [{most}]. Provide additional ranges."
        )
    if limits["MaxParallelTrainingJobs"] > most:
        raise invalid("MaxParallelTrainingJobs must not be greater than MaxNumberOfTrainingJobs.")
