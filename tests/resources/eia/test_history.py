from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from resources.eia.errors import HistoryShortenedError, ScaleChangedError
from resources.eia.history import Known, newest_known, refuse_lost_weeks, refuse_other_scale, relative_size, revisions
from resources.lake import Lake

FIRST, SECOND, THIRD = date(2024, 6, 14), date(2024, 6, 21), date(2024, 6, 28)
ABOUT = {"unique_id": "A", "where": "http://eia"}


def observed(*ys: float, series: str = "A", first: date = FIRST) -> pd.DataFrame:
    ds = pd.date_range(first, periods=len(ys), freq="7D", unit="us")
    return pd.DataFrame({"unique_id": series, "ds": ds, "y": list(map(float, ys))})


def known(*ys: float, week: date = THIRD) -> Known:
    return Known(week, observed(*ys).set_index("ds")["y"])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(uri=str(tmp_path / "lake"))


def rows(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    return [
        (row.unique_id, row.ds.date(), None if pd.isna(row.before) else row.before, row.after, row.known.date())
        for row in frame.itertuples()
    ]


@pytest.mark.parametrize("factor", [1000, 0.001, 7, 42, 1.6, 1 / 1.6])
def test_another_scale_is_refused_with_its_factor(factor: float) -> None:
    with pytest.raises(ScaleChangedError, match=r"http://eia .* observations of 2024-06-28 .* 3 weeks") as caught:
        refuse_other_scale(observed(10 * factor, 20 * factor, 30 * factor), known(10, 20, 30), **ABOUT)
    assert caught.value.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    "now",
    [
        pytest.param((10, 20, 30), id="the same"),
        pytest.param((10_000, 20, 30), id="one week of many"),
        pytest.param((14, 28, 42), id="a large revision"),
        pytest.param((0, 0, 0), id="zeros, which are refused as such"),
    ],
)
def test_figures_on_the_known_scale_pass(now: tuple[float, ...]) -> None:
    refuse_other_scale(observed(*now), known(10, 20, 30), **ABOUT)


def test_weeks_in_common_with_nothing_known_are_on_any_scale() -> None:
    refuse_other_scale(observed(1, 2, first=date(2024, 7, 5)), known(10, 20), **ABOUT)


def test_lost_weeks_are_refused_by_name() -> None:
    with pytest.raises(HistoryShortenedError, match="lacks 2 weeks .* 2024-06-14, 2024-06-21") as caught:
        refuse_lost_weeks(observed(30, first=THIRD), known(10, 20, 30), **ABOUT)
    assert caught.value.weeks == (FIRST, SECOND)


def test_weeks_after_the_end_of_an_older_release_are_not_lost() -> None:
    refuse_lost_weeks(observed(10, 20), known(10, 20, 30), **ABOUT)


def test_more_weeks_than_were_known_are_welcome() -> None:
    refuse_lost_weeks(observed(1, 2, 3, 4, first=date(2024, 6, 7)), known(10, 20, 30), **ABOUT)


def test_the_newest_observations_of_a_series_are_found_past_weeks_without_it(lake: Lake) -> None:
    lake.write("observations", FIRST, observed(10))
    lake.write("observations", SECOND, observed(10, 20, series="B"))
    found = newest_known(lake, "A")
    assert found is not None
    assert (found.week, found.y.tolist()) == (FIRST, [10.0])
    assert newest_known(lake, "A", before=FIRST) is None
    assert newest_known(lake, "C") is None


def test_nothing_known_is_nothing_revised(lake: Lake) -> None:
    table = revisions(lake, FIRST, observed(10))
    assert table.empty
    lake.write("revisions", FIRST, table)
    assert lake.read("revisions", FIRST).dtypes.astype(str).to_dict() == {
        "unique_id": "str",
        "ds": "datetime64[us]",
        "before": "float64",
        "after": "float64",
        "known": "datetime64[us]",
    }


def test_what_the_newest_week_before_said_otherwise_is_revised(lake: Lake) -> None:
    lake.write("observations", FIRST, observed(1))
    lake.write("observations", SECOND, observed(10, 20))
    found = revisions(lake, THIRD, pd.concat([observed(10, 21, 30), observed(5, 6, 7, series="B")]))
    assert rows(found) == [("A", SECOND, 20.0, 21.0, SECOND)]
    assert relative_size(found).tolist() == pytest.approx([0.05])


def test_a_week_that_had_no_figure_is_revised_from_nothing(lake: Lake) -> None:
    lake.write("observations", SECOND, observed(10, 20).drop(index=0))
    found = revisions(lake, THIRD, observed(10, 20, 30))
    assert rows(found) == [("A", FIRST, None, 10.0, SECOND)]
    assert relative_size(found).isna().all()


def test_a_week_fetched_again_remembers_what_it_said_each_time(lake: Lake) -> None:
    for ys in ((10, 20), (11, 20), (11, 20), (12, 20)):
        lake.write("revisions", SECOND, revisions(lake, SECOND, observed(*ys)))
        lake.write("observations", SECOND, observed(*ys))
    found = lake.read("revisions", SECOND)
    assert rows(found) == [("A", FIRST, 10.0, 11.0, SECOND), ("A", FIRST, 11.0, 12.0, SECOND)]


def test_a_run_that_died_before_the_observations_were_written_records_nothing_twice(lake: Lake) -> None:
    lake.write("observations", FIRST, observed(10))
    for _ in range(2):
        lake.write("revisions", FIRST, revisions(lake, FIRST, observed(11)))
    assert rows(lake.read("revisions", FIRST)) == [("A", FIRST, 10.0, 11.0, FIRST)]
