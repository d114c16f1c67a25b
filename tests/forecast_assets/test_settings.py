from datetime import date
from pathlib import Path

import pytest
from pydantic import BaseModel

from forecast_assets.settings import Series, Settings, SettingsError, Stage, load_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _project_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_projects_own_file_is_the_default() -> None:
    settings = load_settings()
    assert settings.series_ids == ("WGFUPUS2",)
    assert settings.tuning_weeks == 541
    assert settings.breaks[0].settled == date(2023, 5, 12)
    assert settings.search == "exhaustive"


def test_one_line_adds_a_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "forecast.yaml").read_text()
    path = tmp_path / "more.yaml"
    path.write_text(text.replace("series:", "series:\n  WXYZ1: Something new", 1))
    monkeypatch.setenv("FORECAST_SETTINGS", str(path))
    assert load_settings().series["WXYZ1"] == Series(name="Something new")


def test_the_environment_overrides_one_nested_field() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORECAST_ENDPOINT__MEMORY_MB", "2048")
        endpoint = load_settings().endpoint
    assert (endpoint.memory_mb, endpoint.name) == (2048, "petroleum-demand")


def test_a_list_of_ids_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_SERIES", "WGFUPUS2, WREUPUS2")
    settings = load_settings()
    assert settings.series_ids == ("WGFUPUS2", "WREUPUS2")
    assert settings.series["WREUPUS2"].name == "Residual fuel oil"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        pytest.param("FORECAST_HORIZON", "many", "horizon: .*integer", id="type"),
        pytest.param("FORECAST_HORIZON", "0", "horizon: .*greater than or equal to 1", id="range"),
        pytest.param("FORECAST_LEVELS", "[80, 120]", "levels: .*between 0 and 100", id="level"),
        pytest.param("FORECAST_LEVELS", "[80, 80]", "levels: .*different", id="level twice"),
        pytest.param("FORECAST_SERIES", "gasoline", "series: .*WGFUPUS2", id="not an id"),
        pytest.param("FORECAST_SERIES", "", "series", id="no series"),
        pytest.param("FORECAST_WINDOW", "530", r"window \(530\) \+ horizon \(26\) exceed", id="window too long"),
        pytest.param("FORECAST_ENDPOINT__MEMORY_MB", "1500", "endpoint.memory_mb: .*multiple of 1024", id="nested"),
        pytest.param("FORECAST_SEARCH", "endless", "search: .*'exhaustive' or 'quick'", id="search"),
        pytest.param("FORECAST_COMPUTE", "aws", "auto may simulate", id="aws refuses auto"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_named(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_aws_refuses_the_sample_and_a_lake_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_COMPUTE", "aws")
    with pytest.raises(SettingsError, match="sample may simulate"):
        load_settings(eia_source="sample")
    with pytest.raises(SettingsError, match="lake_uri: on AWS"):
        load_settings(eia_source="live")
    assert load_settings(eia_source="live", lake_uri="s3://bucket/lake").compute == "aws"


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(SettingsError, match="horzion: Extra inputs"):
        load_settings(horzion=3)


def test_a_settings_file_that_is_named_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FORECAST_SETTINGS", str(tmp_path / "none.yaml"))
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().horizon = 1  # type: ignore[misc]


@pytest.mark.parametrize("model", [Settings, Series, Stage])
def test_every_field_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
