"""Which figures a week is made from: the same, whatever file they came in."""

from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.eia.client import EiaClient
from resources.eia.parse import parse
from resources.eia.published import Published
from resources.eia.release import Demands, keep_release
from resources.eia.values import digest, held, offered
from resources.lake import Lake

WEEKS = [date(2024, 6, 14), date(2024, 6, 21), date(2024, 6, 28)]
WEEK = WEEKS[1]


def frame(*y: float) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.DatetimeIndex(WEEKS[: len(y)]).as_unit("us"), "y": list(y)})


def test_it_knows_no_order_no_resolution_and_no_later_week() -> None:
    once = digest({"A": frame(1, 2), "B": frame(3, 4)}, WEEK)
    other = frame(1, 2, 9)[::-1].assign(ds=lambda f: f["ds"].astype("datetime64[ns]"))
    assert digest({"B": frame(3, 4, 5), "A": other}, WEEK) == once
    assert len(once) == 16


@given(st.integers(0, 1), st.sampled_from(["A", "B"]), st.floats(0.5, 5e4, allow_nan=False))
def test_any_other_figure_is_another_digest(row: int, name: str, value: float) -> None:
    frames = {"A": frame(1.5, 2.5), "B": frame(3.5, 4.5)}
    before = digest(frames, WEEK)
    same = frames[name].loc[row, "y"] == value
    frames[name].loc[row, "y"] = value
    assert (digest(frames, WEEK) == before) == same


@pytest.mark.parametrize(
    "frames",
    [{"A": frame(1, 2)}, {"A": frame(1, 2), "C": frame(3, 4)}, {"A": frame(1), "B": frame(2, 3)}],
    ids=["a series less", "another series", "a week less"],
)
def test_another_set_of_series_or_weeks_is_another_digest(frames: dict[str, pd.DataFrame]) -> None:
    assert digest(frames, WEEK) != digest({"A": frame(1, 2), "B": frame(3, 4)}, WEEK)


def test_the_lake_holds_what_was_offered(tmp_path: Path, now: Callable[[], datetime]) -> None:
    lake, folder = Lake(uri=str(tmp_path / "lake")), tmp_path / "eia"
    folder.mkdir()
    assert held(lake, WEEK, ["WGFUPUS2"]) is None

    def publish(*y: float) -> dict[str, pd.DataFrame]:
        rows = "".join(f"{week},{value:g}\n" for week, value in zip(WEEKS, y, strict=False))
        (folder / "WGFUPUS2.csv").write_text(f"date,value\n{rows}")
        got = EiaClient.open(str(folder), now=now).published("WGFUPUS2")
        assert isinstance(got, Published)
        return {"WGFUPUS2": parse(got)}

    first = publish(9000, 9100)
    demands = Demands(week=WEEK, now=now(), complete_from=WEEKS[0], plausible={"WGFUPUS2": (3000, 15_000)})
    lake.write("release", WEEK, keep_release(EiaClient.open(str(folder), now=now), lake, demands))
    lake.write("observations", WEEK, first["WGFUPUS2"].assign(unique_id="WGFUPUS2"))
    assert held(lake, WEEK, ["WGFUPUS2"]) == offered(lake, WEEK, first)
    assert held(lake, WEEK, ["WGFUPUS2", "WREUPUS2"]) is None
    # The week was kept as published, so what a later release says of it changes nothing; in its own release it does.
    assert offered(lake, WEEK, publish(9001, 9100, 9200)) == held(lake, WEEK, ["WGFUPUS2"])
    assert offered(lake, WEEK, publish(9001, 9100)) != held(lake, WEEK, ["WGFUPUS2"])
