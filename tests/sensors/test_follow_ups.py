"""What follows runs: each thing once, once they have ended, in whatever order they did."""

import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest

from forecast_assets import accuracy, changes
from forecasting.configuration import SEASONAL_NAIVE
from resources.sagemaker.registry import Candidate
from sensors.follow_ups import TRIES, follow_ups
from tests.weeks import WEEKS, figures, make_week
from tests.world import ROOT, WEEK, World

ENDED = "Runs have just ended: the next look tells."


class Followed:
    """A world, its history, and the sensor that looks at it; what it asks for is run when told."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.world, self.instance = World(folder / "lake", folder), instance
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest] | str:
        """The runs that a tick asks for, or why it asks for none."""
        defs = self.world.platform.defs
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=defs, resources=defs.resources
        ) as context:
            done = follow_ups(self.world.settings).evaluate_tick(context)
        self.cursor = done.cursor
        return list(done.run_requests or []) or str(done.skip_message)

    def asked(self) -> dict[str, list[str | None]]:
        """What is asked for once all is quiet: the weeks by job, which are run in the reverse order."""
        assert self.tick() == ENDED
        requests = self.tick()
        if isinstance(requests, str):
            return {requests: []}
        found: dict[str, list[str | None]] = {}
        for request in requests:
            found.setdefault(str(request.job_name), []).append(request.partition_key)
        for request in reversed(requests):
            self.run(str(request.job_name), request.partition_key, {"dagster/run_key": str(request.run_key)})
        return found

    def run(self, job: str, week: str | None, tags: Mapping[str, str] | None = None) -> bool:
        definition = self.world.platform.defs.resolve_job_def(job)
        return definition.execute_in_process(
            partition_key=week, instance=self.instance, tags=tags, raise_on_error=False
        ).success

    def ended(self, job: str, week: str, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS) -> dg.DagsterRun:
        """A run of a job in the history."""
        definition = self.world.platform.defs.resolve_job_def(job)
        begun = dg.DagsterRunStatus.STARTED
        run = self.instance.create_run_for_job(definition, status=begun, tags={"dagster/partition": week})
        if status == dg.DagsterRunStatus.SUCCESS:
            done = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, job)
            self.instance.report_dagster_event(done, run_id=run.run_id)
        elif status == dg.DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run, "it failed")
        return run


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    monkeypatch.chdir(ROOT)
    with dg.DagsterInstance.ephemeral() as instance:
        made = Followed(tmp_path, instance)
        made.world.lake.claim("real")
        yield made


def test_weeks_made_in_reverse_order_are_all_scored_with_one_look_and_each_once(followed: Followed) -> None:
    assert followed.tick() == "Nothing has ended since the last look."
    for week in reversed(WEEKS[2:]):
        make_week(followed.world.lake, week, figures())
        followed.ended("backfill", str(week))
    running = followed.ended("backfill", str(WEEKS[1]), dg.DagsterRunStatus.STARTED)
    assert followed.tick() == "Waiting for the end of what runs."
    make_week(followed.world.lake, WEEKS[1], figures())
    followed.instance.report_run_failed(running, "that of the last week was killed when all was done")

    assert followed.asked() == {"score": [str(week) for week in WEEKS[2:]]}
    assert not accuracy.stale_weeks(followed.world.lake)
    assert not changes.stale_weeks(followed.world.lake)
    scored = followed.world.lake.read("forecast_accuracy", WEEK)
    assert set(scored["cutoff"]) == {pd.Timestamp(week) for week in WEEKS[1:-1]}
    assert followed.asked() == {"sql_catalog": [None]}, "the first weeks of tables"
    assert followed.world.platform.unlisted_tables() is None
    assert followed.asked() == {"Nothing is missing.": []}
    followed.cursor = None  # whoever resets it has everything looked at again, and nothing run again
    assert followed.asked() == {"Nothing is missing.": []}


def test_a_week_that_cannot_be_scored_is_tried_a_few_times_and_then_left(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()  # only the pauses between attempts are of that clock
    clock = SimpleNamespace(time=lambda: now)
    monkeypatch.setattr(import_module("sensors.follow_ups"), "time", clock)
    lake = followed.world.lake
    assert followed.run("sql_catalog", None)
    for week in WEEKS[-2:]:
        make_week(lake, week, figures())
    (lake.root / lake.key("counterfactual", WEEKS[-2])).unlink()
    followed.ended("backfill", str(WEEK))
    for _ in range(TRIES + 1):  # the first of them makes one of the two tables: less is missing then
        assert followed.asked()["score"] == [str(WEEK)]
        now += 10**7
    assert followed.asked() == {"Nothing is missing.": []}
    make_week(lake, WEEKS[-2], figures(), configuration=SEASONAL_NAIVE)
    followed.ended("backfill", str(WEEKS[-2]))
    assert followed.asked()["score"] == [str(WEEK)]


def test_a_refused_candidate_of_a_refresh_is_to_be_registered_until_it_is(followed: Followed) -> None:
    world = followed.world
    make_week(world.lake, WEEK, figures())
    (world.lake.root / world.lake.key("forecast", WEEK)).unlink()
    rows = [("WGFUPUS2", role, mae) for role, mae in (("candidate", 2.0), ("seasonal_naive", 1.0))]
    world.lake.write("model_scores", WEEK, pd.DataFrame(rows, columns=["unique_id", "role", "mae"]))
    assert followed.run("sql_catalog", None)
    followed.ended("backfill", str(WEEK), dg.DagsterRunStatus.FAILURE)
    assert followed.asked() == {"Nothing is missing.": []}, "a backfill registers nothing"
    followed.ended("weekly_refresh", str(WEEK), dg.DagsterRunStatus.FAILURE)
    assert followed.tick() == ENDED
    [request] = followed.tick()
    assert (request.job_name, request.partition_key) == ("register", str(WEEK))

    digest = world.platform.unregistered_refusal(WEEK)
    assert digest is not None
    candidate = Candidate(WEEK, digest, "s3://lake/models/x/model.tar.gz", "s3://lake/models/x/metrics.json", {})
    image = world.platform.sagemaker.image("serving")
    world.platform.registry.register(candidate, image=image, approval="Rejected", reason="the gate says no")
    followed.ended("weekly_refresh", str(WEEK), dg.DagsterRunStatus.FAILURE)
    assert followed.asked() == {"Nothing is missing.": []}
