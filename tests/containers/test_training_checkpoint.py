"""Checkpoints of a search: written as it goes, resumed from, and worth nothing where they are damaged."""

import itertools
import re
from pathlib import Path

import pandas as pd
import pytest

from containers.contract import Paths, StopRequested, StopSignal
from containers.parameters import Parameters
from containers.reporting import Reporter
from containers.training import search as module
from containers.training.checkpoint import Checkpoint
from containers.training.search import search
from containers.training.settings import Settings
from tests.containers.test_training_search import SMALL, span_of

PARAMETERS = {**SMALL, "task": "tune", "search": "quick"}


class Job:
    """One attempt at a search after another, in folders that share nothing but the checkpoints."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        self.attempts = itertools.count()
        self.checkpoints = folder / "checkpoints"

    def attempt(self, *, groups: int | None = None) -> pd.DataFrame:
        """Search until so many groups of windows are done, to the end with None; gives the leaderboard."""
        paths = Paths(self.folder / str(next(self.attempts)))
        (paths.root / "input/data/counterfactual").mkdir(parents=True)
        (paths.root / "checkpoints").symlink_to(self.checkpoints, target_is_directory=True)
        span_of("A", "B").to_parquet(paths.root / "input/data/counterfactual/data.parquet")
        stop = StopSignal()
        steps = itertools.count(1)
        with self.monkeypatch.context() as patch:
            check = stop.check

            def counted() -> None:
                stop.requested = stop.requested or next(steps) == groups
                check()

            patch.setattr(stop, "check", counted)
            search(paths, Settings.read(Parameters(PARAMETERS)), Reporter(), stop)
        return pd.read_parquet(paths.model / "trials.parquet").drop(columns="seconds")

    def said(self) -> str:
        return self.capsys.readouterr().out


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Job:
    found = Job(tmp_path, monkeypatch, capsys)
    found.checkpoints.mkdir()
    return found


def test_a_search_that_is_stopped_goes_on_where_it_was_and_finds_the_same(job: Job) -> None:
    whole = job.attempt()
    assert list(job.checkpoints.iterdir()) == [], "what is over needs none"
    with pytest.raises(StopRequested):
        job.attempt(groups=15)
    assert len(list(job.checkpoints.glob("*.npz"))) == 1
    job.said()
    pd.testing.assert_frame_equal(job.attempt(), whole, check_exact=True)
    assert re.search("going on from a checkpoint: [12] of 4 origins are done", job.said())
    assert list(job.checkpoints.iterdir()) == []


def test_a_search_that_dies_without_a_word_has_what_it_wrote_as_it_went(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def often(*arguments: object) -> Checkpoint:
        return Checkpoint(*arguments, interval_s=0)  # type: ignore[arg-type]

    whole = job.attempt()
    with monkeypatch.context() as patch:
        patch.setattr(module, "Checkpoint", often)
        patch.setattr(StopSignal, "check", lambda _self: None)
        patch.setattr("containers.training.checkpoint.Checkpoint.forget", lambda _self: None)
        job.attempt()
    assert len(list(job.checkpoints.glob("*.npz"))) == 1
    job.said()
    pd.testing.assert_frame_equal(job.attempt(), whole, check_exact=True)
    assert "going on from a checkpoint: 4 of 4 origins are done" in job.said()


def test_a_damaged_checkpoint_is_named_and_the_search_starts_over(job: Job) -> None:
    whole = job.attempt()
    with pytest.raises(StopRequested):
        job.attempt(groups=15)
    (file,) = job.checkpoints.glob("*.npz")
    file.write_bytes(file.read_bytes()[:-300])
    job.said()
    pd.testing.assert_frame_equal(job.attempt(), whole, check_exact=True)
    assert f"the checkpoint {file.name} is of no use, starting over: " in job.said()


def test_without_a_checkpoint_configuration_none_is_written(job: Job) -> None:
    job.checkpoints.rmdir()
    with pytest.raises(StopRequested):
        job.attempt(groups=15)
    assert not job.checkpoints.exists()
