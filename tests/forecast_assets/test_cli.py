"""The command line as a user meets it: real processes, a lake of its own, the simulated sample, a small search."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Forecast = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli") / "lake"


@pytest.fixture(scope="module")
def forecast(lake: Path) -> Iterator[Forecast]:
    environment = {
        **os.environ,
        "FORECAST_LAKE_URI": str(lake),
        "FORECAST_EIA_SOURCE": "sample",
        "FORECAST_STEP": "24",
        "FORECAST_MAX_HARMONICS": "2",
        "COLUMNS": "140",
    }
    environment.pop("DAGSTER_HOME", None)

    def run(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [str(Path(sys.executable).with_name("forecast")), *arguments]
        return subprocess.run(
            command, cwd=ROOT, env={**environment, **more}, capture_output=True, text=True, timeout=280, check=False
        )

    yield run
    run("endpoint", "stop")


@pytest.fixture(scope="module")
def refreshed(forecast: Forecast) -> "subprocess.CompletedProcess[str]":
    done = forecast("refresh")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def shown(refreshed: object, forecast: Forecast) -> dict[str, object]:
    done = forecast("show", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def backfilled(shown: dict[str, object], forecast: Forecast) -> date:
    """The week before the refreshed one, replayed after it."""
    week = date.fromisoformat(str(shown["week"])) - timedelta(weeks=1)
    done = forecast("backfill", "--from", str(week), "--to", str(week))
    assert done.returncode == 0, done.stderr
    assert "candidate_model" not in done.stderr, "a replayed week is a line"
    return week


def test_a_refresh_ends_with_the_forecast_on_the_screen_and_says_that_it_is_simulated(
    refreshed: "subprocess.CompletedProcess[str]",
) -> None:
    assert "90 % interval" in refreshed.stdout
    assert "SIMULATED" in refreshed.stdout
    assert "Endpoint petroleum-demand: InService" in refreshed.stdout
    assert "candidate_model" in refreshed.stderr, "progress goes to standard error"


def test_the_forecast_as_json_begins_the_week_after_the_cutoff(shown: dict[str, object]) -> None:
    week = date.fromisoformat(str(shown["week"]))
    assert shown["source"] == "sample"
    [(name, rows)] = dict(shown["series"]).items()  # type: ignore[call-overload]
    assert name == "WGFUPUS2"
    assert [row["ds"] for row in rows] == [(week + timedelta(weeks=ahead)).isoformat() for ahead in range(1, 27)]
    assert [row["horizon"] for row in rows] == list(range(1, 27))
    assert list(rows[0])[2:] == ["mean", "lo-80", "hi-80", "lo-90", "hi-90", "lo-95", "hi-95"]


def test_the_endpoint_answers_as_the_reference_did(shown: dict[str, object], forecast: Forecast) -> None:
    done = forecast("endpoint", "invoke", "--periods", "10", "--conf", "0.9")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer) == 10
    assert list(answer[0]) == ["date", "lower_pi_0.9", "predictions", "upper_pi_0.9"]
    [rows] = dict(shown["series"]).values()  # type: ignore[call-overload]
    assert [row["predictions"] for row in answer] == [row["mean"] for row in rows[:10]]
    assert [row["lower_pi_0.9"] for row in answer] == [row["lo-90"] for row in rows[:10]]


def test_a_second_refresh_does_nothing(refreshed: object, forecast: Forecast) -> None:
    done = forecast("refresh")
    assert done.returncode == 0, done.stderr
    assert "is up to date" in done.stderr
    assert "candidate_model" not in done.stderr


def test_force_recomputes_the_same_numbers(shown: dict[str, object], forecast: Forecast, lake: Path) -> None:
    jobs = sorted(path.name for path in (lake / "jobs").iterdir())
    before = forecast("endpoint", "status").stdout
    done = forecast("refresh", "--force")
    assert done.returncode == 0, done.stderr
    assert len(list((lake / "jobs").iterdir())) > len(jobs), "jobs ran anew"
    assert json.loads(forecast("show", "--json").stdout) == shown
    assert forecast("endpoint", "status").stdout == before, "the same artifact is not another version"


def test_a_stopped_endpoint_is_brought_back_by_the_next_refresh(refreshed: object, forecast: Forecast) -> None:
    assert forecast("endpoint", "stop").returncode == 0
    gone = forecast("endpoint", "invoke")
    assert gone.returncode == 1
    assert "there is no endpoint petroleum-demand: run `forecast refresh`" in gone.stderr
    assert forecast("refresh").returncode == 0
    assert "InService" in forecast("endpoint", "status").stdout


def test_the_doctor_finds_what_is_there_and_names_what_is_not(refreshed: object, forecast: Forecast) -> None:
    done = forecast("doctor")
    assert done.returncode == 0, done.stdout
    for words in ("SIMULATED figures", "InService with the newest approved model", "is not installed"):
        assert words in done.stdout


def test_a_backfilled_week_is_neither_registered_nor_deployed(
    refreshed: object, forecast: Forecast, backfilled: date
) -> None:
    assert json.loads(forecast("show", "--week", str(backfilled), "--json").stdout)["week"] == str(backfilled)
    again = forecast("backfill", "--from", str(backfilled), "--to", str(backfilled))
    assert "1 of 1 weeks have a forecast" in again.stderr
    assert f"{backfilled} has its forecast" in again.stderr
    assert f"model of week {backfilled + timedelta(weeks=1)} (version 1)" in forecast("endpoint", "status").stdout


def test_a_replayed_predecessor_is_scored_by_the_week_that_was_refreshed_before_it(
    forecast: Forecast, backfilled: date
) -> None:
    week = str(backfilled + timedelta(weeks=1))
    scored = json.loads(forecast("accuracy", "--by", "week", "--from", week, "--json").stdout)
    assert (scored["first"], scored["last"], scored["source"]) == (week, week, "sample")
    assert [(row["unique_id"], row["ds"], row["n"]) for row in scored["rows"]] == [("WGFUPUS2", week, 1)]
    table = forecast("accuracy").stdout
    for words in ("SIMULATED", "Of naive", "In 90 %", "WGFUPUS2"):
        assert words in table


def test_figures_of_the_other_kind_are_refused(refreshed: object, forecast: Forecast, tmp_path: Path) -> None:
    (tmp_path / "WGFUPUS2.csv").write_text("date,value\n2023-11-03,9000\n2023-11-10,9000\n")
    done = forecast("refresh", FORECAST_EIA_SOURCE=str(tmp_path))
    assert done.returncode == 1
    assert "holds simulated figures and these are real" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        pytest.param(["refresh", "--week", "2023-11-09"], {}, "2023-11-09 is a Thursday", id="not a Friday"),
        pytest.param(["refresh", "--week", "soon"], {}, "'soon' is not a date", id="not a date"),
        pytest.param(["show"], {"FORECAST_HORIZON": "x"}, "horizon: Input should be a valid integer", id="setting"),
        pytest.param(["show", "--week", "2001-01-05"], {}, "no forecast of week 2001-01-05", id="no such week"),
        pytest.param(
            ["accuracy", "--to", "2001-01-05"], {}, "no scored forecast of weeks to 2001-01-05", id="no score"
        ),
        pytest.param(["refresh"], {"FORECAST_EIA_SOURCE": "nowhere.csv"}, "nowhere.csv", id="no such source"),
        pytest.param(["backfill", "--from", "2023-11-10", "--to", "2023-11-03"], {}, "is after", id="backwards"),
    ],
)
def test_a_mistake_is_answered_in_words(
    arguments: list[str], variables: dict[str, str], message: str, forecast: Forecast
) -> None:
    done = forecast(*arguments, **variables)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
