"""What the UI shows as late, through holidays and changes of the clock, at times that Dagster is given."""

import asyncio
from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.freshness_evaluator import CronFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time

from forecast_assets.forecasts import forecast

EASTERN = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("made", "seen", "state"),
    [
        pytest.param("2023-11-15 11:00", "2023-11-22 09:00", "PASS", id="a week later"),
        pytest.param("2023-11-15 11:00", "2023-11-25 10:00", "PASS", id="before the Saturday"),
        pytest.param("2023-11-15 11:00", "2023-11-25 11:00", "FAIL", id="after the Saturday"),
        pytest.param("2023-12-28 12:00", "2024-01-05 23:00", "PASS", id="holiday week, Thursday to Friday"),
        pytest.param("2023-11-01 10:45", "2023-11-04 10:31", "PASS", id="last days of summer time"),
        pytest.param("2023-11-01 10:15", "2023-11-04 10:31", "FAIL", id="made before the release"),
        pytest.param("2024-03-06 10:45", "2024-03-16 10:29", "PASS", id="over the change to summer time"),
        pytest.param("2024-03-06 10:45", "2024-03-16 10:31", "FAIL", id="after the change to summer time"),
    ],
)
def test_a_forecast_is_stale_on_saturday_if_it_was_not_made_since_the_release(
    instance: dg.DagsterInstance, made: str, seen: str, state: str
) -> None:
    with freeze_time(at(made)):
        instance.report_runless_asset_event(dg.AssetMaterialization("forecast", partition="2023-11-10"))
    node = AssetGraph.from_assets([forecast]).get(dg.AssetKey("forecast"))
    with freeze_time(at(seen)):
        found = CronFreshnessPolicyEvaluator().evaluate_freshness(LoadingContextForTest(instance), node)
        assert asyncio.run(found) == FreshnessState[state]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN)
