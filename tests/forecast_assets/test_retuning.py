"""Where retuning waits for drift, a week without a search keeps the last leaderboard."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from forecast_assets.tuning import SEARCH_TAG, last_search
from tests.world import ROOT, WEEK, World

BEFORE = WEEK - timedelta(weeks=1)
STAGES = ("release", "observations", "outlier_flags", "structural_break", "counterfactual", "tuning_trials")


@pytest.fixture
def world(shared_data: Path, tmp_path: Path) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("FORECAST_RETUNING", "on_drift")
        patch.setenv("FORECAST_SEARCH", "quick")
        yield World(tmp_path / "lake", shared_data / "weekly", series=("WREUPUS2",))


def make(world: World, week: date, *stages: str, tags: dict[str, str] | None = None) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        job = world.platform.defs.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(
            asset_selection=[dg.AssetKey(name) for name in stages],
            partition_key=week.isoformat(),
            instance=instance,
            tags=tags,
        ).success


def searched(world: World, week: date) -> list[date]:
    return [found.date() for found in world.lake.read("tuning_trials", week)["searched"].unique()]


@pytest.mark.slow
def test_the_last_leaderboard_stands_until_a_search_is_asked_for(world: World) -> None:
    make(world, BEFORE, *STAGES)
    make(world, WEEK, *STAGES, "candidate_model")
    assert searched(world, WEEK) == [BEFORE]
    for table in ("tuning_trials", "tuning_errors"):
        pd.testing.assert_frame_equal(world.lake.read(table, WEEK), world.lake.read(table, BEFORE))
    assert "candidate" in set(world.lake.read("model_scores", WEEK)["role"])
    make(world, WEEK, "tuning_trials", tags={SEARCH_TAG: "drift"})
    assert searched(world, WEEK) == [WEEK]


def test_a_leaderboard_answers_for_the_question_it_was_asked(world: World) -> None:
    from forecast_assets.requests import search_digest

    trials = pd.DataFrame({"unique_id": ["A", "B"], "chosen": [True, False], "protocol": search_digest(world.settings)})
    world.lake.write("tuning_trials", BEFORE, trials)
    world.lake.write("counterfactual", WEEK, pd.DataFrame({"unique_id": ["A"]}))
    assert last_search(world.lake, world.settings, WEEK) == BEFORE
    assert last_search(world.lake, world.settings, BEFORE) is None, "a week does not answer for itself"
    changed = world.settings.model_copy(update={"max_harmonics": 5})
    assert last_search(world.lake, changed, WEEK) is None, "it was asked something else"
    world.lake.write("counterfactual", WEEK, pd.DataFrame({"unique_id": ["A", "B"]}))
    assert last_search(world.lake, world.settings, WEEK) is None, "B has no configuration"
    world.lake.write("tuning_trials", BEFORE, trials.drop(columns="protocol"))
    assert last_search(world.lake, world.settings, WEEK) is None, "of a platform that did not say"
