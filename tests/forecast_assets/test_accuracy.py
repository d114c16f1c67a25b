"""Earlier forecasts scored and changes explained, in lakes whose tables are made directly: no job runs."""

import io
import math
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from forecast_assets import accuracy, changes, scoreboard, tables
from forecast_assets.checks import default_checks
from forecast_assets.reader import NothingScoredError, load_accuracy
from forecasting.changes import PARTS
from forecasting.configuration import SEASONAL_NAIVE
from resources.lake import Lake, content_digest
from tests.weeks import LEVELS, WEEKS, figures, make_week
from tests.world import ROOT, SERIES, WEEK, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty lake."""
    monkeypatch.chdir(ROOT)
    world = World(tmp_path / "lake", tmp_path)
    world.lake.claim("real")
    return world


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(uri=str(tmp_path_factory.mktemp("made") / "lake"))
    lake.claim("real")
    for week in WEEKS:
        make_week(lake, week, figures())
    return lake.root


@pytest.fixture
def four_weeks(world: World, made: Path) -> World:
    """Forecasts of four weeks in a row, not scored yet."""
    shutil.copytree(made, world.lake.root, dirs_exist_ok=True)
    return world


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    assert result.success
    [event] = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


# -- forecast_accuracy ----------------------------------------------------------------------------------------------


def test_every_earlier_forecast_of_the_week_is_scored_once(four_weeks: World) -> None:
    said = metadata(four_weeks.materialize("forecast_accuracy"), "forecast_accuracy")
    scores = load_accuracy(lake=four_weeks.lake)
    assert list(scores.columns) == list(tables.accuracy_columns(LEVELS))
    assert scores[["unique_id", "cutoff"]].value_counts().tolist() == [1] * 6
    assert set(scores["cutoff"]) == {pd.Timestamp(week) for week in WEEKS[:-1]}
    assert set(scores["ds"]) == {pd.Timestamp(WEEK)}
    for row in scores.to_dict("records"):
        made = four_weeks.lake.read("forecast", row["cutoff"].date())
        [own] = made[(made["unique_id"] == row["unique_id"]) & (made["ds"] == row["ds"])].to_dict("records")
        observed = figures().set_index(["unique_id", "ds"])["y"]
        assert (row["mean"], row["horizon"], row["model"]) == (own["mean"], own["horizon"], "dhr(K=1)")
        assert row["y"] == observed[row["unique_id"], row["ds"]]
        assert row["naive"] == observed[row["unique_id"], row["ds"] - pd.Timedelta(weeks=52)]
        assert row["inside-80"] == (own["lo-80"] <= row["y"] <= own["hi-80"])
    assert said["forecasts_scored"] == 6
    assert said["mae_WGFUPUS2"] == pytest.approx(
        scores.loc[scores["unique_id"] == "WGFUPUS2", "absolute_error"].mean(), rel=1e-5
    )
    for name in ("relative", "mase", "bias_percent", "coverage-80", "recent_mase", "recent_coverage-95"):
        assert math.isfinite(float(str(said[name])))
    for name in ("coverage_by_horizon_WGFUPUS2", "error_by_horizon_WREUPUS2", "what_came_since_WREUPUS2"):
        assert "data:image/png;base64," in str(said[name])


def test_scores_stay_the_same_until_a_figure_changes(four_weeks: World) -> None:
    def digest() -> str:
        return content_digest(accuracy.score_week(four_weeks.lake, WEEK, horizon=26, levels=LEVELS))

    first = digest()
    assert digest() == first
    revised = four_weeks.lake.read("observations", WEEK)
    revised.loc[revised["ds"] == pd.Timestamp(WEEK), "y"] += 1
    four_weeks.lake.write("observations", WEEK, revised)
    assert digest() != first


def test_without_an_earlier_forecast_there_is_an_empty_table_of_the_same_types_and_a_note(four_weeks: World) -> None:
    said = metadata(four_weeks.materialize("forecast_accuracy", week=WEEKS[0]), "forecast_accuracy")
    assert said["forecasts_scored"] == 0
    assert "no earlier forecast of 2023-10-20" in str(said["note"])
    nothing = four_weeks.lake.read("forecast_accuracy", WEEKS[0])
    some = accuracy.score_week(four_weeks.lake, WEEK, horizon=26, levels=LEVELS)
    assert nothing.empty
    pd.testing.assert_series_equal(nothing.dtypes, some.dtypes)


def test_a_forecast_older_than_the_horizon_is_not_scored(four_weeks: World) -> None:
    scores = accuracy.score_week(four_weeks.lake, WEEK, horizon=2, levels=LEVELS)
    assert sorted(set(scores["horizon"])) == [1, 2]


def test_a_week_whose_own_forecast_failed_is_scored_all_the_same(four_weeks: World) -> None:
    (four_weeks.lake.root / four_weeks.lake.key("forecast", WEEK)).unlink()
    assert four_weeks.run("score").succeeded
    assert len(load_accuracy(WEEK, lake=four_weeks.lake)) == 6
    assert four_weeks.lake.read("forecast_changes", WEEK).empty


def test_a_week_refreshed_before_its_predecessors_is_known_to_lack_their_scores(world: World) -> None:
    make_week(world.lake, WEEK, figures())
    assert not accuracy.stale_weeks(world.lake)
    assert world.run("score").succeeded
    make_week(world.lake, WEEKS[-2], figures())
    assert list(accuracy.stale_weeks(world.lake)) == [WEEK]
    assert list(changes.stale_weeks(world.lake)) == [WEEK]
    assert world.run("score").succeeded
    assert not accuracy.stale_weeks(world.lake)
    assert not changes.stale_weeks(world.lake)
    make_week(world.lake, WEEKS[-2], figures(), configuration=SEASONAL_NAIVE)
    assert list(accuracy.stale_weeks(world.lake)) == list(changes.stale_weeks(world.lake)) == [WEEK]


def test_a_series_that_is_no_longer_observed_is_not_waited_for(four_weeks: World) -> None:
    known = four_weeks.lake.read("observations", WEEK)
    for week in WEEKS:
        four_weeks.lake.write("observations", week, known[(known["unique_id"] == "ELSE")])
    assert not accuracy.stale_weeks(four_weeks.lake)


# -- forecast_changes -----------------------------------------------------------------------------------------------


def test_the_change_of_a_forecast_is_taken_apart(four_weeks: World) -> None:
    said = metadata(four_weeks.materialize("forecast_changes"), "forecast_changes")
    table = four_weeks.lake.read("forecast_changes", WEEK)
    assert list(table.columns) == list(tables.FORECAST_CHANGES)
    assert table.groupby("unique_id").size().to_dict() == dict.fromkeys(SERIES, 25)
    after = four_weeks.lake.read("forecast", WEEK).merge(table, on=["unique_id", "ds"])
    assert (after["mean"] == after["after"]).all()
    np.testing.assert_allclose(table[list(PARTS)].sum(axis=1), table["change"], atol=1e-9)
    assert (table["new_code"] == 0).all(), "today's code made both"
    assert table["new_data"].abs().max() > 0
    assert "WGFUPUS2:" in str(said["why"])
    assert "new data" in str(said["why"])
    assert said["new_data_share_WGFUPUS2"] == 1
    assert "data:image/png;base64," in str(said["change_WREUPUS2"])


def test_revisions_and_another_model_have_parts_of_their_own(four_weeks: World) -> None:
    revised = figures()
    revised.loc[revised["ds"] == pd.Timestamp(WEEKS[-2]), "y"] *= 1.1
    make_week(four_weeks.lake, WEEK, revised, configuration=SEASONAL_NAIVE, role="stand-in")
    assert four_weeks.materialize("forecast_changes").success
    table = four_weeks.lake.read("forecast_changes", WEEK)
    assert table[["revised_data", "new_data", "hyper_parameters"]].abs().max().min() > 0
    np.testing.assert_allclose(table[list(PARTS)].sum(axis=1), table["change"], atol=1e-9)


def test_what_stood_in_last_week_is_fitted_again_as_that(four_weeks: World) -> None:
    for week in WEEKS[-2:]:
        make_week(four_weeks.lake, week, figures(), configuration=SEASONAL_NAIVE, role="stand-in")
    assert four_weeks.materialize("forecast_changes").success
    assert (four_weeks.lake.read("forecast_changes", WEEK)["change"] == 0).all()


def test_the_first_week_has_nothing_to_compare_and_says_so(four_weeks: World) -> None:
    said = metadata(four_weeks.materialize("forecast_changes", week=WEEKS[0]), "forecast_changes")
    assert "2023-10-13 has no forecast to compare" in str(said["note"])
    nothing = four_weeks.lake.read("forecast_changes", WEEKS[0])
    some, _ = changes.changes_of(four_weeks.lake, before=WEEKS[-2], week=WEEK)
    assert nothing.empty
    pd.testing.assert_series_equal(nothing.dtypes, some.dtypes)


def test_a_series_that_cannot_be_fitted_again_is_left_out_by_name(four_weeks: World) -> None:
    known = four_weeks.lake.read("observations", WEEK)
    gap = (known["unique_id"] == "WREUPUS2") & (known["ds"] == pd.Timestamp("2022-11-11"))
    four_weeks.lake.write("observations", WEEK, known[~gap])
    said = metadata(four_weeks.materialize("forecast_changes"), "forecast_changes")
    assert "WREUPUS2: dhr(K=1) could not be fitted: weeks must be consecutive Fridays" in str(said["left_out"])
    assert set(four_weeks.lake.read("forecast_changes", WEEK)["unique_id"]) == {"WGFUPUS2"}


def test_a_damaged_model_of_last_week_stops_no_refresh(four_weeks: World) -> None:
    four_weeks.lake.write_bytes(f"candidates/week={WEEKS[-2]}/forecaster.json", b"{}")
    said = metadata(four_weeks.materialize("forecast_changes"), "forecast_changes")
    assert f"candidates/week={WEEKS[-2]}/forecaster.json" in str(said["note"])
    assert four_weeks.lake.read("forecast_changes", WEEK).empty


# -- the checks -----------------------------------------------------------------------------------------------------


def check(lake: Lake, name: str) -> dg.AssetCheckResult:
    [found] = [check for check in default_checks if next(iter(check.check_keys)).name == name]
    return found.op.compute_fn.decorated_fn(SimpleNamespace(partition_key=WEEK.isoformat()), lake=lake)


def write_scores(lake: Lake, weeks: int, *, inside: Callable[[int], bool], error: Callable[[int], float]) -> None:
    """Scores of some weeks up to `WEEK`, two forecasts each; week 0 is the last."""
    for back in range(weeks):
        week = WEEK - timedelta(weeks=back)
        table = pd.concat([pd.DataFrame({"unique_id": [SERIES[0]], "ds": [week]})] * 2, ignore_index=True)
        table = table.reindex(columns=list(tables.accuracy_columns((90.0,))))
        table = table.assign(ds=pd.Timestamp(week), y=1000.0, error=error(back), **{"inside-90": float(inside(back))})
        lake.write("forecast_accuracy", week, table)


def test_intervals_that_hold_too_little_are_a_warning_with_its_consequence(world: World) -> None:
    write_scores(world.lake, 52, inside=lambda back: back % 4 > 0, error=lambda _: 0.0)
    result = check(world.lake, "intervals_cover")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    said = str(result.description)
    assert "WGFUPUS2: 75.0 % of 52 weeks inside the 90 % interval, at least 82.7 % expected" in said
    assert "too narrow: plan with the next wider level" in said


@pytest.mark.parametrize(
    ("weeks", "inside", "said"),
    [
        pytest.param(52, lambda back: back % 8 > 0, "within chance", id="88-per-cent"),
        pytest.param(20, lambda _: False, "Fewer than 26 weeks", id="few"),
        pytest.param(0, lambda _: True, "Fewer than 26 weeks", id="none"),
        pytest.param(70, lambda back: back < 52, "within chance", id="older-than-a-year"),
    ],
)
def test_intervals_within_chance_or_hardly_tried_pass(
    world: World, weeks: int, inside: Callable[[int], bool], said: str
) -> None:
    write_scores(world.lake, weeks, inside=inside, error=lambda _: 0.0)
    result = check(world.lake, "intervals_cover")
    assert result.passed
    assert said in str(result.description)


def test_forecasts_that_lean_to_a_side_are_a_warning_with_its_consequence(world: World) -> None:
    write_scores(world.lake, 8, inside=lambda _: True, error=lambda back: -40.0 + back % 3)
    result = check(world.lake, "unbiased")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "WGFUPUS2: forecasts were 3.9 % too low over the last 8 weeks" in str(result.description)
    assert "look whether a structural break has begun" in str(result.description)


@pytest.mark.parametrize(
    ("weeks", "error", "said"),
    [
        pytest.param(8, lambda back: 40.0 * (-1) ** back, "No bias", id="to-and-fro"),
        pytest.param(7, lambda _: 40.0, "Fewer than 8 weeks", id="few"),
        pytest.param(0, lambda _: 0.0, "Fewer than 8 weeks", id="none"),
        pytest.param(30, lambda back: 40.0 if back > 7 else 2.0 * (-1) ** back, "No bias", id="over"),
    ],
)
def test_forecasts_without_a_side_pass(world: World, weeks: int, error: Callable[[int], float], said: str) -> None:
    write_scores(world.lake, weeks, inside=lambda _: True, error=error)
    result = check(world.lake, "unbiased")
    assert result.passed
    assert said in str(result.description)


# -- readers --------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(four_weeks: World) -> World:
    for week in WEEKS:
        scores = accuracy.score_week(four_weeks.lake, week, horizon=26, levels=LEVELS)
        four_weeks.lake.write("forecast_accuracy", week, scores)
    return four_weeks


def test_scores_are_read_by_the_weeks_that_were_forecast(scored: World) -> None:
    assert len(load_accuracy(lake=scored.lake)) == 2 * (1 + 2 + 3)
    assert len(load_accuracy(WEEKS[-2], lake=scored.lake)) == 2 * (2 + 3)
    assert len(load_accuracy("2023-10-27", "2023-10-27", lake=scored.lake)) == 2


def test_where_nothing_was_scored_a_reader_is_told_what_to_do(scored: World) -> None:
    with pytest.raises(NothingScoredError, match=r"of weeks from 2024-01-05: .* replay some weeks in a row"):
        load_accuracy("2024-01-05", lake=scored.lake)


@pytest.mark.parametrize(("by", "rows"), [("series", 2), ("horizon", 6), ("model", 2), ("week", 6)])
def test_the_scoreboard_has_a_row_of_what_was_asked_for(scored: World, by: str, rows: int) -> None:
    scores = load_accuracy(lake=scored.lake)
    found = scoreboard.as_rows(scores, by=by)
    assert (found["first"], found["last"], found["source"]) == ("2023-10-27", "2023-11-10", "file")
    assert len(found["rows"]) == rows
    assert sum(row["n"] for row in found["rows"]) == len(scores)
    shown = io.StringIO()
    Console(width=120, file=shown).print(*scoreboard.as_grids(scores, by=by))
    text = shown.getvalue()
    for words in ("MAE", "Of naive", "Bias %", "Pinball", "In 95 %", *SERIES):
        assert words in text


def test_both_assets_are_part_of_refresh_replay_and_scoring(world: World) -> None:
    for job in ("weekly_refresh", "backfill", "score"):
        selected = world.platform.defs.resolve_job_def(job).asset_layer.executable_asset_keys
        assert {dg.AssetKey("forecast_accuracy"), dg.AssetKey("forecast_changes")} <= set(selected)


# -- from end to end ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_three_real_weeks_replayed_out_of_order_end_as_if_they_had_been_in_order(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    world = World(tmp_path / "lake", shared_data / "weekly", series=SERIES[:1])
    for week in (WEEKS[-3], WEEKS[-1], WEEKS[-2]):
        outcome = world.run("backfill", week)
        assert outcome.succeeded, outcome.reasons
    assert world.lake.read("forecast_changes", WEEK).empty, "its predecessor was not there yet"
    assert list(accuracy.stale_weeks(world.lake)) == list(changes.stale_weeks(world.lake)) == [WEEK]
    assert world.run("score").succeeded
    assert load_accuracy(lake=world.lake)[["ds", "horizon"]].to_numpy().tolist() == [
        [pd.Timestamp(WEEKS[-2]), 1],
        [pd.Timestamp(WEEK), 2],
        [pd.Timestamp(WEEK), 1],
    ]
    for week in WEEKS[-2:]:
        table = world.lake.read("forecast_changes", week)
        assert len(table) == 25
        assert (table["new_code"] == 0).all(), "a refit in this process is the job's to the last bit"
    assert all(world.platform.is_replayed(week) for week in WEEKS[-3:])
