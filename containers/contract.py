"""The contract between SageMaker and a container: folders, configuration, failure text, signals, exit codes.

SageMaker hands a container its input as files under `/opt/ml` and reads its answer from there. `SM_ML_ROOT`
moves that root, so that several containers can run side by side on one machine. Nothing here reads tables or
knows a task: see `containers.tables` and the entry points. Standard library only, because the serving image
imports it.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

ROOT_VARIABLE = "SM_ML_ROOT"
FAILURE_LIMIT = 1024
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_STOPPED = 128 + signal.SIGTERM
STOPPED = "stopped on request (SIGTERM)"


class ContractError(Exception):
    """The container was not given what it needs, or not in the form it needs."""


class ConfigurationFileError(ContractError):
    """A file of `/opt/ml/input/config` is missing or is not what SageMaker writes."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"configuration file {path}: {reason}")
        self.path = path


class MissingChannelError(ContractError):
    """An input channel that the task needs was not given."""

    def __init__(self, channel: str, folder: Path, given: tuple[str, ...]) -> None:
        super().__init__(f"input {channel!r} is missing: no folder {folder}; given: {', '.join(given) or 'none'}")
        self.channel = channel


class StopRequested(BaseException):
    """SageMaker asked the container to stop; it is killed 120 seconds later.

    Not an `Exception`, so that a library that carries on after any error does not carry on after this one.
    """


@dataclass(frozen=True)
class Paths:
    """The folders of one container under its `/opt/ml` root."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Paths":
        """The root that `SM_ML_ROOT` names, `/opt/ml` without it."""
        return cls(Path(environment.get(ROOT_VARIABLE) or "/opt/ml"))

    @property
    def model(self) -> Path:
        """What becomes `model.tar.gz` of a training job; where a serving container finds it unpacked."""
        return self.root / "model"

    @property
    def output_data(self) -> Path:
        """What becomes `output.tar.gz` of a training job."""
        return self.root / "output" / "data"

    @property
    def checkpoints(self) -> Path:
        """What outlives the instance of a training job, where the job has a checkpoint configuration."""
        return self.root / "checkpoints"

    @property
    def training_failure(self) -> Path:
        """The file whose text becomes the `FailureReason` of a training job."""
        return self.root / "output" / "failure"

    @property
    def processing_message(self) -> Path:
        """The file whose text becomes the `ExitMessage` of a processing job."""
        return self.root / "output" / "message"

    def channel(self, name: str) -> Path:
        """The folder of a training channel; raises `MissingChannelError`."""
        return _existing(self.root / "input" / "data" / name)

    def has_channel(self, name: str) -> bool:
        """Whether an optional training channel was given."""
        return (self.root / "input" / "data" / name).is_dir()

    def processing_input(self, name: str) -> Path:
        """The folder of a processing input; raises `MissingChannelError`."""
        return _existing(self.root / "processing" / "input" / name)

    def processing_output(self, name: str) -> Path:
        """The folder of a processing output."""
        return self.root / "processing" / "output" / name

    def configuration(self, name: str) -> dict[str, Any]:
        """A file of `/opt/ml/input/config`: "hyperparameters", "inputdataconfig" or "resourceconfig".

        Raises:
            ConfigurationFileError: The file is missing or no JSON object.
        """
        path = self.root / "input" / "config" / f"{name}.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationFileError(path, "is missing") from None
        except ValueError as error:
            raise ConfigurationFileError(path, f"is not JSON ({error})") from None
        if not isinstance(content, dict):
            raise ConfigurationFileError(path, "is not a JSON object")
        return content


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        given = tuple(sorted(item.name for item in folder.parent.iterdir())) if folder.parent.is_dir() else ()
        raise MissingChannelError(folder.name, folder, given)
    return folder


class StopSignal:
    """Whether SageMaker asked the container to stop.

    The first SIGTERM raises `StopRequested` in the main thread. A library may swallow it, so long work calls
    `check` between its steps. Later signals raise nothing: what is at hand is being written by then.
    """

    def __init__(self) -> None:
        self.requested = False

    def check(self) -> None:
        """Raises `StopRequested` when a stop was asked for."""
        if self.requested:
            raise StopRequested

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            raise StopRequested

    @contextmanager
    def installed(self) -> Iterator["StopSignal"]:
        """Handles SIGTERM within the block."""
        previous = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, previous)


def run(task: Callable[[StopSignal], None], *, failure: Path) -> int:
    """Runs the task of a batch container and turns its outcome into what SageMaker reads.

    Args:
        task: Does the work; it may catch `StopRequested` to write what it has, and raises it again.
        failure: The file for the failure text.

    Returns:
        The exit code: 0 done, 1 failed (the failure file says why), 143 stopped.
    """
    stop = StopSignal()
    try:
        with stop.installed():
            task(stop)
    except StopRequested:
        write_failure(failure, STOPPED)
        return EXIT_STOPPED
    except ContractError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        write_failure(failure, f"{type(error).__name__}: {error}")
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the process ends here; SageMaker learns the reason from the failure file
        traceback.print_exc()
        # A signal to the whole process group ends the workers too, which then shows as any error.
        write_failure(failure, STOPPED if stop.requested else f"{type(error).__name__}: {error}")
        return EXIT_STOPPED if stop.requested else EXIT_FAILED
    return EXIT_DONE


def leave(code: int) -> NoReturn:
    """Ends the process with the outcome of `run`.

    Native threads of the numerical libraries can abort an interpreter that shuts down, and a finished job would read as
    one that crashed; there is nothing left to shut down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def write_failure(path: Path, text: str) -> None:
    """Writes the failure text, cut to the 1024 characters that SageMaker keeps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if len(text) <= FAILURE_LIMIT else text[: FAILURE_LIMIT - 3] + "...", encoding="utf-8")


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all: a stop in the middle leaves the former state."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def worker_count(asked: int) -> int:
    """The processes to use: `asked`, or with 0 every CPU that this process may run on."""
    if asked:
        return asked
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
