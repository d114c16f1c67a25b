"""The task rank: trials that were scored one by one end in the leaderboard of a search."""

from pathlib import Path

import pandas as pd
import pytest

from containers.contract import Paths, StopSignal
from containers.parameters import Parameters
from containers.reporting import Reporter
from containers.training.rank import rank
from containers.training.search import NoTrialError, search
from containers.training.settings import Settings
from forecasting.configuration import DEFAULT
from tests.containers.test_training_search import SMALL, span_of


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trials and errors of a quick search of two series."""
    return _run(tmp_path_factory.mktemp("search"), "tune")


def _run(
    root: Path,
    task: str,
    trials: pd.DataFrame | None = None,
    errors: pd.DataFrame | None = None,
    *,
    span: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    paths = Paths(root)
    given = span_of("A", "B") if span is None else span
    for name, table in (("counterfactual", given), ("trials", trials), ("errors", errors)):
        if table is not None:
            (root / "input" / "data" / name).mkdir(parents=True)
            table.to_parquet(root / "input" / "data" / name / "data.parquet", index=False)
    settings = Settings.read(Parameters({**SMALL, "task": task, "search": "quick"}))
    {"tune": search, "rank": rank}[task](paths, settings, Reporter(), StopSignal())
    return pd.read_parquet(paths.model / "trials.parquet"), pd.read_parquet(paths.model / "errors.parquet")


def same(found: tuple[pd.DataFrame, pd.DataFrame], expected: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    pd.testing.assert_frame_equal(found[0].drop(columns="seconds"), expected[0].drop(columns="seconds"))
    order = ["unique_id", "configuration", "cutoff", "horizon"]
    one, other = (frame.sort_values(order, ignore_index=True) for frame in (found[1], expected[1]))
    pd.testing.assert_frame_equal(one, other)


def test_trials_one_by_one_end_in_the_leaderboard_of_the_search(searched, tmp_path: Path) -> None:
    same(_run(tmp_path, "rank", *searched), searched)


def test_the_default_is_scored_where_no_trial_did(searched, tmp_path: Path) -> None:
    trials, errors = (frame[frame["configuration"] != DEFAULT.name] for frame in searched)
    same(_run(tmp_path, "rank", trials, errors), searched)


def test_a_trial_that_failed_is_ranked_last_with_its_reason(searched, tmp_path: Path) -> None:
    trials, errors = searched
    lost = (trials["unique_id"] == "A") & (trials["configuration"] == "dhr(K=6)")
    failed = trials.assign(
        status=trials["status"].mask(lost, "InternalServerError"), reason=trials["reason"].mask(lost, "it was lost")
    )
    kept = errors[~((errors["unique_id"] == "A") & (errors["configuration"] == "dhr(K=6)"))]
    ranked, _ = _run(tmp_path, "rank", failed, kept)
    last = ranked[ranked["unique_id"] == "A"].iloc[-1]
    assert (last["configuration"], last["status"], last["reason"]) == ("dhr(K=6)", "InternalServerError", "it was lost")
    assert pd.isna(last["rank"])
    assert len(ranked) == len(trials)
    assert list(ranked.loc[ranked["chosen"], "unique_id"]) == ["A", "B"]


def test_without_one_score_there_is_no_leaderboard(searched, tmp_path: Path) -> None:
    trials, errors = searched
    failed = trials.assign(status="NotPositiveError", reason="a week is not positive")
    negative = span_of("A", "B").assign(y=-1.0, counterfactual=-1.0)
    with pytest.raises(NoTrialError, match="A: NotPositiveError: "):
        _run(tmp_path, "rank", failed, errors.iloc[:0], span=negative)
