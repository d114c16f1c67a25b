"""A tuning job, as its supervisor runs it: one training job after another, each with values of its own.

The trials are the training jobs with the names that ``trial_name`` gives. Nothing else is kept, so a supervisor that
takes over from one that died finds all there is: it starts the trials that are not there yet.

Standard library only, but for the Bayesian strategy: supervisors import this without the site packages.
"""

import contextlib
import hashlib
import math
import os
import site
import sys
import time
from typing import Literal

from resources.sagemaker.local.store import ENDED, TRAINING_JOB, TUNING_JOB, ExistsError, Store, Wire, get_json
from resources.sagemaker.local.suggestions import Search, Trial, ranges_of
from resources.sagemaker.local.supervision import LONGEST_REASON, ClientFaultError, Supervised, setting
from resources.sagemaker.local.training import newborn

_LOOK_S = 0.1
_HOPELESS = 5
"""Trials that may fail before one succeeds."""
_MOST_TRIALS = 750
_PASSED_ON = (
    *("RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "StoppingCondition", "EnableNetworkIsolation"),
    *("EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "CheckpointConfig", "RetryStrategy"),
    *("Environment",),
)


def supervise(job: Supervised) -> None:
    """Run a tuning job to its end."""
    config = job.request["HyperParameterTuningJobConfig"]
    search = Search.of(job.home.name, config)
    if search.strategy == "Bayesian":
        _reach_libraries()
    store, parallel = Store(job.root), config["ResourceLimits"]["MaxParallelTrainingJobs"]
    at_once = min(parallel, setting("TRIALS_AT_ONCE", _cpus()))
    fault: str | None = None
    while job.home.exists():  # in a lake that was deleted, nothing is to be started any more
        trials = trials_of(store, job.request)
        _count(job, trials)
        running = [trial for trial in trials if trial["TrainingJobStatus"] not in ENDED]
        cut = job.stopping or _out_of_time(job)
        verdict = "Failed" if fault else _verdict(job, trials, cut=cut, limit=limit_of(search, config))
        if verdict is not None and not running:
            _end(job, verdict, reason=(fault or _hopeless(len(trials))) if verdict == "Failed" else None)
            return
        # Trial k knows the outcome of those up to k - parallel, whichever of the others are faster.
        known = trials[: max(0, len(trials) - parallel + 1)]
        if cut:
            for trial in running:
                if trial["TrainingJobStatus"] == "InProgress":
                    store.stop(TRAINING_JOB, trial["TrainingJobName"])
        elif verdict is None and len(running) < at_once and all(t["TrainingJobStatus"] in ENDED for t in known):
            try:
                _start(job, store, search, trials, known)
            except ClientFaultError as error:
                fault = f"ClientError: {error}"
            continue
        job.pause(_LOOK_S)


def limit_of(search: Search, config: Wire) -> float:
    """How many trials there may be."""
    most = search.combinations if search.strategy == "Grid" else _MOST_TRIALS
    found: float = config["ResourceLimits"].get("MaxNumberOfTrainingJobs", most)
    return found


def trial_name(request: Wire, number: int) -> str:
    """The name of a trial, by its number from 0: no tuning job of another time had it."""
    name = request["HyperParameterTuningJobName"]
    mark = hashlib.sha256(f"{name}:{request['CreationTime']!r}:{number}".encode()).hexdigest()[:8]
    return f"{name}-{number + 1:03d}-{mark}"


def trials_of(store: Store, request: Wire) -> list[Wire]:
    """The training jobs of a tuning job, in the order in which it started them."""
    found: list[Wire] = []
    while record := store.read(TRAINING_JOB, trial_name(request, len(found))):
        found.append(record)
    return found


def trial_request(request: Wire, values: dict[str, str]) -> Wire:
    """What a tuning job asks of a training job, as ``CreateTrainingJob`` takes it, without the name."""
    definition = request["TrainingJobDefinition"]
    metric = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    given = definition.get("StaticHyperParameters", {}) | values
    return {key: definition[key] for key in _PASSED_ON if key in definition} | {
        "AlgorithmSpecification": definition["AlgorithmSpecification"],
        "HyperParameters": given | {"_tuning_objective_metric": metric},
        "ResourceConfig": resources_of(definition),
    }


def resources_of(definition: Wire) -> Wire:
    """The instances of a trial: here every type is to be had, so it is the one that is tried first."""
    flexible = definition.get("HyperParameterTuningResourceConfig", {})
    first = flexible.get("InstanceConfigs", [flexible])[0]
    chosen: Wire = definition.get("ResourceConfig") or {
        key: value for key, value in (flexible | first).items() if key not in {"InstanceConfigs", "AllocationStrategy"}
    }
    return chosen


def tuned(request: Wire, trial: Wire) -> dict[str, str]:
    """The values of a trial's hyper-parameters that are tuned."""
    ranges = ranges_of(request["HyperParameterTuningJobConfig"].get("ParameterRanges", {}))
    return {each.name: trial["HyperParameters"][each.name] for each in ranges}


def objective(request: Wire, trial: Wire) -> float | None:
    """What a trial reached; None where it failed, printed no such metric, or has not ended."""
    if trial["TrainingJobStatus"] not in {"Completed", "Stopped"}:
        return None
    name = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    values = (item["Value"] for item in trial.get("FinalMetricDataList", []) if item["MetricName"] == name)
    return next((value for value in values if math.isfinite(value)), None)


def summary(request: Wire, trial: Wire) -> Wire:
    """A trial as the service's lists have it."""
    wanted = request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    value = objective(request, trial)
    kept = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime")
    state = {"TrainingJobStatus": trial["TrainingJobStatus"], "TunedHyperParameters": tuned(request, trial)}
    final = {"Type": wanted["Type"], "MetricName": wanted["MetricName"], "Value": value}
    ended = "Failed" if trial["TrainingJobStatus"] in ENDED else "Pending"
    named = request["TrainingJobDefinition"].get("DefinitionName")
    return {
        **{key: trial[key] for key in (*kept, "FailureReason") if key in trial},
        **state,
        **({"TrainingJobDefinitionName": named} if named else {}),
        **({} if value is None else {"FinalHyperParameterTuningJobObjectiveMetric": final}),
        "ObjectiveStatus": ended if value is None else "Succeeded",
    }


def _start(job: Supervised, store: Store, search: Search, trials: list[Wire], known: list[Wire]) -> None:
    request = job.request
    ended = [Trial(tuned(request, trial), objective(request, trial)) for trial in known]
    values = search.suggestion(len(trials), ended, [tuned(request, trial) for trial in trials])
    asked, status = newborn(trial_request(request, values))
    about = {"TuningJobArn": TUNING_JOB.arn(job.home.name), "Tags": get_json(job.home / "tags.json")}
    with contextlib.suppress(ExistsError):  # a supervisor before this one started it, and died
        store.register(TRAINING_JOB, trial_name(request, len(trials)), asked | about, status)


def _verdict(
    job: Supervised, trials: list[Wire], *, cut: bool, limit: float
) -> Literal["Completed", "Failed", "Stopped"] | None:
    """How the job ends, once no trial runs any more; None where another trial is to follow."""
    if job.stopping:
        return "Stopped"
    ended = [trial for trial in trials if trial["TrainingJobStatus"] in ENDED]
    over = cut or len(trials) >= limit
    if any(objective(job.request, trial) is not None for trial in ended):
        return "Completed" if over else None
    return "Failed" if over or len(ended) >= _HOPELESS else None


def _out_of_time(job: Supervised) -> bool:
    longest: float = job.request["HyperParameterTuningJobConfig"]["ResourceLimits"].get("MaxRuntimeInSeconds", math.inf)
    began: float = job.request["CreationTime"]
    return time.time() - began > longest


def _count(job: Supervised, trials: list[Wire]) -> None:
    """Keep the counters and the best trial in the record."""
    ends = [_counter(trial) for trial in trials]
    found = [(summary(job.request, trial), objective(job.request, trial)) for trial in trials]
    states = [item["ObjectiveStatus"] for item, _ in found]
    reached = [(value, item) for item, value in found if value is not None]
    least = job.request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"] == "Minimize"
    best = (min if least else max)(reached, key=lambda pair: pair[0])[1] if reached else None
    counted = {
        "TrainingJobStatusCounters": {
            name: ends.count(name)
            for name in ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
        },
        "ObjectiveStatusCounters": {name: states.count(name) for name in ("Succeeded", "Pending", "Failed")},
        "BestTrainingJob": best,
    }
    if any(job.status.get(key) != value for key, value in counted.items()):
        job.save(**counted)


def _counter(trial: Wire) -> str:
    status: str = trial["TrainingJobStatus"]
    if status == "Failed":
        return "RetryableError" if trial.get("FailureReason", "").startswith("InternalServer") else "NonRetryableError"
    return status if status in ENDED else "InProgress"


def _hopeless(attempts: int) -> str:
    return (
        f"No training job succeeded after {attempts} attempts. Please take a look at the training job failures to get "
        "more details."
    )


def _end(job: Supervised, status: str, *, reason: str | None) -> None:
    now = time.time()
    job.save(
        HyperParameterTuningJobStatus=status,
        HyperParameterTuningEndTime=now,
        ConsumedResources={"RuntimeInSeconds": max(1, round(now - job.request["CreationTime"]))},
        FailureReason=None if reason is None else reason[:LONGEST_REASON],
    )


def _cpus() -> int:
    """As many trials run at once here: in the cloud each has a machine of its own."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _reach_libraries() -> None:
    """Put the site packages on the path of a process that began without them."""
    if sys.flags.no_site:
        site.main()
