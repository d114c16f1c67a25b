"""The safety net: it starts what nothing else has started, once, and tells when EIA is late."""

import functools
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from forecast_assets.definitions import build_defs
from forecast_assets.settings import load_settings
from sensors.refreshing import ask_for
from sensors.releases import Cursor, watch
from sensors.safety_net import catch_up, safety_net
from tests.asking import WEEK, Publisher, Watched, watched
from tests.eia_server import Reply

EVENING = "2023-11-08T18:00:00-05:00"
BEFORE, LONG_BEFORE = date(2023, 10, 27), date(2023, 10, 20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Watched, Publisher]]:
    with watched(tmp_path) as (world, publisher):
        world.at(EVENING)
        publisher.release()
        yield world, publisher


def caught(world: Watched) -> list[str]:
    """The weeks that are started, in order."""
    answers = catch_up(world.standing, world.alerts, world.instance)
    return [answer.request.partition_key for answer in answers if answer.request is not None]


def test_a_week_that_nothing_has_started_is_started_once(site: tuple[Watched, Publisher]) -> None:
    world, _ = site
    assert caught(world) == ["2023-11-03"]
    assert caught(world) == []


def test_what_the_release_sensor_has_asked_for_is_left_to_it(site: tuple[Watched, Publisher]) -> None:
    world, _ = site
    cursor = Cursor.read(None, world.standing)
    answer, cursor = watch(cursor, world.standing, world.alerts, world.instance)
    assert answer.request is not None
    assert caught(world) == []
    world.runs(answer.request, lambda: world.makes(WEEK))
    assert caught(world) == []


def test_a_refreshed_week_costs_no_request(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    world.makes(WEEK)
    before = publisher.sent
    assert caught(world) == []
    assert publisher.sent == before


def test_weeks_that_were_missed_altogether_come_first(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    world.at("2023-10-18T18:00:00-04:00")
    publisher.release(date(2023, 10, 13))
    world.makes(date(2023, 10, 13))
    world.at(EVENING)
    publisher.release()
    answers = catch_up(world.standing, world.alerts, world.instance)
    requests = [answer.request for answer in answers if answer.request]
    assert [request.partition_key for request in requests] == ["2023-10-20", "2023-10-27", "2023-11-03"]
    assert [request.tags["dagster/priority"] for request in requests] == ["2", "1", "0"]
    for request, week in zip(requests, (LONG_BEFORE, BEFORE, WEEK), strict=True):
        world.runs(request, functools.partial(world.makes, week))
    assert world.lake.read("release", BEFORE)["reconstructed"].all()
    assert caught(world) == []


def test_weeks_before_the_first_forecast_are_not_missed(site: tuple[Watched, Publisher]) -> None:
    world, _ = site
    world.makes(WEEK)
    assert caught(world) == []


def test_a_week_that_failed_for_good_is_made_from_figures_that_were_mended_later(
    site: tuple[Watched, Publisher],
) -> None:
    world, publisher = site
    world.at("2023-11-01T18:00:00-04:00")
    publisher.release(LONG_BEFORE)
    world.makes(LONG_BEFORE)
    publisher.release(BEFORE, changes={BEFORE: 9e6})
    (answer,) = catch_up(world.standing, world.alerts, world.instance)
    assert answer.request is not None

    def refuse() -> None:
        raise dg.Failure("absurd", allow_retries=False)

    world.runs(answer.request, refuse)
    assert caught(world) == []
    world.at(EVENING)
    publisher.release(WEEK)
    assert caught(world) == ["2023-10-27", "2023-11-03"]


def test_a_late_week_alerts_once_and_the_alert_ends_when_it_comes(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    publisher.release(BEFORE)
    assert caught(world) == []
    assert world.alerts.open_keys() == ["late:2023-11-03"]
    world.at("2023-11-09T18:00:00-05:00")
    caught(world)
    assert world.alerts.open_keys() == ["late:2023-11-03"]
    publisher.release()
    assert caught(world) == ["2023-11-03"]
    assert world.alerts.open_keys() == []


def test_an_outage_of_weeks_is_one_alert(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    publisher.release(BEFORE)
    for evening in (EVENING, "2023-11-15T18:00:00-05:00", "2023-11-22T18:00:00-05:00"):
        world.at(evening)
        caught(world)
    assert world.alerts.open_keys() == ["late:2023-11-03"]
    publisher.release()
    caught(world)
    assert world.alerts.open_keys() == ["late:2023-11-17"]


def test_the_release_sensor_ends_it_too(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    publisher.release(BEFORE)
    caught(world)
    publisher.release()
    watch(Cursor.read(None, world.standing), world.standing, world.alerts, world.instance)
    assert world.alerts.open_keys() == []


def test_one_late_series_makes_the_week_late_and_is_named(tmp_path: Path) -> None:
    both = ("WGFUPUS2", "WREUPUS2")
    with watched(tmp_path, series=both) as (world, publisher):
        world.at(EVENING)
        publisher.release(BEFORE, *both)
        publisher.release(WEEK, "WGFUPUS2")
        said: list[Any] = []
        alerts = type("Heard", (), {"open": lambda _, alert: said.append(alert), "open_keys": lambda *_: []})()
        catch_up(world.standing, alerts, world.instance)
        (alert,) = said
        assert "1 of 2 series have no figure for 2023-11-03: WREUPUS2 ends 2023-10-27" in alert.what
        assert "due Wednesday 2023-11-08 10:30 EST" in alert.what


def test_a_source_that_does_not_answer_is_late_for_whoever_waits(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    publisher.fault = Reply(503)
    assert caught(world) == []
    assert world.alerts.open_keys() == ["late:2023-11-03"]


def test_a_week_that_came_and_failed_is_not_late(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    world.makes(WEEK)
    (world.lake.root / world.lake.key("observations", WEEK)).unlink()
    publisher.fault = Reply(503)
    assert caught(world) == []
    assert world.alerts.open_keys() == []


def test_what_is_no_release_goes_to_a_run_that_says_so(site: tuple[Watched, Publisher]) -> None:
    world, publisher = site
    publisher.put("WGFUPUS2", b"<html>")
    (answer,) = catch_up(world.standing, world.alerts, world.instance)
    assert answer.request is not None
    values = answer.request.tags["forecast/values"]
    assert values.startswith("unreadable-")
    again = ask_for(WEEK, values, standing=world.standing, instance=world.instance, by="releases")
    assert again.state == "waiting"


# -- the calendar ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evening", "due"),
    [
        pytest.param("2023-11-22T18:00:00-05:00", date(2023, 11, 17), id="thanksgiving is a Thursday: no delay"),
        pytest.param("2023-12-27T18:00:00-05:00", date(2023, 12, 15), id="christmas, Wednesday: a day later"),
        pytest.param("2023-12-28T18:00:00-05:00", date(2023, 12, 22), id="christmas, Thursday"),
        pytest.param("2024-01-03T18:00:00-05:00", date(2023, 12, 22), id="new year, Wednesday: a day later"),
        pytest.param("2024-01-04T18:00:00-05:00", date(2023, 12, 29), id="new year, Thursday"),
        pytest.param("2023-07-05T18:00:00-04:00", date(2023, 6, 23), id="july 4th, Wednesday: a day later"),
        pytest.param("2023-07-06T18:00:00-04:00", date(2023, 6, 30), id="july 4th, Thursday"),
        pytest.param("2023-11-08T11:00:00-05:00", None, id="half an hour after the release nothing is late"),
        pytest.param("2023-11-10T00:05:00-05:00", date(2023, 11, 3), id="on Friday the week before is due"),
    ],
)
def test_a_week_is_late_in_the_evening_of_its_own_release_day(
    site: tuple[Watched, Publisher], evening: str, due: date | None
) -> None:
    world, publisher = site
    publisher.release(date(2023, 6, 16))
    world.at(evening)
    caught(world)
    assert world.alerts.open_keys() == ([f"late:{due}"] if due else [])


def test_it_runs_at_six_in_the_evening_of_new_york_in_winter_and_in_summer() -> None:
    schedule = safety_net(load_settings())
    autumn = datetime(2023, 11, 1, tzinfo=UTC).timestamp()  # clocks change on the 5th
    moments = schedule_execution_time_iterator(autumn, schedule.cron_schedule, schedule.execution_timezone)
    assert [moment.isoformat() for moment in islice(moments, 4)] == [
        "2023-11-01T18:00:00-04:00",
        "2023-11-02T18:00:00-04:00",
        "2023-11-08T18:00:00-05:00",
        "2023-11-09T18:00:00-05:00",
    ]


def test_dagster_gets_a_run_of_the_week_from_its_tick(site: tuple[Watched, Publisher], tmp_path: Path) -> None:
    world, _ = site
    resources = {name: getattr(world, name) for name in ("settings", "lake", "eia", "clock", "sagemaker", "alerts")}
    defs = build_defs(settings=world.settings, resource_overrides=resources)
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("safety_net")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING

    moment = datetime.fromisoformat(EVENING)
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=moment, repository_def=repository, resources=defs.resources
        ) as context,
    ):
        (request,) = schedule.evaluate_tick(context).run_requests
        assert request.tags["dagster/partition"] == "2023-11-03"
        assert request.run_key.startswith("2023-11-03:")
        assert "has just asked" in schedule.evaluate_tick(context).skip_message
