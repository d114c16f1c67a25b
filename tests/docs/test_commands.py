"""What the documentation tells people to type is understood by what it is typed into; nothing is run but queries."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import duckdb
import pandas as pd
import pytest

from forecast_assets import cli
from forecast_assets.catalog import VIEWS
from forecast_assets.settings import load_settings
from forecast_assets.tables import Columns, lake_tables
from resources.catalog import views
from resources.lake import Lake
from tests.docs.blocks import PAGES, ROOT, Block, all_blocks, spans

LANGUAGES = {"", "sh", "sql", "python", "yaml", "text"}
WEEKS = [pd.Timestamp(week).date() for week in ("2023-09-29", "2023-11-03", "2023-11-10")]
VALUES = {"string": "x", "timestamp": pd.Timestamp("2023-11-03"), "double": 9000.0, "int": 1, "bool": True}

# Where a command begins: a line, a pipe, a substitution, after variables.
_COMMAND = r"(?:^\s*|[;|(&]\s*)(?:[A-Z_]+=\S*\s+)*"
_FORECAST = re.compile(_COMMAND + r"(?:\.venv/bin/)?forecast\s+([^|;)&#\n]*)", re.MULTILINE)
_MAKE = re.compile(_COMMAND + r"make\s+([a-z-]+)", re.MULTILINE)


def named(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=map(str, blocks))


def plain(span: str) -> str:
    """A command as a code span abbreviates it, such as `forecast show [--week W]`."""
    return re.sub(r"\b(W|\.\.\.)(?=\s|$)", "2023-11-10", re.sub(r"[][]", "", span.split("\\|", maxsplit=1)[0]))


def typed() -> list[tuple[str, str]]:
    """Everything that the pages say to type in a shell, with its place."""
    found = [(str(block), block.text) for block in all_blocks("sh")]
    return found + [(path.name, plain(span)) for path in PAGES for span in spans(path)]


def test_blocks_are_of_languages_that_are_tested() -> None:
    assert {block.language for block in all_blocks()} <= LANGUAGES


def test_what_is_not_run_has_a_reason() -> None:
    reasons = [(str(block), block.reason) for block in all_blocks() if block.reason is not None]
    assert reasons
    assert [place for place, reason in reasons if len(reason.split()) < 3] == []


def test_every_forecast_command_is_understood() -> None:
    commands = [(place, match) for place, text in typed() for match in _FORECAST.findall(text)]
    assert len(commands) > 30
    for place, text in commands:
        arguments = shlex.split(text)
        command: click.Command = cli.main
        try:
            while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
                command = command.commands[arguments.pop(0)]
            command.make_context("forecast", arguments, resilient_parsing=isinstance(command, click.Group))
        except (KeyError, click.UsageError) as error:
            pytest.fail(f"{place}: `forecast {text}`: {error}")


def test_every_make_target_exists() -> None:
    wanted = {target for _, text in typed() for target in _MAKE.findall(text)}
    assert {"refresh", "ui", "docs"} <= wanted
    done = subprocess.run(
        ["make", "--dry-run", *sorted(wanted)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@named(all_blocks("sh"))
def test_every_shell_block_is_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


# -- blocks that are run, on tables of the documented columns --------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a lake that has every table for a few weeks, two rows each."""
    folder = tmp_path_factory.mktemp("reading")
    lake = Lake(uri=str(folder / ".forecast" / "lake"))
    for week in WEEKS:
        for name, columns in lake_tables((80, 90, 95)).items():
            lake.write(name, week, table(columns))
    lake.write_bytes(VIEWS, views(lake, lake_tables((80, 90, 95))).encode())
    return folder


def table(columns: Columns) -> pd.DataFrame:
    values = {name: VALUES[kind] for name, (kind, _) in columns.items()}
    return pd.DataFrame([values, values])


@named(all_blocks("sql"))
def test_every_query_runs_on_the_documented_columns(
    folder: Path, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with duckdb.connect() as database:
        database.execute((folder / ".forecast" / "lake" / VIEWS).read_text())
        assert database.sql(block.text).fetchall()


@named([block for block in all_blocks("python") if block.reason is None])
def test_every_python_block_runs_on_the_documented_columns(
    folder: Path, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FORECAST_SETTINGS", str(ROOT / "forecast.yaml"))
    exec(compile(block.text, str(block), "exec"), {})


@named([block for block in all_blocks("python") if block.reason is not None])
def test_every_python_excerpt_compiles_and_is_of_what_is_there(block: Block) -> None:
    compile(block.text, str(block), "exec")
    if (file := re.search(r"excerpt of (\S+)", block.reason or "")) is not None:
        source = (ROOT / file[1]).read_text()
        assert [line for line in re.findall(r"^def .*$", block.text, re.MULTILINE) if line not in source] == []


@named(all_blocks("yaml"))
def test_every_settings_file_is_valid(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "forecast.yaml").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    assert load_settings().series


def test_the_files_that_a_page_names_exist() -> None:
    pattern = re.compile(
        r"(?:forecast_assets|forecasting|containers|resources|jobs|tests|docs|benchmarks)/[\w/.-]+\.\w+"
    )
    wanted = {name for path in PAGES for span in spans(path) for name in pattern.findall(span)}
    assert len(wanted) > 5
    assert {name for name in wanted if not (ROOT / name).exists()} <= {"forecasting/your_model.py"}
