"""What a container tells its caller."""

from collections.abc import Callable

import dagster_pipes
import pandas as pd
import pytest

from containers.reporting import Reporter, Throttle, markdown_table, open_reporter

Pipes = tuple[dict[str, str], Callable[[], list[dict[str, object]]]]


@pytest.fixture(autouse=True)
def no_open_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_pipes.PipesContext, "_instance", None)


def test_without_dagster_everything_is_printed_and_nothing_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter({}) as reporter:
        reporter.log("half way")
        reporter.materialized({"rows": 1}, data_version="abc", plots={"plot": lambda: pytest.fail("drawn")})
    assert capsys.readouterr().out == "half way\ndata version abc\n"


def test_dagster_hears_of_progress_and_of_the_asset(
    pipes_environment: Pipes, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, messages = pipes_environment
    with open_reporter(environment) as reporter:
        reporter.log("half way")
        reporter.materialized({"rows": 1}, data_version="abc", plots={"plot": lambda: b"png"})
    assert "half way\n" in capsys.readouterr().out
    opened, log, report, closed = messages()
    assert (opened["method"], closed["method"], closed["params"]) == ("opened", "closed", {})
    assert log["params"] == {"message": "half way", "level": "INFO"}
    assert report["params"] == {
        "asset_key": "some_asset",
        "data_version": "abc",
        "metadata": {
            "rows": {"raw_value": 1, "type": "__infer__"},
            "plot": {"raw_value": "![plot](data:image/png;base64,cG5n)", "type": "md"},
        },
    }


def test_dagster_hears_why_a_container_failed(pipes_environment: Pipes) -> None:
    environment, messages = pipes_environment
    with pytest.raises(ValueError, match="week 3"), open_reporter(environment):
        raise ValueError("week 3 is missing")
    assert "week 3 is missing" in messages()[-1]["params"]["exception"]["message"]


def test_progress_is_said_at_most_once_in_an_interval_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 4.9, 5.0, 6.0, 6.1])
    throttle = Throttle(Reporter(), lambda: next(now), interval_s=5)
    for number in range(5):
        throttle.say(str(number), last=number == 4)
    assert capsys.readouterr().out.split() == ["0", "2", "4"]


def test_table_becomes_markdown() -> None:
    table = pd.DataFrame({"name": ["a|b"], "loss": [71444.1312], "n": [3]})
    assert markdown_table(table) == {
        "raw_value": "| name | loss | n |\n| --- | --- | --- |\n| a\\|b | 71,444 | 3 |",
        "type": "md",
    }
