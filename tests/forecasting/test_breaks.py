from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.breaks import Break, BreakRule, find_break, find_breaks
from forecasting.errors import ConfigurationError, SeriesTooShortError

RULE = BreakRule("flood", date(2020, 3, 1), date(2020, 12, 31), 3, date(2021, 6, 30), date(2017, 1, 1))


def flags(*outliers, start="2017-01-06", weeks=250):
    ds = pd.date_range(start, periods=weeks, freq="W-FRI")
    return pd.DataFrame({"unique_id": "A", "ds": ds, "outlier": ds.isin(pd.to_datetime(list(outliers)))})


def test_a_break_runs_from_the_first_to_the_last_outlier_of_the_window():
    found = find_break(flags("2020-02-28", "2020-03-13", "2020-03-20", "2020-05-15", "2021-01-01"), RULE)
    assert found == Break("A", "flood", date(2020, 3, 13), date(2020, 5, 15), 10, 3, 0.3, date(2017, 1, 1))


def test_too_few_outliers_are_no_break():
    assert find_break(flags("2020-02-28", "2020-03-13", "2020-03-20"), RULE) is None


def test_two_seasons_must_come_before_a_break():
    # 2017-01-06 .. 2020-03-06 are 166 weeks; 104 of them begin on 2018-03-16.
    outliers = ("2020-03-13", "2020-03-20", "2020-03-27")
    enough, short = replace(RULE, fitted_from=date(2018, 3, 16)), replace(RULE, fitted_from=date(2018, 3, 17))
    assert find_break(flags(*outliers), enough) is not None
    with pytest.raises(SeriesTooShortError, match=r"A: 103 weeks for break flood \(2018-03-17 to 2020-03-13\)"):
        find_break(flags(*outliers), short)


def test_gasoline_breaks_where_it_was_published(real_history, covid):
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"]
    found = find_breaks(gasoline, [covid], last=date(2023, 5, 12))
    assert found.to_dict("records") == [
        {
            "unique_id": "WGFUPUS2",
            "name": "covid-19",
            "start": pd.Timestamp("2020-03-13"),
            "end": pd.Timestamp("2022-08-19"),
            "weeks": 128,
            "outliers": 26,
            "share": 26 / 128,
            "fitted_from": pd.Timestamp("2013-01-01"),
        }
    ]


def test_a_settled_break_does_not_move(real_history, covid):
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"]
    later = find_breaks(gasoline, [covid], last=date(2023, 11, 10))
    pd.testing.assert_frame_equal(later, find_breaks(gasoline, [covid], last=date(2023, 5, 12)))


def test_before_it_is_settled_a_break_is_what_was_known_then(real_history, covid):
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"]
    known = find_breaks(gasoline, [covid], last=date(2020, 6, 26))
    blind = find_breaks(gasoline[gasoline["ds"] <= "2020-06-26"], [covid], last=date(2020, 6, 26))
    pd.testing.assert_frame_equal(known, blind)
    assert known["start"].tolist() == [pd.Timestamp("2020-03-27")]
    assert known["end"].tolist() == [pd.Timestamp("2020-06-26")]


@pytest.mark.parametrize("last", [date(2020, 2, 28), date(2020, 4, 3)], ids=["before the window", "too few yet"])
def test_no_break_is_an_empty_table_of_the_same_columns(real_history, covid, last):
    gasoline = real_history[real_history["unique_id"] == "WGFUPUS2"]
    none = find_breaks(gasoline, [covid], last=last)
    some = find_breaks(gasoline, [covid], last=date(2023, 5, 12))
    assert none.empty
    pd.testing.assert_series_equal(none.dtypes, some.dtypes)


def test_no_rule_finds_no_break(real_history):
    assert find_breaks(real_history, [], last=date(2023, 5, 12)).empty


def test_several_series_and_rules(covid):
    rng = np.random.default_rng(3)
    ds = pd.date_range("2013-01-04", "2023-05-12", freq="W-FRI")
    frames = []
    for name in "AB":
        y = 5000 + 300 * np.sin(2 * np.pi * np.arange(len(ds)) / 52) + rng.normal(0, 30, len(ds))
        y[(ds >= "2020-03-13") & (ds <= "2020-07-10")] -= 2500
        frames.append(pd.DataFrame({"unique_id": name, "ds": ds, "y": y}))
    found = find_breaks(pd.concat(frames), [covid, replace(covid, name="twin")], last=date(2023, 5, 12))
    assert found[["name", "unique_id"]].to_numpy().tolist() == [
        ["covid-19", "A"],
        ["covid-19", "B"],
        ["twin", "A"],
        ["twin", "B"],
    ]
    assert set(found["start"]) == {pd.Timestamp("2020-03-13")}
    for frame in frames:
        alone = find_breaks(frame, [covid], last=date(2023, 5, 12)).iloc[0]
        together = found[(found["unique_id"] == alone["unique_id"]) & (found["name"] == "covid-19")].iloc[0]
        pd.testing.assert_series_equal(alone, together, check_names=False)


@pytest.mark.parametrize(
    "wrong",
    [{"fitted_from": date(2020, 3, 1)}, {"searched_to": date(2020, 1, 1)}, {"settled": date(2020, 12, 30)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_days_of_a_rule_run_forward(wrong):
    with pytest.raises(ConfigurationError, match="break flood: days must run"):
        replace(RULE, **wrong)


def test_a_rule_asks_for_an_outlier():
    with pytest.raises(ConfigurationError, match="min_outliers 0"):
        replace(RULE, min_outliers=0)
