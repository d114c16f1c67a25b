from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resources.eia.calendar import EASTERN
from resources.eia.errors import MissingWeeksError, ObservationsInvalidError, WeekNotReleasedError
from resources.eia.observations import validate
from resources.eia.parse import parse
from resources.eia.published import Published
from resources.eia.sample import simulate

W = date(2024, 6, 28)


@pytest.fixture
def frame() -> pd.DataFrame:
    ds = pd.date_range("2024-06-07", periods=4, freq="7D", unit="us")
    return pd.DataFrame({"ds": ds, "y": [9000.0, 9100.0, 9200.0, 9300.0]})


def test_valid_figures_come_back_with_their_report(frame: pd.DataFrame) -> None:
    checked, report = validate(frame, unique_id="WGFUPUS2", week=W, plausible=(3000, 15_000))
    assert checked.columns.tolist() == ["unique_id", "ds", "y"]
    assert checked["unique_id"].unique().tolist() == ["WGFUPUS2"]
    pd.testing.assert_frame_equal(checked[["ds", "y"]], frame)
    assert (report.first, report.last, report.rows, report.gaps) == (date(2024, 6, 7), W, 4, ())


def test_nothing_after_the_week_is_seen_or_checked(frame: pd.DataFrame) -> None:
    frame.loc[3, "y"] = -1.0
    checked, report = validate(frame, unique_id="WGFUPUS2", week=date(2024, 6, 21))
    assert checked["ds"].max() == pd.Timestamp("2024-06-21")
    assert report.rows == 3


def test_weeks_the_source_leaves_out_are_reported(frame: pd.DataFrame) -> None:
    _, report = validate(frame.drop(index=[1, 2]), unique_id="WGFUPUS2", week=W)
    assert report.gaps == (date(2024, 6, 14), date(2024, 6, 21))


def test_weeks_that_a_model_needs_may_not_be_missing(frame: pd.DataFrame) -> None:
    gappy = frame.drop(index=[1, 2])
    with pytest.raises(
        MissingWeeksError, match=r"no figure for 2024-06-14, 2024-06-21; .* from 2024-06-07 on"
    ) as caught:
        validate(gappy, unique_id="WGFUPUS2", week=W, complete_from=date(2024, 6, 7))
    assert caught.value.weeks == (date(2024, 6, 14), date(2024, 6, 21))
    _, report = validate(gappy, unique_id="WGFUPUS2", week=W, complete_from=W)
    assert len(report.gaps) == 2, "before the weeks that are needed, a gap is a fact"


def test_a_young_series_has_no_gap_before_it_began(frame: pd.DataFrame) -> None:
    _, report = validate(frame, unique_id="WGFUPUS2", week=W, complete_from=date(2013, 1, 4))
    assert report.gaps == ()


def test_a_week_not_yet_there_says_when_it_is_due(frame: pd.DataFrame) -> None:
    with pytest.raises(WeekNotReleasedError, match=r"newest is 2024-06-28.* due Wed 2024-07-10 10:30 EDT") as caught:
        validate(frame, unique_id="WGFUPUS2", week=date(2024, 7, 5))
    assert caught.value.newest == W
    assert caught.value.due == datetime(2024, 7, 10, 10, 30, tzinfo=EASTERN)


def test_a_week_the_source_skips_is_told_from_one_not_yet_there(frame: pd.DataFrame) -> None:
    with pytest.raises(WeekNotReleasedError, match="the source skips it, though it goes on to 2024-06-28"):
        validate(frame.drop(index=2), unique_id="WGFUPUS2", week=date(2024, 6, 21))


def test_a_source_without_figures_has_not_released_the_week(frame: pd.DataFrame) -> None:
    with pytest.raises(WeekNotReleasedError, match="the newest is none"):
        validate(frame.head(0), unique_id="WGFUPUS2", week=W)


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        pytest.param(
            1, "ds", pd.Timestamp("2024-06-13"), "week 2024-06-13, row 2: must be a Friday, is Thursday", id="day"
        ),
        pytest.param(1, "ds", pd.Timestamp("2024-06-07"), "week 2024-06-07, row 2: must be once a week", id="twice"),
        pytest.param(0, "ds", pd.Timestamp("2024-06-21"), "row 2: must be in order", id="order"),
        pytest.param(1, "y", 0.0, "week 2024-06-14, row 2: must be positive, is 0", id="zero"),
        pytest.param(1, "y", -5.0, "week 2024-06-14, row 2: must be positive, is -5", id="negative"),
        pytest.param(1, "y", np.nan, "week 2024-06-14, row 2: must be a finite number, is nan", id="nan"),
        pytest.param(1, "y", np.inf, "row 2: must be a finite number, is inf", id="infinite"),
        pytest.param(
            2, "y", 92_000.0, "week 2024-06-21, row 3: must be plausible, 3000 to 15000, is 92000", id="ten times"
        ),
        pytest.param(2, "y", 9.2, "row 3: must be plausible, 3000 to 15000, is 9.2", id="another unit"),
    ],
)
def test_a_broken_rule_names_week_and_row(frame: pd.DataFrame, row: int, column: str, value, said: str) -> None:
    frame.loc[row, column] = value
    with pytest.raises(ObservationsInvalidError, match=said):
        validate(frame, unique_id="WGFUPUS2", week=W, plausible=(3000, 15_000))


def test_every_violation_is_found_and_a_few_are_shown() -> None:
    frame = simulate("WGFUPUS2", last=W).assign(y=-1.0)
    with pytest.raises(ObservationsInvalidError, match=f"and {len(frame) - 5} more") as caught:
        validate(frame, unique_id="WGFUPUS2", week=W)
    assert [finding.row for finding in caught.value.findings] == list(range(1, len(frame) + 1))
    assert caught.value.findings[0].week == date(1991, 2, 8)


def test_a_column_of_another_type_is_a_finding(frame: pd.DataFrame) -> None:
    with pytest.raises(ObservationsInvalidError, match="the series: column y: .*float64"):
        validate(frame.astype({"y": "int64"}), unique_id="WGFUPUS2", week=W)


@pytest.mark.parametrize(
    ("unique_id", "plausible", "gaps"),
    [
        ("WGFUPUS2", (3000, 15_000), ()),
        ("WDIUPUS2", (1000, 8000), ()),
        ("WKJUPUS2", (100, 4000), ()),
        ("WREUPUS2", (1, 3000), ()),
        ("WPRUP_NUS_2", (50, 5000), ()),
        ("WWOUP_NUS_2", (500, 10_000), ()),
        ("WRPUPUS2", (8000, 40_000), (date(1991, 5, 3),)),
    ],
)
def test_all_seven_series_are_valid_with_the_gap_eia_left(shared_data: Path, unique_id, plausible, gaps) -> None:
    content = (shared_data / f"weekly/{unique_id}.csv").read_bytes()
    published = Published(unique_id, content, "csv", "file", "there", datetime(2023, 11, 15, tzinfo=EASTERN))
    _, report = validate(parse(published), unique_id=unique_id, week=date(2023, 11, 10), plausible=plausible)
    assert report.gaps == gaps
