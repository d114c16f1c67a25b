"""The dashboard's page, from tables put into a lake."""

import os
import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast_assets.dashboard import is_shown, render
from forecast_assets.settings import Settings, load_settings
from forecasting import accuracy
from resources.lake import Lake, MissingTableError

WEEK = date(2023, 11, 10)
LEVELS = (80, 90, 95)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A week with a forecast and nothing before it."""
    lake = Lake(uri=str(tmp_path / "lake"))
    lake.claim("real")
    weeks = pd.date_range(end=pd.Timestamp(WEEK), periods=120, freq="W-FRI")
    y = 8000 + 300 * np.sin(np.arange(120))
    lake.write("observations", WEEK, pd.DataFrame({"unique_id": "WGFUPUS2", "ds": weeks, "y": y, "source": "file"}))
    ahead = pd.date_range("2023-11-17", periods=26, freq="W-FRI")
    forecast = pd.DataFrame({"unique_id": "WGFUPUS2", "ds": ahead, "cutoff": pd.Timestamp(WEEK), "mean": 8123.0})
    forecast["horizon"] = range(1, 27)
    for level in LEVELS:
        forecast[f"lo-{level}"], forecast[f"hi-{level}"] = 8123.0 - 5 * level, 8123.0 + 5 * level
    lake.write("forecast", WEEK, forecast.assign(role="candidate", source="file"))
    return lake


@pytest.fixture
def settings(lake: Lake) -> Settings:
    return load_settings(lake_uri=lake.uri, series=["WGFUPUS2"])


def scores(week: date, **columns: list[float]) -> pd.DataFrame:
    """Two scored forecasts of a week, one of them outside its 80 % interval."""
    rows = accuracy.empty((80, 90)).reindex(range(2))
    given = {"unique_id": "WGFUPUS2", "ds": pd.Timestamp(week), "y": 8000.0, "inside-80": [1.0, 0.0], "inside-90": 1.0}
    return rows.assign(**given, **columns)


def text(page: str) -> str:
    """What a reader sees, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_the_page_says_the_forecast(lake: Lake, settings: Settings) -> None:
    page = render(lake, settings, WEEK)
    said = text(page)
    assert "Finished motor gasoline WGFUPUS2" in said
    assert "As known with the release of week 2023-11-10" in said
    assert "due Wednesday 2023-11-22 at 10:30 EST" in said
    assert "Next week, 2023-11-17 8,123 7,648–8,598 with 95 % confidence" in said
    assert said.count("8,123") == 1 + 26
    assert "SIMULATED" not in said


def test_the_page_needs_nothing_from_anywhere(lake: Lake, settings: Settings) -> None:
    page = render(lake, settings, WEEK)
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []
    assert "<script" not in page
    assert "http" not in re.sub(r'src="[^"]*"', "", page)


def test_a_first_week_says_what_is_not_there_yet(lake: Lake, settings: Settings) -> None:
    said = text(render(lake, settings, WEEK))
    assert "No forecast to compare with" in said
    assert "None has been scored yet" in said


def test_past_forecasts_and_changes_are_told(lake: Lake, settings: Settings) -> None:
    lake.write("forecast_accuracy", WEEK, scores(WEEK, absolute_error=[100.0, 300.0], naive_error=[-500.0, 300.0]))
    parts = {"new_data": 40.0, "revised_data": 0.0, "hyper_parameters": -60.0, "new_code": 0.0}
    lake.write("forecast_changes", WEEK, pd.DataFrame({"unique_id": "WGFUPUS2", "change": [-20.0], **parts}))
    said = text(render(lake, settings, WEEK))
    assert "-20 -60 by new hyper-parameters, +40 by new data" in said
    assert "200 mean absolute error 50% of the seasonal naive's, 1 scored week" in said
    assert "50 / 100 % inside the 80 / 90 % interval" in said


def test_scores_of_later_weeks_are_not_told(lake: Lake, settings: Settings) -> None:
    later = date(2023, 11, 17)
    lake.write("forecast_accuracy", later, scores(later, absolute_error=[100.0, 300.0], naive_error=[500.0, 500.0]))
    assert "None has been scored yet" in text(render(lake, settings, WEEK))


def test_simulated_figures_and_stand_ins_are_named(tmp_path: Path, lake: Lake, settings: Settings) -> None:
    forecast = lake.read("forecast", WEEK)
    lake.write("forecast", WEEK, forecast.assign(role="stand-in"))
    (lake.root / "lake.json").write_text('{"figures": "simulated", "layout": 1}')
    said = text(render(lake, settings, WEEK))
    assert "SIMULATED figures: nothing on this page is a forecast" in said
    assert "A stand-in" in said


def test_a_name_is_text_and_not_markup(lake: Lake) -> None:
    settings = load_settings(lake_uri=lake.uri, series={"WGFUPUS2": {"name": "<script>alert(1)</script>"}})
    assert "<script" not in render(lake, settings, WEEK)


def test_a_week_without_a_forecast_has_no_page(lake: Lake, settings: Settings) -> None:
    with pytest.raises(MissingTableError, match="no forecast of week 2023-11-03"):
        render(lake, settings, date(2023, 11, 3))


def test_a_page_older_than_what_it_shows_does_not_count(lake: Lake) -> None:
    assert not is_shown(lake, WEEK)
    path = lake.write_bytes(f"dashboard/week={WEEK}/index.html", b"page")
    assert is_shown(lake, WEEK)
    made = (lake.root / lake.key("forecast", WEEK)).stat().st_mtime_ns
    os.utime(path, ns=(made - 1, made - 1))
    assert not is_shown(lake, WEEK)
