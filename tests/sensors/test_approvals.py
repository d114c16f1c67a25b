"""The approvals sensor: what is approved is deployed, once, and nothing else is."""

import sys
from collections.abc import Iterator, Mapping
from datetime import date
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from botocore.exceptions import EndpointConnectionError
from dagster._core.events import StepMaterializationData

from forecast_assets.serving import model_endpoint
from forecast_assets.standing import Standing
from resources.sagemaker.local.clients import register_image
from resources.sagemaker.registry import RegisteredModel
from sensors.approvals import Tried, approvals
from tests.models import register, served
from tests.world import ROOT, World

FIRST, SECOND, THIRD, FOURTH = (date(2023, 11, day) for day in (3, 10, 17, 24))
MUTE = "local/mute:latest"


class Watched:
    """A world, its history, and the sensor that looks at it; what it asks for is run when told."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.world, self.instance = World(folder / "lake", folder), instance
        self.cursor: str | None = None
        self.keys: list[str] = []

    def tick(self) -> dg.RunRequest | str:
        """The run that a tick asks for, or why it asks for none."""
        defs = self.world.platform.defs
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=defs, resources=defs.resources
        ) as context:
            done = approvals(self.world.settings).evaluate_tick(context)
        self.cursor = done.cursor
        if not done.run_requests:
            return str(done.skip_message)
        [request] = done.run_requests
        assert request.run_key not in self.keys, "Dagster would drop it"
        self.keys.append(str(request.run_key))
        return request

    def deploys(self) -> bool:
        """Ask, be told to deploy, and do it."""
        assert isinstance(self.tick(), dg.RunRequest)
        return self.world.platform.run("deploy", self.instance).succeeded

    def run_of(self, job: str, status: dg.DagsterRunStatus, tags: Mapping[str, str] | None = None) -> dg.DagsterRun:
        """A run of a job in the history."""
        definition = self.world.platform.defs.resolve_job_def(job)
        return self.instance.create_run_for_job(definition, status=status, tags=tags)

    def decide(self, model: RegisteredModel, approval: str) -> None:
        self.world.platform.registry.decide(model.version, approval, reason="a person said so")


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.chdir(ROOT)
    with dg.DagsterInstance.ephemeral() as instance:
        made = Watched(tmp_path, instance)
        yield made
        made.world.close()
        made.world.platform.api.delete(lambda _: None)


@pytest.fixture
def undeployed(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Nothing is ever seen to serve: how deployments end is told by the history alone."""
    monkeypatch.setattr(Standing, "is_deployed", lambda self: False)
    monkeypatch.setattr(Standing, "is_taken_down", lambda self: False)
    return watched


def test_without_an_approved_model_nothing_starts(watched: Watched) -> None:
    assert watched.tick() == "No model is approved."
    register(watched.world, FIRST, approval="PendingManualApproval")
    assert watched.tick() == "No model is approved."


def test_what_is_approved_is_deployed_once_and_goes_back_and_forth_as_people_decide(watched: Watched) -> None:
    old = register(watched.world, FIRST, approval="PendingManualApproval")
    first = register(watched.world, SECOND)
    assert watched.deploys()
    assert watched.tick() == "Version 2, of week 2023-11-10, serves."
    watched.decide(old, "Approved")
    assert watched.tick() == "Version 2, of week 2023-11-10, serves.", "an old approval deploys nothing"

    second = register(watched.world, THIRD, approval="PendingManualApproval")
    assert watched.tick() == "Version 2, of week 2023-11-10, serves."
    watched.decide(second, "Approved")
    assert watched.deploys()
    assert served(watched.world) == second.arn

    watched.decide(second, "Rejected")
    assert watched.deploys(), "the former one was deployed before, and is again"
    assert served(watched.world) == first.arn
    watched.decide(second, "Approved")
    assert watched.deploys()
    assert served(watched.world) == second.arn
    register(watched.world, FOURTH, approval="Rejected")
    assert watched.tick() == "Version 3, of week 2023-11-17, serves.", "the gate refused a newer one"
    watched.cursor = None
    assert watched.tick() == "Version 3, of week 2023-11-17, serves.", "a first look, at a lake that has an endpoint"


def test_what_a_person_took_down_stays_down_until_the_next_model(watched: Watched) -> None:
    register(watched.world, FIRST)
    assert watched.deploys()
    watched.tick()
    model_endpoint(watched.world.settings, watched.world.platform.sagemaker).delete()
    assert "taken down since" in str(watched.tick())
    register(watched.world, SECOND)
    assert isinstance(watched.tick(), dg.RunRequest)


def test_a_model_that_does_not_come_up_is_tried_once_and_another_model_is_tried(watched: Watched) -> None:
    root = watched.world.platform.sagemaker.root
    watched.world.platform.sagemaker.client()
    register_image(root, MUTE, {"serve": [sys.executable, "-c", "raise SystemExit(3)"]})
    bad = register(watched.world, SECOND, image=MUTE)
    assert not watched.deploys()
    for _ in range(2):
        assert "(EndpointUpdateError) and is not tried again by itself" in str(watched.tick())
    watched.decide(bad, "Rejected")
    assert watched.tick() == "No model is approved."
    register(watched.world, THIRD)
    assert isinstance(watched.tick(), dg.RunRequest)


def test_no_deployment_follows_one_that_is_under_way_and_an_approval_meanwhile_is_not_lost(undeployed: Watched) -> None:
    register(undeployed.world, FIRST)
    assert isinstance(undeployed.tick(), dg.RunRequest)
    run = undeployed.run_of("deploy", dg.DagsterRunStatus.STARTING)
    newer = register(undeployed.world, SECOND)
    assert f"Run {run.run_id} deploys" in str(undeployed.tick())
    undeployed.instance.report_run_canceled(run)
    request = undeployed.tick()
    assert isinstance(request, dg.RunRequest)
    assert newer.arn in str(request.run_key)


def test_a_tick_that_is_evaluated_twice_asks_for_the_same_run(undeployed: Watched) -> None:
    register(undeployed.world, FIRST)
    first = undeployed.tick()
    undeployed.cursor, undeployed.keys = None, []
    second = undeployed.tick()
    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.run_key == second.run_key


def test_a_passing_failure_is_tried_again_ever_later(undeployed: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    register(undeployed.world, FIRST)
    now = 0.0
    monkeypatch.setattr(import_module("sensors.approvals"), "time", SimpleNamespace(time=lambda: now))
    pauses = []
    for _ in range(5):
        assert isinstance(undeployed.tick(), dg.RunRequest)
        run = undeployed.run_of("deploy", dg.DagsterRunStatus.STARTED)
        undeployed.instance.report_run_failed(run, "its process died")
        [record] = undeployed.instance.get_run_records(limit=1)
        ended = record.end_time or record.update_timestamp.timestamp()
        now = ended + 1
        said = str(undeployed.tick())
        assert "tried again in" in said
        pauses.append(int(said.rpartition(" in ")[2].removesuffix(" s.")) + 1)
        now = ended + pauses[-1]
    assert pauses == [600, 1200, 2400, 3600, 3600]


def test_a_model_of_a_backfill_is_not_deployed_until_a_refresh_makes_it_too(undeployed: Watched) -> None:
    model = register(undeployed.world, FIRST)

    def materialized(tags: Mapping[str, str]) -> None:
        run = undeployed.run_of("weekly_refresh", dg.DagsterRunStatus.SUCCESS, tags)
        made = dg.AssetMaterialization("registered_model", partition=str(FIRST), metadata={"arn": model.arn})
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION.value
        event = dg.DagsterEvent(kind, run.job_name, event_specific_data=StepMaterializationData(made))
        undeployed.instance.report_dagster_event(event, run_id=run.run_id)

    materialized({"dagster/backfill": "abc"})
    assert "registered by a backfill" in str(undeployed.tick())
    materialized({})
    assert isinstance(undeployed.tick(), dg.RunRequest), "a refresh of its own registered it too"


def test_a_registry_that_cannot_be_asked_is_a_reason_and_nothing_is_forgotten(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(watched.world, FIRST)
    before = watched.cursor = Tried("arn", 2).written()

    def unreachable(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com")

    monkeypatch.setattr(Standing, "is_deployed", unreachable)
    assert "Not known at the moment: cannot ask which model is approved" in str(watched.tick())
    assert watched.cursor == before
