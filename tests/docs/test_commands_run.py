"""The documentation as people follow it: every command is typed, in order, from the clone on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from forecast_assets.tables import lake_tables
from resources.lake import Lake
from tests.docs.blocks import PAGES, ROOT, Block, blocks

# The tutorial comes first: the other pages presume what it has set up.
ORDER = sorted((path for path in PAGES if path.name != "tutorial.md"), key=lambda path: path.name != "README.md")
SHORTENED = {"--from 2022-11-11": "--from 2023-09-29"}  # six weeks stand for the year
SMALL = {"FORECAST_SEARCH": "quick", "FORECAST_STEP": "24", "FORECAST_MAX_HARMONICS": "2", "COLUMNS": "140"}
NO_CONFIGURATION = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

QUERY = """
import duckdb, pathlib, sys
duckdb.execute(pathlib.Path(".forecast/lake/catalog.sql").read_text())
duckdb.sql(sys.stdin.read()).show()
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Reader:
    """Someone at a terminal: the working directory and what is exported last from one block to the next."""

    def __init__(self, home: Path, repository: Path, figures: Path) -> None:
        self._home, self._figures = home, figures
        self._state = home / "state.sh"
        home.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self._environment = {**kept, **SMALL, **NO_CONFIGURATION, "REPOSITORY": str(repository)}
        self._state.write_text(f"cd {home}\n")

    @property
    def clone(self) -> Path:
        return self._home / "forecast-assets"

    def follow(self, block: Block) -> "subprocess.CompletedProcess[str]":
        """Do what a block says."""
        match block.language:
            case "sh":
                done = self._type(block.text)
            case "sql":
                done = self._type(f".venv/bin/python -c '{QUERY}'", block.text)
            case _:
                done = self._type(".venv/bin/python -", block.text)
        if self.clone.is_dir() and not (self.clone / ".venv").exists():
            self._furnish()
        return done

    def leave(self) -> None:
        """Take down every endpoint that was brought up."""
        for endpoints in self.clone.glob(".forecast/*/_sagemaker/endpoint"):
            self._type(f"FORECAST_LAKE_URI={endpoints.parents[1]} .venv/bin/forecast endpoint stop || true")

    def _type(self, text: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        for long, short in SHORTENED.items():
            text = text.replace(long, short)
        remember = f'{{ echo "cd \\"$PWD\\""; export -p; }} > {self._state}.new; mv {self._state}.new {self._state}'
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", f"source {self._state}\n{text}\n{remember}"],
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def _furnish(self) -> None:
        """Lend the clone this environment, which has everything, and the figures."""
        (self.clone / "figures").symlink_to(self._figures)
        environment = self.clone / ".venv"
        environment.mkdir()
        for entry in Path(sys.prefix).iterdir():
            (environment / entry.name).symlink_to(entry)
        for stamp in (".base-installed", ".dev-installed"):
            (environment / stamp).unlink(missing_ok=True)
            (environment / stamp).touch()
        self._type(f"export PYTHONPATH={self.clone}")  # the clone's code, not what is installed


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the files of this checkout as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path / "repository"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "As it is"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **NO_CONFIGURATION}, check=True)
    return folder


@pytest.fixture
def reader(repository: Path, tmp_path: Path, shared_data: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path / "home", repository, shared_data / "weekly")
    yield reader
    reader.leave()


def test_every_command_works_and_leaves_the_tables_that_are_documented(reader: Reader) -> None:
    tutorial = ROOT / "docs" / "tutorial.md"
    followed = [block for path in (tutorial, *ORDER) for block in blocks(path) if wanted(block)]
    assert len(followed) > 15
    assert [str(block) for block in followed if "make test" in block.text] == [], "this test would begin again"
    for block in followed:
        done = reader.follow(block)
        assert done.returncode == 0, f"{block}\n{block.text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

    lake = Lake(uri=str(reader.clone / ".forecast" / "lake"))
    week = lake.weeks("forecast")[-2]
    documented = {name: list(columns) for name, columns in lake_tables((80, 90, 95)).items()}
    left = {path.parent.parent.name for path in lake.root.glob(f"*/week={week}/data.parquet")}
    assert left == set(documented)
    for name, columns in documented.items():
        assert set(pd.read_parquet(lake.root / lake.key(name, week)).columns) == set(columns), name


def wanted(block: Block) -> bool:
    return block.reason is None and block.language in {"sh", "sql", "python"}
