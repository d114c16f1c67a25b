"""Tables for people."""

import pandas as pd
import pytest

from forecasting.markdown import markdown_table


def test_a_frame_becomes_a_heading_a_rule_and_a_line_for_each_row():
    table = pd.DataFrame({"name": ["a|b", "c\nd"], "loss": [71444.1312, 0.77494], "n": [3, 4], "chosen": [True, False]})
    assert markdown_table(table).splitlines() == [
        "| name | loss | n | chosen |",
        "| --- | --- | --- | --- |",
        "| a\\|b | 71,444 | 3 | yes |",
        "| c d | 0.7749 | 4 | no |",
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param(float("nan"), "-", id="missing-number"),
        pytest.param(pd.NaT, "-", id="missing-day"),
        pytest.param(None, "-", id="nothing"),
        pytest.param(pd.Timestamp("2023-11-10"), "2023-11-10", id="day"),
        pytest.param(pd.Timestamp("2023-11-15 15:30", tz="UTC"), "2023-11-15 15:30 UTC", id="moment"),
        pytest.param(999.94, "999.9", id="below-a-thousand"),
        pytest.param(-16878.4, "-16,878", id="beyond-a-thousand"),
        pytest.param(2.07e-05, "2.07e-05", id="tiny"),
        pytest.param(12345, "12345", id="whole-number"),
    ],
)
def test_a_value_is_written_as_people_read_it(value, cell):
    table = pd.DataFrame({"value": pd.Series([value], dtype=object)})
    assert markdown_table(table).splitlines()[-1] == f"| {cell} |"
