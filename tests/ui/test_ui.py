"""`forecast ui`, started as people start it: the week is refreshed by Dagster's daemon and seen through its GraphQL."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.refreshes import until
from tests.served import free_port
from tests.webserver import Webserver
from tests.world import ROOT

FORECAST = Path(sys.executable).with_name("forecast")
WEEK = "2023-11-10"
WEEKLY = {
    "release",
    "observations",
    "outlier_flags",
    "structural_break",
    "counterfactual",
    "tuning_trials",
    "candidate_model",
    "model_diagnostics",
    "registered_model",
    "forecast",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Ui(Webserver):
    """A running `forecast ui`."""

    url: str
    log: Path

    def run(self, job: str, *, week: str | None = None) -> str:
        """Launch a job, wait for its end, and say how it ended."""
        return self.ended(self.launch(job, week=week))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> dict[str, str]:
    """A lake of its own and a search that ends soon."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
    return kept | {
        "FORECAST_LAKE_URI": str(tmp_path_factory.mktemp("ui") / "lake"),
        "FORECAST_EIA_SOURCE": str(shared_data / "weekly"),
        "FORECAST_STEP": "24",
        "FORECAST_MAX_HARMONICS": "2",
        "FORECAST_WORKERS": "1",
        "FORECAST_NOW": "2023-11-16T12:00:00+00:00",  # its sensors run, and make no other week
    }


@pytest.fixture(scope="module")
def ui(environment: dict[str, str]) -> Iterator[Ui]:
    """The user interface, taken down with all that it started."""
    port = free_port()
    found = Ui(f"http://127.0.0.1:{port}", Path(environment["FORECAST_LAKE_URI"]).with_name("ui.log"))
    with found.log.open("w") as log:
        process = subprocess.Popen(
            [FORECAST, "ui", "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:

        def ready() -> bool:
            assert process.poll() is None, found.log.read_text()
            return found.answers()

        until(ready, "user interface", every_s=0.3)
        yield found
    finally:
        # Dagster takes its webserver, daemon and code server down before it ends.
        process.terminate()
        process.wait(timeout=120)
        subprocess.run([FORECAST, "endpoint", "stop"], cwd=ROOT, env=environment, timeout=60, check=True)


@pytest.fixture(scope="module")
def refreshed(ui: Ui) -> Ui:
    """The user interface after a refresh and a deployment that its daemon ran."""
    assert ui.run("weekly_refresh", week=WEEK) == "SUCCESS", ui.log.read_text()
    assert ui.run("deploy") == "SUCCESS", ui.log.read_text()
    return ui


def test_the_code_location_loads_and_every_daemon_is_well(ui: Ui) -> None:
    ui.daemons_are_well()
    workspace = ui.ask(
        """{ workspaceOrError { ... on Workspace { locationEntries {
            name loadStatus locationOrLoadError { __typename ... on PythonError { message } }
        } } } }"""
    )["workspaceOrError"]
    loaded = {"__typename": "RepositoryLocation"}
    assert workspace["locationEntries"] == [
        {"name": "petroleum_demand", "loadStatus": "LOADED", "locationOrLoadError": loaded}
    ]


def test_a_refresh_materializes_the_week_of_every_asset(refreshed: Ui) -> None:
    nodes = refreshed.ask(
        """{ assetNodes {
            assetKey { path }
            isPartitioned
            assetMaterializations(limit: 1) { partition metadataEntries { label } }
            partitionStats { numMaterialized numFailed }
        } }"""
    )["assetNodes"]
    found = {node["assetKey"]["path"][-1]: node for node in nodes}
    assert found.keys() >= WEEKLY | {"forecast_endpoint"}
    assert {name for name in WEEKLY if not found[name]["isPartitioned"]} == set()
    assert {name: found[name]["assetMaterializations"][0]["partition"] for name in WEEKLY} == dict.fromkeys(
        WEEKLY, WEEK
    )
    stats = {"numMaterialized": 1, "numFailed": 0}
    assert {name: found[name]["partitionStats"] for name in WEEKLY} == dict.fromkeys(WEEKLY, stats)
    assert found["forecast_endpoint"]["assetMaterializations"][0]["partition"] is None
    labels = {entry["label"] for entry in found["forecast"]["assetMaterializations"][0]["metadataEntries"]}
    assert {"dagster/partition_row_count", "dagster/uri", "next_week", "fan_WGFUPUS2"} <= labels


def test_pictures_arrive_whole(refreshed: Ui) -> None:
    (found,) = refreshed.ask(
        """{ assetNodes(assetKeys: [{path: ["forecast"]}]) {
            assetMaterializations(limit: 1) { metadataEntries { label ... on MarkdownMetadataEntry { mdStr } } }
        } }"""
    )["assetNodes"]
    texts = {entry["label"]: entry.get("mdStr") for entry in found["assetMaterializations"][0]["metadataEntries"]}
    opening, picture = texts["fan_WGFUPUS2"].removesuffix(")").split(",")
    assert opening == "![fan of WGFUPUS2](data:image/png;base64"
    png = base64.b64decode(picture, validate=True)
    assert png.startswith(b"\x89PNG")
    assert png.endswith(b"IEND\xaeB`\x82")


def test_every_check_was_evaluated_and_the_gates_passed(refreshed: Ui) -> None:
    nodes = refreshed.ask(
        """{ assetNodes { assetChecksOrError { ... on AssetChecks { checks {
            name blocking executionForLatestMaterialization { status evaluation { success severity } }
        } } } } }"""
    )["assetNodes"]
    checks = [check for node in nodes for check in node["assetChecksOrError"].get("checks", [])]
    assert {check["name"] for check in checks} >= {
        "observations_valid",
        "gate",
        "forecast_complete",
        "answers_as_artifact",
    }
    results = {check["name"]: check["executionForLatestMaterialization"] for check in checks}
    assert {name for name, result in results.items() if result is None or result["evaluation"] is None} == set()
    assert {
        check["name"] for check in checks if check["blocking"] and results[check["name"]]["status"] != "SUCCEEDED"
    } == set()
    # A check that does not block warns.
    failed = {
        name: result["evaluation"]["severity"] for name, result in results.items() if result["status"] == "FAILED"
    }
    assert set(failed.values()) <= {"WARN"}


def test_the_settings_of_the_environment_reach_the_run(refreshed: Ui, environment: dict[str, str]) -> None:
    del refreshed
    shown = subprocess.run(
        [FORECAST, "show", "--week", WEEK, "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    forecast = json.loads(shown.stdout)
    assert (forecast["week"], forecast["source"]) == (WEEK, "file")
    assert len(forecast["series"]["WGFUPUS2"]) == 26
    jobs = Path(environment["FORECAST_LAKE_URI"], "_sagemaker", "train").glob("*/request.json")
    parameters = [json.loads(job.read_text())["HyperParameters"] for job in jobs]
    assert {asked["step"] for asked in parameters if asked["task"] == "tune"} == {"24"}  # FORECAST_STEP


def test_the_terminal_is_spared_what_nobody_can_act_on(refreshed: Ui) -> None:
    log = refreshed.log.read_text()
    assert "SupersessionWarning" not in log
    assert "DEBUG" not in log
    assert "Traceback" not in log
