"""Registered models that are quick to make, deployed and asked for."""

from datetime import date

from forecast_assets.serving import model_endpoint
from forecasting import artifact
from resources.sagemaker.registry import Approval, Candidate, RegisteredModel
from tests.served import sealed, small_artifact
from tests.world import World


def register(world: World, week: date, *, image: str | None = None, approval: Approval = "Approved") -> RegisteredModel:
    """A model of a week; the artifacts differ in what they say of it."""
    content = {k: v for k, v in small_artifact().items() if k != "digest"} | {"provenance": {"week": week.isoformat()}}
    sagemaker, made = world.platform.sagemaker, sealed(content)
    key = f"models/{made['digest']}/model.tar.gz"
    world.lake.write_bytes(key, artifact.pack(made))
    candidate = Candidate(
        week=week,
        digest=str(made["digest"]),
        model_data=sagemaker.uri(key),
        metrics=sagemaker.uri(f"models/{made['digest']}/metrics.json"),
        facts={"passed": "WGFUPUS2"},
    )
    return world.platform.registry.register(
        candidate, image=image or sagemaker.image("serving"), approval=approval, reason="it is a test"
    )


def deploys(world: World) -> None:
    """Run the job `deploy`."""
    outcome = world.run("deploy", week=None)
    assert outcome.succeeded, outcome.reasons


def served(world: World) -> str | None:
    """The version that the endpoint serves."""
    endpoint = model_endpoint(world.settings, world.platform.sagemaker)
    status = endpoint.status()
    return endpoint.package(status.config) if status else None
