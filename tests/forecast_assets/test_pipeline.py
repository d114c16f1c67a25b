"""The SageMaker Pipeline: what it is made of, without the SDK; its definition, made by the SDK in its own environment.

SageMaker runs definitions, nothing on this machine does: `Execution` follows one step by step, on the SageMaker here.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast_assets.gate import verdict_of
from forecast_assets.pipeline import prepare, training_pipeline
from forecast_assets.settings import Settings, load_settings
from forecasting import artifact
from resources.lake import Lake, MissingTableError
from resources.sagemaker.pipeline.definition import PipelineError, TrainingPipeline
from resources.sagemaker.pipeline.sdk import SdkMissingError, quiet_sdk
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry
from tests.environments import environment
from tests.world import ROOT, SERIES, WEEK, World

ROLE = "arn:aws:iam::123456789012:role/jobs"
AWS = {
    "compute": "aws",
    "lake_uri": "s3://lake",
    "images": "local/forecast-{image}:latest",
    "role_arn": ROLE,
    "eia_source": "live",
}
SMALL = {"series": json.dumps(SERIES), "step": "24", "max_harmonics": "2", "workers": "1"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(ROOT)
    return load_settings(**AWS)


def described(settings: Settings) -> TrainingPipeline:
    lake = Lake(uri=settings.lake_uri)
    sagemaker = SageMaker(mode=settings.compute, role_arn=settings.role_arn, images=settings.images, lake=lake)
    return training_pipeline(settings, sagemaker)


# -- what it is made of ----------------------------------------------------------------------------------------------


def test_the_requests_are_those_of_the_assets_for_any_week(settings: Settings) -> None:
    pipeline = described(settings)
    jobs = {job.name: job.request for job in pipeline.jobs}
    assert list(jobs) == ["Counterfactual", "Tune", "Fit", "Gate"]
    assert "9999" not in json.dumps([jobs, pipeline.registration])
    assert jobs["Tune"]["HyperParameters"]["week"] == "@@Parameters.Week@@"
    assert jobs["Tune"]["HyperParameters"]["window"] == str(settings.window)
    (observations, _) = jobs["Counterfactual"]["ProcessingInputs"]
    assert observations["S3Input"]["S3Uri"] == "s3://lake/observations/week=@@Parameters.Week@@/"
    assert all(len(value) <= 256 for value in jobs["Counterfactual"]["Environment"].values())


def test_nothing_that_an_execution_writes_is_written_by_another(settings: Settings) -> None:
    text = json.dumps([job.request for job in described(settings).jobs])
    written = re.findall(r'"S3OutputPath": "([^"]*)"|"S3Output": {"S3Uri": "([^"]*)"', text)
    assert len(written) >= 5
    assert [found for found in written if "@@Execution.PipelineExecutionId@@" not in "".join(found)] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"search": "automatic"}, "FORECAST_SEARCH", id="automatic tuning"),
        pytest.param({"compute": "local", "lake_uri": "lake"}, "FORECAST_COMPUTE", id="this machine"),
    ],
)
def test_settings_that_describe_no_pipeline_are_refused(settings: Settings, change: dict[str, str], said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        described(load_settings(**AWS | change))


def test_without_the_sdk_the_extra_is_named(settings: Settings) -> None:
    with pytest.raises(SdkMissingError, match=r"forecast-assets\[sagemaker\]"), quiet_sdk("us-east-1"):
        pytest.fail("the SDK is not among the requirements of the tests")
    assert "SAGEMAKER_USER_CONFIG_OVERRIDE" not in os.environ


# -- its definition --------------------------------------------------------------------------------------------------

# What the SDK would look up: nothing can be reached, and every name that is asked for is said.
SPY = """
import socket, sys
asked = []
def spy(name, *_, **__):
    asked.append(str(name))
    raise socket.gaierror("nothing is looked up here")
if {offline}:
    socket.getaddrinfo = spy
from forecast_assets.cli import main
try:
    main(sys.argv[1:], prog_name="forecast")
finally:
    print("ASKED", asked, file=sys.stderr)
"""


def forecast(*arguments: str, offline: bool = True, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The command in the environment of the SDK."""
    given = {f"FORECAST_{name.upper()}": value for name, value in (AWS | SMALL).items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [str(environment("sagemaker")), "-c", SPY.format(offline=offline), *arguments],
        cwd=ROOT,
        env={**kept, **given, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def exported() -> "subprocess.CompletedProcess[str]":
    done = forecast("pipeline", "export")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def definition(exported: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(exported.stdout)
    return found


@pytest.mark.slow
def test_export_looks_nothing_up_and_says_nothing_else(exported: "subprocess.CompletedProcess[str]") -> None:
    assert exported.stderr.strip() == "ASKED []"


@pytest.mark.slow
def test_definition_is_of_the_documented_version_with_a_gate_before_the_registration(
    definition: dict[str, Any],
) -> None:
    assert definition["Version"] == "2020-12-01"
    assert [parameter["Name"] for parameter in definition["Parameters"]] == ["Week", "DataChecksum"]
    steps = {step["Name"]: step for step in definition["Steps"]}
    assert {name: step["Type"] for name, step in steps.items()} == {
        "Counterfactual": "Processing",
        "Tune": "Training",
        "Fit": "Training",
        "Gate": "Processing",
        "Passed": "Condition",
    }
    gate = steps["Passed"]["Arguments"]
    assert [step["Type"] for step in gate["IfSteps"]] == ["RegisterModel"]
    assert [step["Type"] for step in gate["ElseSteps"]] == ["Fail"]
    assert needs(definition) == {
        "Counterfactual": set(),
        "Tune": {"Counterfactual"},
        "Fit": {"Counterfactual", "Tune"},
        "Gate": {"Fit"},
        "Passed": {"Gate"},
    }


def needs(definition: dict[str, Any]) -> dict[str, set[str]]:
    """The steps that each step waits for: those that it takes something from."""
    return {step["Name"]: set(re.findall(r'"Steps\.(\w+)\.', json.dumps(step))) for step in definition["Steps"]}


@pytest.mark.slow
def test_builtin_algorithms_have_images_and_what_is_missing_is_named() -> None:
    done = forecast("pipeline", "image-uri", "forecasting-deepar")
    assert (done.returncode, done.stderr.strip()) == (0, "ASKED []")
    assert done.stdout.strip() == "522234722520.dkr.ecr.us-east-1.amazonaws.com/forecasting-deepar:1"
    done = forecast("pipeline", "image-uri", "crystal-ball")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no image of crystal-ball in us-east-1: ")


# -- in an account ---------------------------------------------------------------------------------------------------


@pytest.fixture
def account() -> Iterator[dict[str, str]]:
    """The variables of an account that moto stands for, with a lake that holds what a week needs."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


def tables() -> dict[str, pd.DataFrame]:
    observations = pd.DataFrame({"unique_id": ["WGFUPUS2"], "ds": [pd.Timestamp(WEEK)], "y": [9000.0]})
    return {"observations": observations, "structural_break": observations.iloc[:0]}


@pytest.mark.slow
def test_upsert_creates_then_updates_and_start_gives_the_week(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources import aws

    for name, value in account.items():
        monkeypatch.setenv(name, value)
    aws.client.cache_clear()
    aws.client("s3", "us-east-1").create_bucket(Bucket="lake")
    first = forecast("pipeline", "start", "--week", str(WEEK), offline=False, **account)
    assert first.returncode == 1
    assert "observations" in first.stderr
    lake = Lake(uri="s3://lake")
    for name, table in tables().items():
        lake.write(name, WEEK, table)
    missing = forecast("pipeline", "start", "--week", str(WEEK), offline=False, **account)
    assert missing.returncode == 1
    assert "forecast pipeline upsert" in missing.stderr
    said = [forecast("pipeline", "upsert", offline=False, **account) for _ in range(2)]
    assert [done.returncode for done in said] == [0, 0], said[0].stderr
    assert [done.stderr.split()[0] for done in said] == ["Created", "Updated"]
    assert len({done.stdout for done in said}) == 1
    started = forecast("pipeline", "start", "--week", str(WEEK), offline=False, **account)
    assert started.returncode == 0, started.stderr
    client = aws.client("sagemaker", "us-east-1")
    execution = started.stdout.strip()
    given = client.list_pipeline_parameters_for_execution(PipelineExecutionArn=execution)["PipelineParameters"]
    values = {parameter["Name"]: parameter["Value"] for parameter in given}
    assert values["Week"] == str(WEEK)
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{16}", values["DataChecksum"])
    stored = client.describe_pipeline(PipelineName="petroleum-demand-training")
    assert json.loads(stored["PipelineDefinition"])["Version"] == "2020-12-01"
    assert stored["RoleArn"] == ROLE
    aws.client.cache_clear()


# -- executed --------------------------------------------------------------------------------------------------------


@dataclass
class Execution:
    """A pipeline's execution as SageMaker documents it: expressions resolved, steps in the order of their needs."""

    definition: dict[str, Any]
    parameters: dict[str, str]
    client: Any
    read: Callable[[str], bytes]
    name: str = "abc123"
    descriptions: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None
    registered: str | None = None

    def run(self) -> None:
        waiting = {step["Name"]: step for step in self.definition["Steps"]}
        wanted = needs(self.definition)
        while waiting:
            name = next(name for name in waiting if not wanted[name] & set(waiting) - {name})
            self.step(waiting.pop(name))

    def step(self, step: dict[str, Any]) -> None:
        if step["Type"] == "Condition":
            passed = all(self.holds(condition) for condition in step["Arguments"]["Conditions"])
            for inner in step["Arguments"]["IfSteps" if passed else "ElseSteps"]:
                self.step(inner)
            return
        arguments = self.resolved(step["Arguments"])
        if step["Type"] == "Fail":
            self.failure = arguments["ErrorMessage"]
        elif step["Type"] == "RegisterModel":
            self.registered = self.client.create_model_package(**arguments)["ModelPackageArn"]
        else:
            self.descriptions[step["Name"]] = self.job(step["Type"], step["Name"], arguments)

    def job(self, kind: str, step: str, arguments: dict[str, Any]) -> dict[str, Any]:
        name = {f"{kind}JobName": f"pipelines-{self.name}-{step}"}
        getattr(self.client, f"create_{kind.lower()}_job")(**name, **arguments)
        end = time.monotonic() + 200
        while True:
            found: dict[str, Any] = getattr(self.client, f"describe_{kind.lower()}_job")(**name)
            if found[f"{kind}JobStatus"] != "InProgress":
                assert found[f"{kind}JobStatus"] == "Completed", found.get("FailureReason")
                return found
            assert time.monotonic() < end
            time.sleep(0.1)

    def holds(self, condition: dict[str, Any]) -> bool:
        assert condition["Type"] == "GreaterThanOrEqualTo"
        return bool(self.resolved(condition["LeftValue"]) >= self.resolved(condition["RightValue"]))

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Get"}:
            return self.got(value["Get"])
        if set(value) == {"Std:Join"}:
            joined = value["Std:Join"]
            return joined["On"].join(self.resolved(one) for one in joined["Values"])
        if set(value) == {"Std:JsonGet"}:
            return self.reported(value["Std:JsonGet"])
        return {key: self.resolved(one) for key, one in value.items()}

    def got(self, path: str) -> Any:
        kind, _, rest = path.partition(".")
        if kind == "Parameters":
            return self.parameters[rest]
        if path == "Execution.PipelineExecutionId":
            return self.name
        step, _, member = rest.partition(".")
        found = self.descriptions[step]
        for name, key in re.findall(r"\.?(\w+)|\['(\w+)'\]", member):
            if name:
                found = found[name]
            else:
                (found,) = (one for one in found if one["OutputName"] == key)
        return found

    def reported(self, asked: dict[str, Any]) -> Any:
        _, step, _, name = asked["PropertyFile"]["Get"].split(".")
        (file,) = (
            file
            for one in self.definition["Steps"]
            if one["Name"] == step
            for file in one["PropertyFiles"]
            if file["PropertyFileName"] == name
        )
        outputs = self.descriptions[step]["ProcessingOutputConfig"]["Outputs"]
        (uri,) = (one["S3Output"]["S3Uri"] for one in outputs if one["OutputName"] == file["OutputName"])
        found = json.loads(self.read(f"{uri}/{file['FilePath']}"))
        for part in asked["Path"].split("."):
            found = found[part]
        return found


@pytest.fixture(scope="module")
def refreshed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        world = World(tmp_path_factory.mktemp("pipeline") / "lake", shared_data / "weekly")
        outcome = world.run("weekly_refresh")
        assert outcome.succeeded, outcome.reasons
        yield world
        world.close()


def execution(world: World, definition: dict[str, Any], name: str) -> Execution:
    """Of the pipeline, on this machine's SageMaker and the world's lake: there it is the bucket `lake`."""
    aws = load_settings(**AWS | SMALL | {"series": list(SERIES)})
    parameters = prepare(aws, world.lake, world.platform.sagemaker, WEEK)
    read = lambda uri: world.lake.read_bytes(uri.removeprefix("s3://lake/"))  # noqa: E731
    return Execution(definition, parameters, world.platform.sagemaker.client(), read, name=name)


@pytest.mark.slow
def test_the_pipeline_makes_the_model_that_the_assets_make(refreshed: World, definition: dict[str, Any]) -> None:
    registry = ModelRegistry(refreshed.platform.sagemaker.client(), group=refreshed.settings.model_group)
    (by_assets,) = registry.models()
    running = execution(refreshed, definition, "passing")
    running.run()
    assert running.failure is None
    by_pipeline, _ = registry.models()
    assert (by_pipeline.arn, by_pipeline.week) == (running.registered, WEEK)
    assert by_pipeline.approval == "Approved"
    one, other = (
        artifact.unpack(refreshed.lake.read_bytes(model.model_data.removeprefix("s3://lake/")))
        for model in (by_pipeline, by_assets)
    )
    assert one["series"] == other["series"]
    assert one["digest"] == by_pipeline.digest
    assert one["provenance"]["data_checksum"] == running.parameters["DataChecksum"]


@pytest.mark.slow
def test_where_no_series_passes_the_execution_fails_with_the_gates_reason(
    refreshed: World, definition: dict[str, Any]
) -> None:
    # No candidate is ten thousand times better than the champion: it is its own.
    strict = json.loads(
        json.dumps(definition).replace('"FORECAST_GATE_TOLERANCE": "1.05"', '"FORECAST_GATE_TOLERANCE": "0.0001"')
    )
    assert strict != definition
    registry = ModelRegistry(refreshed.platform.sagemaker.client(), group=refreshed.settings.model_group)
    before = [model.arn for model in registry.models()]
    running = execution(refreshed, strict, "failing")
    champions = pd.read_parquet(refreshed.lake.root / f"pipelines/champions/week={WEEK}/data.parquet")
    assert champions.empty
    chosen = refreshed.lake.read("tuning_trials", WEEK).query("chosen")
    chosen = chosen[["unique_id", *(name for name in champions if name != "unique_id")]]
    path = refreshed.lake.root / f"pipelines/champions/week={WEEK}/data.parquet"
    chosen.assign(harmonics=chosen["harmonics"].astype(str)).to_parquet(path, index=False)
    running.run()
    assert running.registered is None
    assert running.failure is not None
    assert running.failure.startswith(f"No series of {WEEK} passes the gate: held back, worse than the champion")
    assert [model.arn for model in registry.models()] == before


@pytest.mark.slow
def test_a_week_that_dagster_has_not_prepared_is_refused(refreshed: World) -> None:
    aws = load_settings(**AWS | {"series": list(SERIES)})
    with pytest.raises(MissingTableError):
        prepare(aws, refreshed.lake, refreshed.platform.sagemaker, WEEK.replace(year=2022))
    assert verdict_of(refreshed.lake, WEEK, tolerance=1.05).passed
