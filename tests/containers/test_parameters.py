"""Hyper-parameters and environment variables: read as what they stand for, refused by name."""

import datetime as dt
import json
from pathlib import Path

import pytest

from containers.contract import ConfigurationFileError, Paths
from containers.parameters import InvalidParameterError, MissingParameterError, Parameters, UnknownParameterError


def write_hyperparameters(root: Path, text: str) -> Paths:
    path = root / "input" / "config" / "hyperparameters.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Paths(root)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(None, "is missing", id="missing"),
        pytest.param("{", "is not JSON", id="no json"),
        pytest.param("[]", "not a JSON object", id="no object"),
        pytest.param('{"week": 5}', "'week' is a int", id="not a string"),
    ],
)
def test_broken_hyperparameter_file_is_named(tmp_path: Path, text: str | None, reason: str) -> None:
    paths = Paths(tmp_path) if text is None else write_hyperparameters(tmp_path, text)
    with pytest.raises(ConfigurationFileError, match=reason):
        Parameters.of_training(paths)


def test_hyperparameters_of_the_platform_are_left_out_and_others_refused(tmp_path: Path) -> None:
    content = {"task": "tune", "sagemaker_job_name": "x", "_tuning_objective_metric": "mse", "wek": "1"}
    parameters = Parameters.of_training(write_hyperparameters(tmp_path, json.dumps(content)))
    assert dict(parameters.values) == {"task": "tune", "wek": "1"}
    with pytest.raises(UnknownParameterError, match=r"'wek'; known are task, week"):
        parameters.refuse_unknown(("task", "week"))
    parameters.refuse_unknown(("task", "wek"))


def test_parameters_are_read_as_what_they_stand_for() -> None:
    parameters = Parameters(
        {"week": "2023-11-10", "step": "2", "season": "52.18", "test": "true", "levels": "[80]", "empty": ""}
    )
    assert parameters.date("week") == dt.date(2023, 11, 10)
    assert parameters.integer("step", least=1) == 2
    assert parameters.positive("season") == 52.18
    assert parameters.boolean("test") is True
    assert parameters.boolean("absent", "false") is False
    assert parameters.structure("levels") == [80]
    assert parameters.text("empty", "default") == "default"


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        *[pytest.param("date", value, id=f"date {value}") for value in ("20231110", "2023-13-01", "2023-W45-5", "x")],
        *[pytest.param("integer", value, id=f"integer {value}") for value in ("-1", "1.5", "²", "1_0", " 1")],
        *[pytest.param("positive", value, id=f"positive {value}") for value in ("0", "-1", "nan", "inf", "x")],
        *[pytest.param("boolean", value, id=f"boolean {value}") for value in ("yes", "True")],
        pytest.param("structure", "{", id="structure"),
    ],
)
def test_unreadable_parameter_is_named_with_what_was_expected(reader: str, value: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"'x' is .* expected "):
        getattr(Parameters({"x": value}), reader)("x")


def test_missing_parameter_is_named() -> None:
    with pytest.raises(MissingParameterError, match="environment variable 'FORECAST_WEEK' is missing"):
        Parameters({}, "environment variable").date("FORECAST_WEEK")
