"""Asking for a refresh: once for the same figures, again where that helps, never twice at a time."""

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from resources.eia.errors import EiaUnreachableError, ObservationsInvalidError, WorkbookError
from resources.eia.values import held
from resources.lake import LakeWriteError
from sensors.refreshing import CLAIM_S, Answer, ask_for
from tests.asking import WEEK, Watched, watched

VALUES = "0123456789abcdef"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path) as (world, _):
        yield world


def ask(world: Watched, values: str = VALUES, *, week: date = WEEK, by: str = "releases", after_s: float = 0) -> Answer:
    return ask_for(
        week, values, standing=world.standing, instance=world.instance, by=by, real_time=lambda: time.time() + after_s
    )


def requested(answer: Answer) -> dg.RunRequest:
    assert answer.request is not None, answer.reason
    return answer.request


def fails(error: Exception) -> object:
    def work() -> None:
        raise dg.Failure("the release was refused", allow_retries=False) from error

    return work


FULL = LakeWriteError("/lake/release", OSError(28, "No space left on device"))
AWAY = EiaUnreachableError("http://eia", "connection refused")
ABSURD = ObservationsInvalidError("WGFUPUS2", [])


def test_the_request_names_week_figures_and_attempt(world: Watched) -> None:
    request = requested(ask(world))
    assert (request.run_key, request.partition_key) == (f"{WEEK}:{VALUES}", WEEK.isoformat())
    assert request.tags == {"forecast/values": VALUES, "forecast/attempt": "1"}


def test_of_two_askers_in_the_same_instant_one_starts_a_run(world: Watched) -> None:
    requested(ask(world, by="releases"))
    second = ask(world, by="landings")
    assert (second.request, second.state) == (None, "waiting")
    assert "releases has just asked" in second.reason


def test_a_claim_whose_asker_died_before_there_was_a_run_loses_no_week(world: Watched) -> None:
    ask(world)
    assert ask(world, after_s=CLAIM_S - 5).request is None
    request = requested(ask(world, after_s=CLAIM_S + 5))
    assert request.run_key == f"{WEEK}:{VALUES}:2"
    assert ask(world, after_s=CLAIM_S + 5).request is None


@pytest.mark.parametrize("job", ["weekly_refresh", "backfill", "score"])
def test_while_a_run_of_the_week_is_at_work_nothing_is_asked_for(world: Watched, job: str) -> None:
    run = world.begins(WEEK, job)
    assert run.run_id in ask(world).reason
    assert ask(world, week=date(2023, 10, 27)).request is not None
    world.instance.report_run_canceled(run)
    assert ask(world).request is not None  # and no claim was left behind


def test_a_week_that_is_made_from_these_figures_is_left_alone_whatever_runs_say(tmp_path: Path) -> None:
    with watched(tmp_path) as (world, publisher):
        publisher.release()
        world.makes(WEEK)
        values = held(world.lake, WEEK, world.settings.series_ids)
        assert values is not None
        assert ask(world, values).state == "refreshed"
        assert ask(world, "other").state == "asked"


def test_a_run_that_succeeded_or_was_cancelled_by_a_person_is_not_repeated(world: Watched) -> None:
    world.runs(requested(ask(world)))
    assert ask(world, after_s=1e6).state == "ended"
    run = world.begins(WEEK)
    world.instance.add_run_tags(run.run_id, {"forecast/values": "fedcba9876543210"})
    world.instance.report_run_canceled(run)
    assert ask(world, "fedcba9876543210", after_s=1e6).state == "ended"


def test_a_run_that_met_other_figures_than_it_was_asked_for_is_repeated_once(tmp_path: Path) -> None:
    """A source of several servers: the sensor saw the revision, the run a copy from before."""
    with watched(tmp_path) as (world, publisher):
        publisher.release()
        for attempt in ("1", "2"):
            request = requested(ask(world, after_s=700))
            assert request.tags["forecast/attempt"] == attempt
            world.runs(request, lambda: world.makes(WEEK))
            assert "from other figures" in ask(world, after_s=10).reason
        assert ask(world, after_s=1e6).state == "ended"


def test_figures_that_come_back_after_others_are_asked_for_again(world: Watched) -> None:
    for values in (VALUES, "fedcba9876543210"):
        world.runs(requested(ask(world, values)))
    request = requested(ask(world, VALUES))
    assert request.run_key == f"{WEEK}:{VALUES}:2"
    world.runs(request)
    assert ask(world, VALUES).state == "ended"


@pytest.mark.parametrize("error", [FULL, AWAY], ids=["disk full", "EIA away"])
def test_what_failed_in_passing_is_tried_again_later_and_later(world: Watched, error: Exception) -> None:
    request = requested(ask(world))
    for attempt, wait_s in enumerate((600, 1200, 2400, 3600, 3600), start=2):
        world.runs(request, fails(error))
        assert ask(world, after_s=wait_s - 60).state == "waiting"
        request = requested(ask(world, after_s=wait_s + 1))
        assert request.tags["forecast/attempt"] == str(attempt)


def test_what_failed_for_good_is_not_tried_again(world: Watched) -> None:
    world.runs(requested(ask(world)), fails(ABSURD))
    answer = ask(world, after_s=1e6)
    assert answer.state == "ended"
    assert "release: ObservationsInvalidError" in answer.reason
    assert ask(world, "fedcba9876543210").state == "asked"  # other figures


def test_good_figures_are_tried_again_where_the_run_met_a_page_in_their_place(world: Watched) -> None:
    page = WorkbookError("WGFUPUS2", "the whole of it", "not a workbook")
    world.runs(requested(ask(world)), fails(page))
    assert ask(world, after_s=10).state == "waiting"
    assert ask(world, after_s=1000).state == "asked"


def test_what_could_not_be_read_and_still_cannot_is_final(world: Watched) -> None:
    world.runs(requested(ask(world, "unreadable-1")), fails(WorkbookError("WGFUPUS2", "all", "damaged")))
    assert ask(world, "unreadable-1", after_s=1e6).state == "ended"


def test_a_crash_that_dagster_retries_is_left_to_it_and_then_tried_again(world: Watched) -> None:
    ask(world)
    run = world.begins(WEEK)
    tags = {"forecast/values": VALUES, "forecast/attempt": "1", "dagster/will_retry": "true"}
    world.instance.add_run_tags(run.run_id, tags)
    world.instance.report_run_failed(run, "the process died")
    assert "Dagster is about to retry" in ask(world, after_s=1).reason
    assert requested(ask(world, after_s=700)).tags["forecast/attempt"] == "2"


@pytest.mark.parametrize("week", [date(2023, 11, 24), date(2009, 12, 25), date(2023, 11, 2)], ids=str)
def test_a_week_without_a_partition_at_the_platforms_time_is_not_asked_for(world: Watched, week: date) -> None:
    assert ask(world, week=week).state == "ended"


def test_partitions_flip_on_friday_in_new_york(world: Watched) -> None:
    nearly, then = "2023-11-09T23:59:00-05:00", "2023-11-10T00:00:30-05:00"
    for now, state in ((nearly, "ended"), (then, "asked")):
        world.at(now)
        assert ask(world, week=date(2023, 11, 10)).state == state
