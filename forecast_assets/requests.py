"""boto3 requests of the jobs that assets run: dictionaries without the job's name, nothing else.

A request says all that its outcome depends on: parameters, the version of the code, checksums of the tables it reads.
The job's name follows from it, so an equal request finds the job that ran for it.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from forecast_assets.settings import Settings, Stage, TrainingStage
from forecasting.configuration import search_space
from resources.lake import Lake, content_digest
from resources.sagemaker.platform import SageMaker

MEAN_MSE = {"Name": "mean_mse", "Regex": r"Mean MSE across all splits: ([0-9.eE+-]+)"}

_MOST_INSTANCE_CONFIGS = 6

# Count up with every change of what a container computes: it is in the assets' code versions and in the jobs' names.
COUNTERFACTUAL_VERSION = "1"
TUNING_VERSION = "2"
TRAINING_VERSION = "2"


class Unread(Lake):
    """Stands for a lake whose tables are not there yet.

    Attributes:
        checksum: What is said in place of their checksums.
    """

    checksum: str


def counterfactual_request(
    settings: Settings, lake: Lake, sagemaker: SageMaker, week: date
) -> tuple[dict[str, Any], str]:
    """The processing job of the counterfactual, and the path in the lake of the table it writes."""
    inputs = ("observations", "structural_break")
    environment = {
        "FORECAST_TASK": "counterfactual",
        "FORECAST_WEEK": week.isoformat(),
        "FORECAST_TRAINING_WEEKS": str(settings.training_weeks),
        "FORECAST_CODE_VERSION": COUNTERFACTUAL_VERSION,
        "FORECAST_DATA_CHECKSUM": _checksum(lake, inputs, week),
    }
    # A place of its own for every outcome: a job that is taken up again must find its own table, not a later one's.
    fingerprint = hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()[:12]
    output = f"jobs/counterfactual-{week}-{fingerprint}"
    request = _processing_request(
        sagemaker,
        settings.processing,
        inputs={name: _table_uri(sagemaker, name, week) for name in inputs},
        outputs={"counterfactual": sagemaker.uri(f"{output}/")},
        environment=environment,
    )
    return request, f"{output}/data.parquet"


def tuning_request(settings: Settings, lake: Lake, sagemaker: SageMaker, week: date) -> dict[str, Any]:
    """The training job that searches the configurations of every series; it goes on where an interruption ended it."""
    values = {"task": "tune", "search": settings.search, **_protocol(settings, week)}
    request = _training_request(lake, sagemaker, settings.tuning, week, channels=("counterfactual",), values=values)
    return request | _checkpoints(sagemaker, week, request["HyperParameters"])


def automatic_request(
    settings: Settings, lake: Lake, sagemaker: SageMaker, week: date, *, series: str
) -> dict[str, Any]:
    """The tuning job of a series: its trials are training jobs that score one configuration each."""
    values = {"task": "evaluate", "series": series, **_protocol(settings, week)}
    stage = settings.tuning
    trial = _training_request(lake, sagemaker, stage, week, channels=("counterfactual",), values=values)
    static = trial.pop("HyperParameters")
    del trial["ResourceConfig"]
    ranges = search_space(max_harmonics=settings.max_harmonics)
    trials = min(settings.automatic.trials, math.prod(len(choices) for choices in ranges.values()))
    return {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": MEAN_MSE["Name"]},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": trials,
                "MaxParallelTrainingJobs": min(settings.automatic.parallel, trials),
            },
            "ParameterRanges": {
                "CategoricalParameterRanges": [
                    {"Name": name, "Values": list(choices)} for name, choices in ranges.items()
                ]
            },
            "TrainingJobEarlyStoppingType": "Off",
            "RandomSeed": week.toordinal(),
        },
        "TrainingJobDefinition": {
            **trial,
            "StaticHyperParameters": static,
            "HyperParameterTuningResourceConfig": _instances(stage),
            **_checkpoints(sagemaker, week, static),
        },
    }


def ranking_request(
    settings: Settings, lake: Lake, sagemaker: SageMaker, week: date, *, trials: str, digest: str
) -> dict[str, Any]:
    """The training job that ranks what the tuning jobs found.

    Args:
        settings: Of the platform.
        lake: Where its input is.
        sagemaker: Where it runs.
        week: The week.
        trials: Key of the folder that holds the tables `trials` and `errors`.
        digest: Of what they hold.
    """
    values = {"task": "rank", **_protocol(settings, week), "trials_checksum": digest}
    request = _training_request(lake, sagemaker, settings.tuning, week, channels=("counterfactual",), values=values)
    found = [_channel(name, sagemaker.uri(f"{trials}/{name}/")) for name in ("trials", "errors")]
    return request | {"InputDataConfig": [*request["InputDataConfig"], *found]}


def search_digest(settings: Settings) -> str:
    """What says whether two searches ask the same question: their code, their configurations, how they are scored."""
    searched = {"search": settings.search, **_protocol(settings, date.min), **settings.automatic.model_dump()}
    del searched["workers"]  # they change how long it takes
    return hashlib.sha256(json.dumps(searched, sort_keys=True).encode()).hexdigest()[:12]


def _protocol(settings: Settings, week: date) -> dict[str, Any]:
    """How configurations are scored, whoever tries them."""
    return {
        "week": week.isoformat(),
        "scoring": settings.scoring,
        "window": settings.window,
        "step": settings.step,
        "horizon": settings.horizon,
        "season_length": settings.season_length,
        "max_harmonics": settings.max_harmonics,
        "workers": settings.workers,
        "code_version": TUNING_VERSION,
    }


def fit_request(
    settings: Settings, lake: Lake, sagemaker: SageMaker, week: date, *, has_champions: bool
) -> dict[str, Any]:
    """The training job that fits the candidate, the champion's configuration and the seasonal naive."""
    values = {
        "task": "fit",
        "week": week.isoformat(),
        "horizon": settings.horizon,
        "season_length": settings.season_length,
        "max_harmonics": settings.max_harmonics,
        "levels": list(settings.levels),
        "workers": settings.workers,
        "code_version": TRAINING_VERSION,
    }
    channels = ("counterfactual", "tuning_trials", "tuning_errors", *(("champions",) if has_champions else ()))
    return _training_request(lake, sagemaker, settings.training, week, channels=channels, values=values)


def gate_request(settings: Settings, sagemaker: SageMaker, week: date, *, fit: str, outputs: str) -> dict[str, Any]:
    """The processing job that decides on a fit, and packs what may be published.

    Args:
        settings: The tolerance, and the instance.
        sagemaker: Where it runs.
        week: Of the fit.
        fit: S3 prefix of the archives that the fit left.
        outputs: S3 prefix of its outputs `verdict` and `model`.
    """
    return _processing_request(
        sagemaker,
        settings.processing,
        inputs={"fit": fit},
        outputs={name: f"{outputs}/{name}" for name in ("verdict", "model")},
        environment={
            "FORECAST_TASK": "gate",
            "FORECAST_WEEK": week.isoformat(),
            "FORECAST_GATE_TOLERANCE": str(settings.gate_tolerance),
        },
    )


def _hyperparameters(values: Mapping[str, Any]) -> dict[str, str]:
    """SageMaker's hyper-parameters are strings; what is not one travels as JSON."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _table_uri(sagemaker: SageMaker, table: str, week: date) -> str:
    """The S3 prefix of a table of a week."""
    return sagemaker.uri(f"{table}/week={week}/")


def _checksum(lake: Lake, tables: Sequence[str], week: date) -> str:
    if isinstance(lake, Unread):
        return lake.checksum
    return "-".join(content_digest(lake.read(name, week))[:16] for name in tables)


def _training_request(
    lake: Lake,
    sagemaker: SageMaker,
    stage: TrainingStage,
    week: date,
    *,
    channels: Sequence[str],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """A `create_training_job` request of the training image, with tables of the week as channels."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": sagemaker.image("training"),
            "TrainingInputMode": "File",
            "MetricDefinitions": [MEAN_MSE],
        },
        "RoleArn": sagemaker.role_arn,
        "HyperParameters": _hyperparameters({**values, "data_checksum": _checksum(lake, channels, week)}),
        "InputDataConfig": [_channel(name, _table_uri(sagemaker, name, week)) for name in channels],
        "OutputDataConfig": {"S3OutputPath": sagemaker.uri("jobs/")},
        "ResourceConfig": {
            "InstanceType": stage.instance_types[0],
            "InstanceCount": 1,
            "VolumeSizeInGB": stage.volume_gb,
        },
        "EnableManagedSpotTraining": stage.spot,
        "StoppingCondition": {
            "MaxRuntimeInSeconds": stage.max_runtime_s,
            **({"MaxWaitTimeInSeconds": stage.max_wait_s} if stage.spot else {}),
        },
    }


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _checkpoints(sagemaker: SageMaker, week: date, hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Where a job keeps its checkpoints: another attempt at the same finds them, and nothing else does."""
    fingerprint = hashlib.sha256(json.dumps(hyperparameters, sort_keys=True).encode()).hexdigest()[:12]
    # The slash ends the name: S3 takes what it is given as the beginning of keys.
    return {"CheckpointConfig": {"S3Uri": sagemaker.uri(f"jobs/checkpoints/tuning-{week}-{fingerprint}/")}}


def _instances(stage: Stage) -> dict[str, Any]:
    """The instances of a tuning job's trials; SageMaker itself goes on to the next type."""
    configs = [
        {"InstanceType": name, "InstanceCount": 1, "VolumeSizeInGB": stage.volume_gb}
        for name in stage.instance_types[:_MOST_INSTANCE_CONFIGS]
    ]
    return configs[0] if len(configs) == 1 else {"AllocationStrategy": "Prioritized", "InstanceConfigs": configs}


def _processing_request(
    sagemaker: SageMaker,
    stage: Stage,
    *,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """A `create_processing_job` request; environment values have at most 256 characters."""
    root = "/opt/ml/processing"
    return {
        "AppSpecification": {"ImageUri": sagemaker.image("processing")},
        "RoleArn": sagemaker.role_arn,
        "Environment": dict(environment),
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri": uri,
                    "LocalPath": f"{root}/input/{name}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for name, uri in inputs.items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": name,
                    "S3Output": {
                        "S3Uri": uri,
                        "LocalPath": f"{root}/output/{name}",
                        "S3UploadMode": "EndOfJob",
                    },
                }
                for name, uri in outputs.items()
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": stage.instance_types[0],
                "VolumeSizeInGB": stage.volume_gb,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": stage.max_runtime_s},
    }
