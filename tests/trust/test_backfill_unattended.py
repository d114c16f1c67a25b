"""A backfill from the UI: within its limits, without the endpoint, and with every forecast scored in whatever order."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dagster import DagsterRunStatus

from forecast_assets import accuracy, changes
from resources.lake import content_digest
from tests.daemon import Machine
from tests.refreshes import until
from tests.webserver import LOCATION
from tests.world import WEEK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WEEKS = [WEEK - timedelta(weeks=back) for back in range(3)]  # the newest first: the wrong way round
_BACKFILL = """mutation ($parameters: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $parameters) {
        __typename
        ... on LaunchBackfillSuccess { backfillId }
        ... on PythonError { message }
    }
}"""
ENVIRONMENT = {"FORECAST_WATCH__INTERVAL_S": "1", "FORECAST_WATCH__RETRY_S": "1"}


@pytest.fixture
def machine(shared_data: Path, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, shared_data / "weekly", home=tmp_path / "home", environment=ENVIRONMENT)
    yield made
    made.close()


def backfilled(machine: Machine, job: str) -> str:
    repository = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
    selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": repository}
    names = [week.isoformat() for week in WEEKS]
    asked = machine.ask(_BACKFILL, parameters={"selector": selector, "partitionNames": names})
    launched = asked["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    return str(launched["backfillId"])


def test_weeks_in_the_wrong_order_are_made_one_by_one_scored_and_never_served(machine: Machine) -> None:
    machine.boots(watching=False)
    backfill = backfilled(machine, "backfill")

    def made() -> list[tuple[float, float]] | None:
        records = [
            record
            for record in machine.instance.get_run_records()
            if record.dagster_run.tags.get("dagster/backfill") == backfill
        ]
        ended = [record for record in records if record.dagster_run.is_finished]
        if len(ended) < len(WEEKS):
            return None
        assert {record.dagster_run.status for record in ended} == {DagsterRunStatus.SUCCESS}
        return sorted((record.start_time or 0, record.end_time or 0) for record in ended)

    spans = until(made, "end of the backfill")
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans)), "one at a time"
    assert accuracy.stale_weeks(machine.lake) or changes.stale_weeks(machine.lake), "the order was the wrong one"

    machine.watches("follow_ups", "approvals")
    until(lambda: not accuracy.stale_weeks(machine.lake) and not changes.stale_weeks(machine.lake), "all scores")
    scored = machine.lake.read("forecast_accuracy", WEEK)
    assert sorted(scored["horizon"].unique()) == [1, 2]
    until(lambda: all(run.is_finished for run in machine.runs()), "end of the runs")
    digest = content_digest(scored)
    assert machine.runs("deploy") == []
    assert not (machine.lake.root / "_sagemaker" / "endpoint").exists(), "a backfill brings nothing up"
    assert not (machine.lake.root / "_sagemaker" / "package").exists(), "and registers nothing"

    # A run of a week that is at work keeps another one of it waiting, whatever the job.
    first = machine.launch("backfill", week=WEEK.isoformat())
    second = machine.launch("score", week=WEEK.isoformat())
    machine.begins(first, "release")
    assert machine.run(second).status is DagsterRunStatus.QUEUED
    assert machine.ends(first) is DagsterRunStatus.SUCCESS
    assert machine.ends(second) is DagsterRunStatus.SUCCESS
    assert content_digest(machine.lake.read("forecast_accuracy", WEEK)) == digest
