"""The weekly refresh in AWS mode, end to end: real boto3, real HTTP; and the numbers of local mode."""

from pathlib import Path

import pytest

from forecast_assets.serving import model_endpoint
from tests.aws.site import AwsSite, sagemaker
from tests.aws.world import Aws
from tests.refreshes import QUESTION, SERIES, Site, numbers
from tests.world import World

FIRST_STAGES = ("release", "observations", "outlier_flags", "structural_break", "counterfactual")


def settled(monkeypatch: pytest.MonkeyPatch, aws: Aws) -> None:
    """Have the settings of this process be those of AWS."""
    for name, value in aws.settings.items():
        monkeypatch.setenv(name, value)


def on_aws(aws: Aws, source: Path) -> World:
    return World(aws.lake_uri, source, series=(SERIES,), resources={"sagemaker": sagemaker(aws.lake_uri)})


def in_bucket(world: World, aws: Aws) -> dict[str, str]:
    return numbers(world.lake, [key.removeprefix("lake/") for key in aws.objects("lake/")])


def test_a_job_on_aws_gives_the_numbers_of_this_machine(
    shared_data: Path, tmp_path: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = World(tmp_path / "lake", shared_data / "weekly", series=(SERIES,))
    assert local.materialize(*FIRST_STAGES).success
    settled(monkeypatch, aws)
    remote = on_aws(aws, shared_data / "weekly")
    result = remote.materialize(*FIRST_STAGES)
    assert result.success
    found = in_bucket(remote, aws)
    assert set(found) >= {*FIRST_STAGES}
    assert found == numbers(local.lake)
    (event,) = result.asset_materializations_for_node("counterfactual")
    assert {"by_series", "console"} <= set(event.metadata), "what the job said through Pipes, and where it is"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_week_on_aws_has_the_numbers_of_this_machine(
    shared_data: Path, tmp_path: Path, whole: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every table, the model, the page's figures and the answers of the endpoint."""
    answers = []

    def refresh(world: World) -> None:
        for job, week in (("weekly_refresh", True), ("deploy", False)):
            outcome = world.run(job) if week else world.run(job, None)
            assert outcome.succeeded, outcome.reasons
        answers.append(model_endpoint(world.settings, world.platform.sagemaker).invoke(QUESTION))
        world.close()

    local = World(tmp_path / "lake", shared_data / "weekly", series=(SERIES,))
    refresh(local)
    settled(monkeypatch, whole)
    remote = on_aws(whole, shared_data / "weekly")
    refresh(remote)
    assert answers[0] == answers[1]
    assert in_bucket(remote, whole) == numbers(local.lake)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_command_line_refreshes_and_deploys_on_aws(shared_data: Path, tmp_path: Path, whole: Aws) -> None:
    local = Site(tmp_path, shared_data / "weekly")
    try:
        local.completes()
        expected, answer = numbers(local.lake), local.asks()
    finally:
        local.close()
    (tmp_path / "aws").mkdir()
    site = AwsSite(tmp_path / "aws", whole, shared_data / "weekly")
    try:
        site.completes()
        assert site.numbers() == expected
        assert site.asks() == answer
        jobs = site.jobs()
        assert set(jobs.values()) == {"Completed"}
        assert "up to date" in site.completes().said()
        assert site.jobs() == jobs
    finally:
        site.end()
