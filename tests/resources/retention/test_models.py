"""Retention of registered models: what serves, may have to serve again, or waits for a word is kept."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from resources.lake import Lake
from resources.retention import Removal
from resources.retention.models import old_models
from resources.sagemaker.endpoint.configs import EndpointConfigs, serverless
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import Approval, Candidate, ModelRegistry, RegisteredModel

ROLE = "arn:aws:iam::000000000000:role/forecast"


class Registered:
    """A lake with models."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(uri=str(folder / "lake"))
        self.sagemaker = SageMaker(role_arn=ROLE, lake=self.lake)
        self.registry = ModelRegistry(self.sagemaker.client(), group="demand")
        self.configs = EndpointConfigs(
            self.sagemaker.client(),
            endpoint="demand",
            role_arn=ROLE,
            capacity=serverless(memory_mb=1024, max_concurrency=1),
        )

    def register(self, number: int, approval: Approval = "Approved", *, digest: str | None = None) -> RegisteredModel:
        digest = digest or f"{number:064x}"
        key = f"models/{digest}/model.tar.gz"
        for name in (key, f"models/{digest}/metrics.json"):
            self.lake.write_bytes(name, b"x" * 100)
        week, uri = date(2022, 12, 30) + timedelta(weeks=number), self.sagemaker.uri(key)
        candidate = Candidate(week=week, digest=digest, model_data=uri, metrics=uri, facts={})
        return self.registry.register(candidate, image="serving", approval=approval, reason="for a test")

    def old(self, keep: int, *, protected: frozenset[str] = frozenset()) -> list[Removal]:
        return list(old_models(self.registry, self.sagemaker, self.lake, keep=keep, protected=protected))

    def tidy(self, keep: int) -> None:
        for removal in self.old(keep, protected=frozenset(self.configs.packages())):
            removal.remove()

    def weeks(self) -> list[int]:
        return sorted((model.week - date(2022, 12, 30)).days // 7 for model in self.registry.models())

    def artifacts(self) -> set[int]:
        return {int(path.name, 16) for path in (self.lake.root / "models").iterdir()}


@pytest.fixture
def registered(tmp_path: Path) -> Registered:
    return Registered(tmp_path)


def test_the_newest_weeks_are_kept_with_their_artifacts_in_whatever_order_they_were_registered(registered):
    for number in (5, 1, 4, 2, 3):
        registered.register(number)
    assert [removal.size_bytes for removal in registered.old(3)] == [200, 200]
    registered.tidy(3)
    assert registered.weeks() == [3, 4, 5]
    assert registered.artifacts() == {3, 4, 5}
    assert registered.old(3) == []


def test_the_newest_approved_and_the_newest_that_waits_are_kept_whatever_their_age(registered):
    for number, approval in enumerate(("Approved", "Approved", "PendingManualApproval", "Rejected", "Rejected")):
        registered.register(number, approval)
    registered.tidy(1)
    assert registered.weeks() == [1, 2, 4]


def test_what_an_endpoint_may_be_brought_back_to_is_kept(registered):
    served, *_ = [registered.register(number) for number in range(4)]
    registered.configs.ensure(served)
    registered.tidy(2)
    assert registered.weeks() == [0, 2, 3]
    assert registered.artifacts() == {0, 2, 3}


def test_an_artifact_that_a_kept_version_shares_stays(registered):
    registered.register(0, digest=f"{7:064x}")
    for number in (1, 2):
        registered.register(number, digest=f"{7:064x}")
    registered.tidy(1)
    assert registered.weeks() == [2]
    assert registered.artifacts() == {7}


@pytest.mark.parametrize("step", ["reject", "delete"])
def test_a_removal_that_is_cut_short_is_finished_by_the_next(registered, monkeypatch, step):
    for number in range(3):
        registered.register(number)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(registered.registry, step, killed)
        with pytest.raises(KeyboardInterrupt):
            registered.tidy(2)
    approved = [model for model in registered.registry.models() if model.approval == "Approved"]
    assert all(registered.lake.storage.written_at(registered.sagemaker.key(model.model_data)) for model in approved)
    registered.tidy(2)
    assert registered.weeks() == [1, 2]
    assert registered.artifacts() == {1, 2}
    for removal in registered.old(1):
        removal.remove()
        removal.remove()  # a second housekeeper had it on its list too
