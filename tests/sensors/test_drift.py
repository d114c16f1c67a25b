"""Drift is told of once, and asks for a search where retuning is not weekly and none is under way."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from forecast_assets.drift import fares
from forecast_assets.settings import Settings, load_settings
from forecast_assets.tuning import SEARCH_TAG
from forecasting import accuracy
from resources.alerts import Alerts
from resources.clock import Clock
from resources.lake import Lake
from sensors.drift import drift
from tests.world import ROOT

WEEK = date(2023, 11, 10)
LEVELS = (80.0, 90.0, 95.0)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(uri=str(tmp_path / "lake"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def settings(lake: Lake, **changes: object) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return load_settings(lake_uri=lake.uri, **changes)


def scored(lake: Lake, errors: dict[str, list[float]], *, last: date = WEEK, inside: float = 1) -> None:
    """Write the scores of as many weeks as there are errors; each has two forecasts, one and two weeks old."""
    count = len(next(iter(errors.values())))
    for number in range(count):
        week = last - timedelta(weeks=count - 1 - number)
        rows = [
            {
                **dict.fromkeys(accuracy.dtypes(LEVELS), 1.0),
                **{f"inside-{level:g}": inside for level in LEVELS},
                "unique_id": name,
                "ds": pd.Timestamp(week),
                "cutoff": pd.Timestamp(week - timedelta(weeks=ahead)),
                "horizon": ahead,
                "y": 1000.0,
                "mean": 1000 + values[number],
                "error": values[number],
                "absolute_error": abs(values[number]),
                "interval": "normal",
                "model": "m",
                "role": "candidate",
                "source": "file",
            }
            for name, values in errors.items()
            for ahead in (1, 2)
        ]
        lake.write("forecast_accuracy", week, pd.DataFrame(rows).astype(accuracy.dtypes(LEVELS)))


def searched(lake: Lake, in_week: date, *series: str, week: date = WEEK) -> None:
    """Write a leaderboard whose chosen configuration erred by 40 and 60 thousand barrels per day, one and two ahead."""
    trials = [
        {"unique_id": name, "configuration": label, "chosen": label == "good", "searched": pd.Timestamp(in_week)}
        for name in series
        for label in ("good", "bad")
    ]
    errors = [
        {"unique_id": name, "configuration": label, "horizon": ahead, "y": 100.0, "mean": 100 + error, "observed": seen}
        for name in series
        for label, scale in (("good", 1), ("bad", 1000))
        for ahead, error in ((1, 40), (2, -60))
        for seen in (True, False)
    ]
    frame = pd.DataFrame(errors)
    frame["mean"] = frame["mean"].where(frame["observed"], 1e9)  # weeks of a break promise nothing
    lake.write("tuning_trials", week, pd.DataFrame(trials))
    lake.write("tuning_errors", week, frame)


def tick(
    lake: Lake, instance: dg.DagsterInstance, cursor: str | None = None, **changes: object
) -> dg.SensorResult | dg.SkipReason:
    found = settings(lake, **changes)
    alerts = Alerts(lake=lake, clock=Clock(fixed="2023-11-16T00:00:00+00:00"))
    resources = {"settings": found, "lake": lake, "alerts": alerts}
    with dg.build_sensor_context(instance, cursor, resources=resources) as context:
        result = drift(found)(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def open_alerts(lake: Lake) -> list[str]:
    return Alerts(lake=lake, clock=Clock(fixed="2023-11-16T00:00:00+00:00")).open_keys("drift:")


def alternating(size: float) -> list[float]:
    return [size, -size] * 4


def test_errors_are_held_against_the_chosen_configurations_at_the_same_horizons(lake: Lake) -> None:
    scored(lake, {"A": alternating(74), "B": alternating(76)})
    searched(lake, WEEK, "A", "B")
    fine, worse = fares(lake, WEEK, tolerance=1.5)
    assert (fine.reasons, fine.recovered) == ((), False)
    assert worse.reasons == (
        "the mean absolute error of the last 8 weeks is 76 thousand barrels per day, 1.5 times the 50 of the backtest",
    )


def test_bias_and_coverage_are_reasons_too(lake: Lake) -> None:
    scored(lake, {"A": [20.0] * 30}, inside=0.2)
    searched(lake, WEEK, "A")
    (fare,) = fares(lake, WEEK, tolerance=1.5)
    assert [reason.split(" ")[0:3] for reason in fare.reasons] == [
        ["forecasts", "were", "2.0"],
        *([["the", f"{level}", "%"] for level in (80, 90, 95)]),
    ]


def test_drift_is_told_of_once_and_ends_when_it_is_well_over(lake: Lake, instance: dg.DagsterInstance) -> None:
    searched(lake, WEEK, "A")
    told = []
    for size in (40, 80, 74, 90, 60):  # fine, drifted, wavering, drifted still, over
        scored(lake, {"A": alternating(size)})
        tick(lake, instance)
        told.append(open_alerts(lake))
    assert told == [[], ["drift:A"], ["drift:A"], ["drift:A"], []]


def test_seven_weeks_are_not_judged(lake: Lake, instance: dg.DagsterInstance) -> None:
    scored(lake, {"A": alternating(500)[1:]})
    searched(lake, WEEK, "A")
    tick(lake, instance)
    assert open_alerts(lake) == []


def test_a_week_is_judged_once_and_again_when_it_is_scored_again(lake: Lake, instance: dg.DagsterInstance) -> None:
    assert "No forecast" in str(tick(lake, instance))
    scored(lake, {"A": alternating(10)})
    assert "not searched yet" in str(tick(lake, instance))
    searched(lake, WEEK, "A")
    first = tick(lake, instance)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(tick(lake, instance, first.cursor), dg.SkipReason)
    scored(lake, {"A": alternating(100)})
    assert isinstance(tick(lake, instance, first.cursor), dg.SensorResult)
    assert open_alerts(lake) == ["drift:A"]


@pytest.mark.parametrize(
    ("retuning", "weeks_ago", "asks"),
    [
        pytest.param("weekly", 0, False, id="weekly retuning needs no asking"),
        pytest.param("on_drift", 8, True, id="every forecast that drifted is of the old search"),
        pytest.param("on_drift", 7, False, id="a new search has had no time to show its worth"),
    ],
)
def test_a_search_is_asked_for(
    lake: Lake, instance: dg.DagsterInstance, *, retuning: str, weeks_ago: int, asks: bool
) -> None:
    scored(lake, {"A": alternating(100)})
    searched(lake, WEEK - timedelta(weeks=weeks_ago), "A")
    result = tick(lake, instance, retuning=retuning)
    assert isinstance(result, dg.SensorResult)
    assert [(run.partition_key, run.tags[SEARCH_TAG]) for run in result.run_requests or ()] == (
        [("2023-11-10", "drift")] if asks else []
    )


def test_no_drift_asks_for_nothing(lake: Lake, instance: dg.DagsterInstance) -> None:
    scored(lake, {"A": alternating(10)})
    searched(lake, WEEK - timedelta(weeks=52), "A")
    result = tick(lake, instance, retuning="on_drift")
    assert isinstance(result, dg.SensorResult)
    assert not result.run_requests
