import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.eia.errors import ReleaseFormatError, SeriesMismatchError, UnitError
from resources.eia.parse import newest_in_csv, parse
from resources.eia.published import Published

SERIES = ["WGFUPUS2", "WDIUPUS2", "WKJUPUS2", "WREUPUS2", "WPRUP_NUS_2", "WWOUP_NUS_2", "WRPUPUS2"]


def release(content: bytes, *, kind: str = "csv", unique_id: str = "WGFUPUS2") -> Published:
    return Published(unique_id, content, kind, "file", "file:///there", datetime(2024, 7, 4, tzinfo=UTC))


def document(*rows: dict) -> bytes:
    full = {"period": "2024-06-28", "series": "WGFUPUS2", "units": "MBBL/D", "value": "9424"}
    return json.dumps({"rows": [full | row for row in rows]}).encode()


def figures(frame: pd.DataFrame) -> list[tuple[date, float]]:
    return [(day.date(), y) for day, y in zip(frame["ds"], frame["y"], strict=True)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"date,value\n2024-06-21,8969\n2024-06-28,9424\n", id="plain"),
        pytest.param(b"date,value\n2024-06-28,9424\n2024-06-21,8969\n", id="newest first"),
        pytest.param(b"\xef\xbb\xbfdate,value\r\n2024-06-21,8969.0\r\n2024-06-28,9424", id="as a spreadsheet saves it"),
        pytest.param(
            b"# a note\n# another\ndate, value\n2024-06-21, 8969\n\n2024-06-28 ,9.424e3\n", id="notes, blanks"
        ),
        pytest.param(b'"date","value"\n"2024-06-21","8969"\n"2024-06-28","9424"\n', id="quoted"),
    ],
)
def test_a_csv_is_read(content: bytes) -> None:
    frame = parse(release(content))
    assert figures(frame) == [(date(2024, 6, 21), 8969.0), (date(2024, 6, 28), 9424.0)]
    assert frame.dtypes.astype(str).to_dict() == {"ds": "datetime64[us]", "y": "float64"}


def test_a_week_without_figure_is_left_out() -> None:
    assert len(parse(release(b"date,value\n2024-06-21,\n2024-06-28,9424\n"))) == 1
    assert len(parse(release(document({"value": None, "period": "2024-06-21"}, {}), kind="json"))) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "row 1: the header must be date,value", id="nothing"),
        pytest.param(b"date,value\n", "no figures", id="no rows"),
        pytest.param(
            b"week,kbd\n2024-06-28,9424\n", "row 1: the header must be date,value, not 'week,kbd'", id="header"
        ),
        pytest.param(b"# n\ndate,value\n2024-06-28\n", "row 3: must hold a date and a value, holds 1", id="one cell"),
        pytest.param(b"date,value\n2024-06-28,9,424\n", "row 2: .* holds 3 cells", id="thousands separator"),
        pytest.param(b"date,value\n06/28/2024,9424\n", "row 2: the date must be written YYYY-MM-DD", id="date order"),
        pytest.param(b"date,value\n20240628,9424\n", "row 2: the date must be written", id="date without dashes"),
        pytest.param(b"date,value\n2024-06-31,9424\n", "row 2: '2024-06-31' is no day", id="no such day"),
        pytest.param(b"date,value\n2024-06-28,nan\n", "row 2: the value must be a number, not 'nan'", id="nan"),
        pytest.param(b"date,value\n2024-06-28,inf\n", "must be a number, not 'inf'", id="infinite"),
        pytest.param(b"date,value\n2024-06-28,1e999\n", "must be a number, not '1e999'", id="beyond floats"),
        pytest.param(b"date,value\n2024-06-28,9_424\n", "must be a number, not '9_424'", id="underscore"),
        pytest.param("date,value\n2024-06-28,٩\n".encode(), "must be a number", id="other digits"),
        pytest.param(b"date,value\n2024-06-28,9424\n2024-06-28,9425\n", "given twice, as 9424 and 9425", id="twice"),
        pytest.param(
            b"date,value\n2024-06-21,1\n2024-06-28,2\n2024-06-14,3\n",
            "row 4: 2024-06-14 is out of order after 2024-06-28",
            id="out of order",
        ),
        pytest.param(b"date,value\n\xff", "byte 11: not UTF-8", id="not text"),
        pytest.param(b'date,value\n"' + b"1" * 200_000, "row 2: field larger than field limit", id="endless cell"),
        pytest.param(b"x," * 50_000, r"not 'x,x,.*\.\.\. \(100,0\d\d characters\)", id="endless header"),
    ],
)
def test_a_csv_that_is_none_is_refused_by_row(content: bytes, said: str) -> None:
    with pytest.raises(ReleaseFormatError, match=f"release of WGFUPUS2, .*{said}"):
        parse(release(content))


def test_rows_of_the_api_are_read_from_strings_and_numbers() -> None:
    content = document({"period": "2024-06-28"}, {"period": "2024-06-21", "value": 8969})
    assert figures(parse(release(content, kind="json"))) == [(date(2024, 6, 21), 8969.0), (date(2024, 6, 28), 9424.0)]


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        pytest.param(document({}, {}), ReleaseFormatError, "week 2024-06-28: given twice", id="on two pages"),
        pytest.param(document({"series": "WDIUPUS2"}), SeriesMismatchError, "holds WDIUPUS2", id="series"),
        pytest.param(document({"units": "MBBL"}), UnitError, "says 'MBBL'", id="unit"),
        pytest.param(
            document({}, {"value": "--"}), ReleaseFormatError, "row 2: the value must be a number", id="value"
        ),
        pytest.param(document({"period": "2024-06"}), ReleaseFormatError, "row 1: the date must be", id="monthly"),
        pytest.param(
            b'{"rows": [{"period": "2024-06-28"}]}', ReleaseFormatError, "lacks series, units, value", id="bare"
        ),
        pytest.param(b"{}", ReleaseFormatError, "not the rows of the API", id="no rows"),
        pytest.param(b'{"rows": [1]}', ReleaseFormatError, "not a list of the API's rows", id="no row"),
        pytest.param(b'{"rows": ' + b"[" * 100_000, ReleaseFormatError, "not the rows of the API", id="nested"),
        pytest.param(b"<html>", ReleaseFormatError, "not the rows of the API", id="no JSON"),
    ],
)
def test_rows_of_the_api_that_do_not_fit_are_refused(content: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        parse(release(content, kind="json"))


def test_a_workbook_is_read(make_workbook: Callable[..., bytes]) -> None:
    frame = parse(release(make_workbook(), kind="xls"))
    assert figures(frame) == [(date(2024, 6, 21), 8969.0), (date(2024, 6, 28), 9424.0)]


@given(
    st.lists(st.floats(0.001, 1e6), min_size=1, max_size=60),
    st.dates(date(1990, 1, 1), date(2030, 1, 1)),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_csv_that_was_written_is_read_back_either_way_up(values, first, descending, newline) -> None:
    rows = [(first + timedelta(weeks=n), value) for n, value in enumerate(values)]
    lines = [f"{day},{value!r}" for day, value in (rows[::-1] if descending else rows)]
    content = newline.join(["date,value", *lines, ""]).encode()
    assert figures(parse(release(content))) == rows
    assert newest_in_csv(content[:4096], content[-4096:], unique_id="X") == rows[-1][0]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_by_name(noise: bytes) -> None:
    for content in (noise, b"date,value\n" + noise):
        with suppress(ReleaseFormatError):
            assert len(parse(release(content)))


def test_a_newest_week_that_no_calendar_has_is_refused() -> None:
    with pytest.raises(ReleaseFormatError, match="'2024-06-31' is no day of the calendar"):
        newest_in_csv(b"date,value\n", b"2024-06-28,1\n2024-06-31,2\n", unique_id="WGFUPUS2")


def test_the_newest_week_of_neither_end_is_refused() -> None:
    with pytest.raises(ReleaseFormatError, match="no row with a date"):
        newest_in_csv(b"date,value\n", b"date,value\n", unique_id="WGFUPUS2")


@pytest.mark.parametrize("unique_id", SERIES)
@pytest.mark.parametrize("folder", ["weekly", "releases"])
def test_the_figures_of_all_seven_series_are_read(shared_data: Path, unique_id: str, folder: str) -> None:
    path = shared_data / folder / f"{unique_id}.csv"
    frame = parse(release(path.read_bytes(), unique_id=unique_id))
    expected = pd.read_csv(path, parse_dates=["date"])
    assert frame["y"].tolist() == expected["value"].tolist()
    assert frame["ds"].tolist() == expected["date"].tolist()


def test_the_official_workbook_and_the_csv_agree(shared_data: Path) -> None:
    xls = parse(release((shared_data / "WGFUPUS2w_2017-01-25.xls").read_bytes(), kind="xls"))
    csv = parse(release((shared_data / "weekly/WGFUPUS2.csv").read_bytes()))
    pd.testing.assert_frame_equal(xls, csv.head(len(xls)))
