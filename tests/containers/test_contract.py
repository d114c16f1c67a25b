"""The contract with SageMaker: what is read, refused, written when it fails, and how a stop ends."""

import contextlib
import signal
import sys
from pathlib import Path

import pytest

from containers.contract import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_STOPPED,
    MissingChannelError,
    Paths,
    StopRequested,
    StopSignal,
    run,
    worker_count,
)
from containers.parameters import Parameters


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def write_configuration(paths: Paths, name: str, text: str) -> None:
    folder = paths.root / "input" / "config"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text)


def test_root_is_opt_ml_unless_named() -> None:
    assert Paths.from_environment({}).root == Path("/opt/ml")
    assert Paths.from_environment({"SM_ML_ROOT": "/elsewhere"}).model == Path("/elsewhere/model")


def test_missing_channel_says_which_and_what_was_given(paths: Paths) -> None:
    (paths.root / "input" / "data" / "counterfactual").mkdir(parents=True)
    assert paths.channel("counterfactual").is_dir()
    assert not paths.has_channel("champion")
    with pytest.raises(MissingChannelError, match=r"'tuning' is missing.*given: counterfactual"):
        paths.channel("tuning")


def test_missing_processing_input_says_which(paths: Paths) -> None:
    with pytest.raises(MissingChannelError, match=r"'observations' is missing.*given: none"):
        paths.processing_input("observations")


@pytest.mark.parametrize("name", ["hyperparameters", "inputdataconfig", "resourceconfig"])
def test_configuration_files_are_read(paths: Paths, name: str) -> None:
    write_configuration(paths, name, '{"a": "b"}')
    assert paths.configuration(name) == {"a": "b"}


def test_failure_is_written_cut_to_what_sagemaker_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def task(_stop: StopSignal) -> None:
        raise ValueError("é" * 5000)

    failure = tmp_path / "output" / "failure"
    assert run(task, failure=failure) == EXIT_FAILED
    text = failure.read_text(encoding="utf-8")
    assert len(text) == 1024
    assert text.startswith("ValueError: é")
    assert "Traceback" in capsys.readouterr().err


def test_wrong_input_fails_with_its_message_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def task(_stop: StopSignal) -> None:
        Parameters({}).text("week")

    assert run(task, failure=tmp_path / "failure") == EXIT_FAILED
    assert (tmp_path / "failure").read_text() == "MissingParameterError: hyper-parameter 'week' is missing"
    assert "Traceback" not in capsys.readouterr().err


def test_done_leaves_no_failure(tmp_path: Path) -> None:
    assert run(lambda _stop: None, failure=tmp_path / "failure") == EXIT_DONE
    assert not (tmp_path / "failure").exists()


def test_stop_interrupts_and_a_second_signal_does_not_interrupt_the_ending(tmp_path: Path) -> None:
    ended = []

    def task(_stop: StopSignal) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            ended.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert run(task, failure=tmp_path / "failure") == EXIT_STOPPED == 143
    assert ended == [True]
    assert "SIGTERM" in (tmp_path / "failure").read_text()
    assert signal.getsignal(signal.SIGTERM) is before


def test_stop_swallowed_by_a_library_is_raised_at_the_next_check(tmp_path: Path) -> None:
    def task(stop: StopSignal) -> None:
        stop.check()
        with contextlib.suppress(BaseException):  # what some numerical libraries do
            signal.raise_signal(signal.SIGTERM)
        stop.check()
        pytest.fail("the stop was lost")

    assert run(task, failure=tmp_path / "failure") == EXIT_STOPPED


def test_error_that_a_stop_caused_counts_as_the_stop(tmp_path: Path) -> None:
    def task(_stop: StopSignal) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except StopRequested:
            raise RuntimeError("a worker died") from None

    assert run(task, failure=tmp_path / "failure") == EXIT_STOPPED


def test_all_processors_are_used_unless_a_number_is_asked_for() -> None:
    assert worker_count(3) == 3
    assert worker_count(0) >= 1


@pytest.mark.parametrize("image", ["containers.contract", "containers.images"])
def test_contract_imports_the_standard_library_alone(image: str) -> None:
    import subprocess

    code = (
        f"import sys, {image}; print([m for m in ('numpy', 'pandas', 'pyarrow', 'dagster_pipes') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
