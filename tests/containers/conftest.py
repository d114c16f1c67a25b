"""A private /opt/ml for one container, and its entry point run as the process it is."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from containers.images import COMMANDS
from tests.images import interpreter


@dataclass
class Container:
    """One container's folders and how to run it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write_hyperparameters(self, values: Mapping[str, object]) -> None:
        path = self.root / "input" / "config" / "hyperparameters.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def write_channel(self, name: str, table: pd.DataFrame) -> None:
        self._write(self.root / "input" / "data" / name, table)

    def write_processing_input(self, name: str, table: pd.DataFrame) -> None:
        self._write(self.root / "processing" / "input" / name, table)

    def start(self, image: str, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        started = interpreter()
        command = [started.command, *(arguments or COMMANDS[image])]
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))
        }
        process = subprocess.Popen(
            command,
            cwd=started.folder,
            env={
                **inherited,
                **started.environment,
                "SM_ML_ROOT": str(self.root),
                **self.environment,
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, image: str, *arguments: str, environment: Mapping[str, str] | None = None) -> "Finished":
        process = self.start(image, *arguments, environment=environment)
        out, err = process.communicate(timeout=280)
        return Finished(process.returncode, out, err)

    @staticmethod
    def _write(folder: Path, table: pd.DataFrame) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        table.to_parquet(folder / "data.parquet", index=False)


@dataclass(frozen=True)
class Finished:
    """How a process ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    made = Container(tmp_path / "ml")
    made.root.mkdir()
    yield made
    for process in made.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def pipes_environment(tmp_path: Path) -> tuple[dict[str, str], Callable[[], list[dict[str, object]]]]:
    """The variables of a Pipes process for one asset, and a reader of the messages it sent."""
    import dagster_pipes

    messages = tmp_path / "messages.jsonl"
    messages.touch()
    context = {
        "asset_keys": ["some_asset"],
        "code_version_by_asset_key": {"some_asset": None},
        "provenance_by_asset_key": {"some_asset": None},
        "partition_key": "2023-11-10",
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "run",
        "job_name": "job",
        "retry_number": 0,
        "extras": {},
    }
    environment = {
        dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR: dagster_pipes.encode_param({"data": context}),
        dagster_pipes.DAGSTER_PIPES_MESSAGES_ENV_VAR: dagster_pipes.encode_param({"path": str(messages)}),
    }
    return environment, lambda: [json.loads(line) for line in messages.read_text().splitlines()]


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Polls a condition for at most 60 seconds."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "the condition did not come true within 60 s"
            time.sleep(0.01)

    return wait
