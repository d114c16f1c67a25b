import contextlib
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import hypothesis
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from forecast_assets.settings import Endpoint, Series, Settings, Stage, load_settings
from forecast_assets.settings_errors import SettingsError

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
        pytest.param("FORECAST_SEARCH", "endless", "search: .*'exhaustive', 'quick' or 'automatic'", id="search"),
        pytest.param("FORECAST_COMPUTE", "aws", "auto may simulate", id="aws refuses auto"),
        pytest.param(
            "FORECAST_WATCH__SAFETY_NET", "every Wednesday", "watch.safety_net: .*no cron expression", id="cron"
        ),
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
    with pytest.raises(SettingsError, match="role_arn: on AWS"):
        load_settings(eia_source="live", lake_uri="s3://bucket/lake")
    role = "arn:aws:iam::111122223333:role/forecast"
    with pytest.raises(SettingsError, match="images: on AWS"):
        load_settings(eia_source="live", lake_uri="s3://bucket/lake", role_arn=role)
    images = "111122223333.dkr.ecr.us-east-1.amazonaws.com/petroleum-demand/{image}:1"
    found = load_settings(eia_source="live", lake_uri="s3://bucket/lake", role_arn=role, images=images)
    assert found.compute == "aws"


def test_the_sagemaker_of_this_machine_refuses_a_lake_in_a_bucket() -> None:
    with pytest.raises(SettingsError, match="lake_uri: the SageMaker of this machine reads folders"):
        load_settings(lake_uri="s3://bucket/lake")


def test_a_job_is_waited_for_at_least_as_long_as_it_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_TUNING__MAX_WAIT_S", "60")
    with pytest.raises(SettingsError, match=r"max_wait_s \(60\) is below max_runtime_s \(7200\)"):
        load_settings()


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"horzion: there is no such setting; did you mean horizon\?"):
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


# -- the file ---------------------------------------------------------------------------------------------------------


def settings_of(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    path = tmp_path / "forecast.yaml"
    path.write_bytes(content)
    monkeypatch.setenv("FORECAST_SETTINGS", str(path))
    return load_settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"series: [", "line 1, column 10: expected the node content", id="not closed"),
        pytest.param(b"series:\n\tWGFUPUS2: x", r"line 2, column 1: .*'\\t'.*; indent with spaces", id="tab"),
        pytest.param(b"series: {A: x}\nhorizon: 3\nhorizon: 4", "line 3, column 1: horizon is given twice", id="twice"),
        pytest.param(b"series: {A: x, A: y}", "line 1, column 16: A is given twice", id="twice within"),
        pytest.param(b"- WGFUPUS2", "holds a list where fields are expected", id="list"),
        pytest.param(b"WGFUPUS2", "holds a str where fields are expected", id="word"),
        pytest.param(b"1: 2", "holds a dict where fields are expected", id="number as a field"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "byte 0 is not UTF-8 text", id="picture"),
        pytest.param(b"series: \x00", "is not YAML: unacceptable character", id="control character"),
        pytest.param(b"series: " + b"[" * 5000, "is not YAML: it is nested too deeply", id="deep"),
        pytest.param(b"breaks: [{settled: 2020-13-45}]", "is not YAML: month must be in 1..12", id="month 13"),
        pytest.param(b"series: !!python/object/apply:os.system [ls]", "could not determine a constructor", id="code"),
        pytest.param(b"series: *nothing", "found undefined alias", id="alias"),
        pytest.param(b"", "series: Field required", id="empty"),
        pytest.param(b"series:", "series: Input should be a valid dictionary, not None", id="nothing given"),
        pytest.param(b"series: {}", "series: Dictionary should have at least 1 item", id="no series"),
        pytest.param(b"series: [{a: b}]", "series: Input should be a valid dictionary", id="objects as ids"),
        pytest.param(b"series: {5: x}", "series.5.*: Input should be a valid string, not 5", id="number as an id"),
        pytest.param(b"series: {../X: x}", "'../X': an EIA series id is like WGFUPUS2", id="path as an id"),
        pytest.param(
            b"series: {A: {name: x, plausible_kbd: [5, 1]}}",
            r"series.A: plausible_kbd must be positive and rising, not 5.0..1.0, not \{'name'",
            id="range falling",
        ),
        pytest.param(
            b"series: {A: x}\nlevles: [80]", "levles: there is no such setting; did you mean levels?", id="typo"
        ),
        pytest.param(
            b"series: {A: {nam: x}}", r"series.A.nam: there is no such setting; did you mean name\?", id="typo within"
        ),
        pytest.param(
            b"series: {A: x}\ntuning: {retrys: 1}",
            "tuning.retrys: there is no such setting; did you mean retries?",
            id="typo in a stage",
        ),
        pytest.param(
            b"series: {A: x}\nwhatever: 1", "there is no such setting; there are series, eia_source", id="far"
        ),
        pytest.param(b"series: {A: x}\nseason_length: .inf", "season_length: .*finite number, not inf", id="infinite"),
        pytest.param(b"series: {A: x}\nlevels: [.nan]", "levels.0: .*finite number, not nan", id="NaN"),
        pytest.param(b"series: {A: x}\nlevels: [1,2,3,4,5,6,7,8,9,10,11]", "levels: .*at most 10 items", id="levels"),
        pytest.param(b'series: {A: x}\nlake_uri: "a\\0b"', "lake_uri: String should match pattern", id="NUL"),
        pytest.param(
            b"series: {A: x}\nbreaks: [{name: a, searched_from: 2020-03-01}]",
            "breaks.0.searched_to: Field required",
            id="half a break",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        settings_of(content, tmp_path, monkeypatch)
    assert "forecast.yaml" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_folder_is_no_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_SETTINGS", str(tmp_path))
    with pytest.raises(SettingsError, match=r"the settings file .* cannot be read: Is a directory"):
        load_settings()


def test_two_breaks_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "forecast.yaml").read_text()
    with pytest.raises(SettingsError, match="breaks: two have the same name, of covid-19, covid-19"):
        settings_of((text + text[text.index("  - name") :]).encode(), tmp_path, monkeypatch)


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param(
            "FORECAST_HORIZN",
            "3",
            r"FORECAST_HORIZN: there is no such setting; did you mean FORECAST_HORIZON\?",
            id="typo",
        ),
        pytest.param("forecast_lake", "x", r"forecast_lake: .* did you mean FORECAST_LAKE_URI\?", id="lower case"),
        pytest.param(
            "FORECAST_LEVELS", "[80", r"FORECAST_LEVELS is '\[80', which is not JSON; write lists as", id="json"
        ),
        pytest.param("FORECAST_LEVELS", "[" * 100_000, "nested too deeply", id="deep"),
        pytest.param("FORECAST_SERIES", "[" * 100_000, "nested too deeply", id="deep series"),
        pytest.param("FORECAST_SERIES", '{"A": ', "series: Expecting value", id="half an object"),
        pytest.param("FORECAST_ENDPOINT", "5", "endpoint: .* not 5 .*FORECAST_ENDPOINT", id="a number for a group"),
        pytest.param(
            "FORECAST_ENDPOINT__MEMRY_MB", "1", "endpoint.memry_mb: .*did you mean memory_mb", id="nested typo"
        ),
        pytest.param("FORECAST_HORIZON__WEEKS", "3", "FORECAST_HORIZON__WEEKS: there is no such", id="no group"),
        pytest.param("FORECAST_HORIZON", "9" * 5000, "horizon: .*not '9999", id="long"),
        pytest.param(
            "FORECAST_REGION", "Frankfurt", "region: String should match pattern.* not 'Frankfurt'", id="region"
        ),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings()
    assert len(str(caught.value)) < 1500


def test_the_value_and_where_it_is_from_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_HORIZON", "many")
    with pytest.raises(SettingsError, match=r"not 'many' \(FORECAST_HORIZON\)$"):
        load_settings()
    with pytest.raises(SettingsError, match=r"not 'few' \(argument\)$"):
        load_settings(horizon="few")


def test_secrets_of_an_address_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_EIA_SOURCE", "https://user:hunter2@host/x?api_key=hunter2\n")
    with pytest.raises(SettingsError, match="eia_source: ") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


NAMES = [f"FORECAST_{name.upper()}" for name in Settings.model_fields] + [
    f"FORECAST_{name.upper()}__{inner.upper()}"
    for name, model in (("endpoint", Endpoint), ("tuning", Stage), ("series", Series))
    for inner in model.model_fields
]
words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
json_texts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
).map(json.dumps)


def check_environment(variables: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            settings = load_settings()
        except SettingsError as error:
            message = str(error)
            assert len(message) < 5000
            return
    assert settings.window + settings.horizon <= settings.tuning_weeks
    assert all(0 < level < 100 for level in settings.levels)


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(NAMES), words | json_texts, min_size=1, max_size=3))
def test_any_environment_gives_settings_or_their_error(variables: dict[str, str]) -> None:
    check_environment(variables)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@given(
    content=st.binary(max_size=60)
    | st.dictionaries(words | st.sampled_from(list(Settings.model_fields)), json_texts, max_size=4).map(
        lambda fields: "\n".join(f"{name}: {value}" for name, value in fields.items()).encode()
    )
)
def test_any_file_gives_settings_or_their_error(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SettingsError):
        patch.setenv("FORECAST_SETTINGS", str(path))
        assert load_settings().series


# -- who is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["show"], ["refresh"], ["doctor"], ["endpoint", "status"], ["ui"]], ids=" ".join)
def test_a_command_says_what_is_wrong_without_a_traceback(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from forecast_assets.cli import main

    monkeypatch.setenv("FORECAST_HORIZON", "many")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "horizon: Input should be a valid integer" in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_dagster_says_what_is_wrong_with_the_code_location(tmp_path: Path) -> None:
    ended = subprocess.run(
        [Path(sys.executable).with_name("dagster"), "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        env={**os.environ, "FORECAST_HORIZON": "many", "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "SettingsError: wrong settings (environment FORECAST_..., or forecast.yaml):" in said
    assert "not 'many' (FORECAST_HORIZON)" in said
    assert "pydantic_core" not in said  # one error, not the one it was made from


def test_endpoint_and_pipeline_have_the_role_of_jobs_unless_they_have_their_own() -> None:
    job, own = (f"arn:aws:iam::123456789012:role/{name}" for name in ("job", "own"))
    plain = load_settings(role_arn=job)
    assert {plain.serving_role_arn, plain.starting_role_arn} == {job}
    assert load_settings(role_arn=job, endpoint_role_arn=own).serving_role_arn == own
    assert load_settings(role_arn=job, pipeline_role_arn=own).starting_role_arn == own
