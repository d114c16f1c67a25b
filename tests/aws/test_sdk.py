"""The SageMaker SDK of AWS, which nobody here wrote, against the twin over HTTP with S3 and STS from moto's server."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resources.sagemaker.local.clients import register_image
from tests.aws.world import BUCKET, ROLE, Aws
from tests.environments import environment

pytestmark = pytest.mark.slow

IMAGE = "anything:1"
TELEMETRY = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"

TRAIN = """
import json, os, pathlib
root = pathlib.Path(os.environ["SM_ML_ROOT"])
given = json.loads((root / "input/config/hyperparameters.json").read_text())
rows = (root / "input/data/train/figures.csv").read_text().split()
print(f"mse={float(given['alpha']) * len(rows)};")
(root / "model/model.json").write_text(json.dumps({"alpha": given["alpha"], "rows": len(rows)}))
"""
SERVE = """
import http.server, os, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body=b""):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = answer
    def do_POST(self):
        self.answer(pathlib.Path(os.environ["SM_ML_ROOT"], "model/model.json").read_bytes())
address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""

# What a user of the SDK would write, who ends with an answer.
COMMON = f"""
import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, StoppingCondition
from sagemaker.train import ModelTrainer

session = Session(boto_session=boto3.Session(region_name="us-east-1"), default_bucket="{BUCKET}")
trainer = ModelTrainer(
    sagemaker_session=session,
    role="{ROLE}",
    training_image="{IMAGE}",
    base_job_name="sdk",
    compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=60),
    output_data_config=OutputDataConfig(s3_output_path="s3://{BUCKET}/sdk"),
    hyperparameters={{"alpha": "0.5"}},
    input_data_config=[InputData(channel_name="train", data_source="FIGURES")],
)
"""
ANSWER = """
import json, pathlib
def answer(found):
    pathlib.Path("answer.json").write_text(json.dumps(found))
"""
TRAINER = """
trainer.train(wait=True, logs=True)
job = trainer._latest_training_job
answer({"status": job.training_job_status, "model": job.model_artifacts.s3_model_artifacts})
"""
TUNER = """
from sagemaker.core.shapes import MetricDefinition
from sagemaker.train.tuner import ContinuousParameter, HyperparameterTuner

tuner = HyperparameterTuner(
    model_trainer=trainer,
    objective_metric_name="mse",
    metric_definitions=[{"Name": "mse", "Regex": "mse=([0-9.]+);"}],
    hyperparameter_ranges={"alpha": ContinuousParameter(0.1, 1.0)},
    objective_type="Minimize",
    strategy="Random",
    random_seed=7,
    max_jobs=3,
    max_parallel_jobs=2,
    base_tuning_job_name="sdk-tuning",
)
tuner.tune(inputs=[InputData(channel_name="train", data_source="s3://forecast-lake/figures/")], wait=True)
answer({"best": tuner.best_training_job()})
"""
RESOURCES = f"""
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
from sagemaker.core.shapes import AlgorithmSpecification, Channel, ContainerDefinition, DataSource, OutputDataConfig
from sagemaker.core.shapes import ProductionVariant, ResourceConfig, S3DataSource, StoppingCondition
from sagemaker.core.utils.exceptions import FailedStatusError

def train(name, image):
    job = TrainingJob.create(
        training_job_name=name,
        role_arn="{ROLE}",
        algorithm_specification=AlgorithmSpecification(training_image=image, training_input_mode="File"),
        hyper_parameters={{"alpha": "0.5"}},
        input_data_config=[
            Channel(
                channel_name="train",
                data_source=DataSource(
                    s3_data_source=S3DataSource(s3_data_type="S3Prefix", s3_uri="s3://{BUCKET}/figures/")
                ),
            )
        ],
        output_data_config=OutputDataConfig(s3_output_path="s3://{BUCKET}/core"),
        resource_config=ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=1),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=60),
    )
    job.wait(poll=1, logs=True)
    return TrainingJob.get(training_job_name=name)

url = train("core", "{IMAGE}").model_artifacts.s3_model_artifacts
try:
    train("unknown", "not-registered:1")
except FailedStatusError as error:
    failure = str(error)
Model.create(
    model_name="core",
    execution_role_arn="{ROLE}",
    primary_container=ContainerDefinition(image="{IMAGE}", model_data_url=url),
)
EndpointConfig.create(
    endpoint_config_name="core",
    production_variants=[
        ProductionVariant(
            variant_name="v", model_name="core", instance_type="ml.m5.large", initial_instance_count=1
        )
    ],
)
endpoint = Endpoint.create(endpoint_name="core", endpoint_config_name="core")
endpoint.wait_for_status("InService", poll=1)
served = json.loads(endpoint.invoke(body=b"{{}}", content_type="application/json").body.read())
endpoint.delete()
endpoint.wait_for_delete(poll=1)
names = sorted(job.training_job_name for job in TrainingJob.get_all())
answer({{"names": names, "served": served, "failure": failure}})
"""


@pytest.fixture
def sdk(aws: Aws, tmp_path: Path) -> Callable[[str], Any]:
    """Runs a program in the SDK's own environment; its answer."""
    python = environment("sagemaker")
    aws.put("figures/figures.csv", b"1\n2\n3\n")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/figures.csv").write_text("1\n2\n3\n")
    for what, source in {"train": TRAIN, "serve": SERVE}.items():
        (tmp_path / f"{what}.py").write_text(source)
        register_image(aws.root, IMAGE, {what: [sys.executable, str(tmp_path / f"{what}.py")]})
    (tmp_path / "telemetry.yaml").write_text(TELEMETRY)
    variables = aws.environment | {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "SAGEMAKER_VALIDATE_ROLE": "false",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(tmp_path / "telemetry.yaml"),
    }

    def run(program: str) -> Any:
        program = ANSWER + program.replace("FIGURES", str(tmp_path / "figures"))
        done = subprocess.run(
            [str(python), "-c", program], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "answer.json").read_text())

    return run


def test_a_model_trainer_sends_a_local_folder_and_gets_its_model(aws: Aws, sdk: Any) -> None:
    said = sdk(COMMON + TRAINER)
    assert said["status"] == "Completed"
    assert said["model"].removeprefix(f"s3://{BUCKET}/") in aws.objects("sdk/")


def test_a_tuner_finds_the_best_of_its_trials(aws: Aws, sdk: Any) -> None:
    best = sdk(COMMON + TUNER)["best"]
    (job,) = aws.client("sagemaker").list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    asked = {"HyperParameterTuningJobName": job["HyperParameterTuningJobName"]}
    listed = aws.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(**asked)
    trials = {
        trial["TrainingJobName"]: trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        for trial in listed["TrainingJobSummaries"]
    }
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert len(trials) == 3
    assert best == min(trials, key=trials.__getitem__)


def test_core_resources_live_their_lives(sdk: Any) -> None:
    said = sdk(RESOURCES)
    assert said["names"] == ["core", "unknown"]
    assert said["served"] == {"alpha": "0.5", "rows": 3}
    assert "Cannot pull image not-registered:1" in said["failure"]
