from datetime import date, timedelta
from pathlib import Path

import pytest

from resources.eia.errors import SeriesMismatchError, UnitError, WorkbookError
from resources.eia.workbook import read_workbook
from tests.workbooks import TITLE

WEEKS = (date(2024, 6, 21), date(2024, 6, 28))


def test_weeks_and_figures_are_read(make_workbook) -> None:
    assert read_workbook(make_workbook(), unique_id="WGFUPUS2") == [(WEEKS[0], 8969.0), (WEEKS[1], 9424.0)]


def test_a_week_without_figure_is_left_out(make_workbook) -> None:
    content = make_workbook([(WEEKS[0], None), (WEEKS[1], 9424)])
    assert read_workbook(content, unique_id="WGFUPUS2") == [(WEEKS[1], 9424.0)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        pytest.param((WEEKS[1], "NA"), "row 5: the figure is 'NA'", id="text for a figure"),
        pytest.param((WEEKS[1], "#N/A"), "row 5: the figure is the error #N/A", id="error for a figure"),
        pytest.param(("#DIV/0!", 9424), "row 5: the date is the error #DIV/0!", id="error for a date"),
        pytest.param(("6/28/2024", 9424), "row 5: the date is '6/28/2024'", id="text for a date"),
        pytest.param((45471, 9424), "row 5: the date is 45471.0", id="number for a date"),
        pytest.param((None, 9424), "row 5: the date is empty where the figure is", id="no date"),
    ],
)
def test_a_cell_that_is_not_what_its_column_holds_is_refused_by_row(make_workbook, row, said: str) -> None:
    with pytest.raises(WorkbookError, match=said):
        read_workbook(make_workbook([(WEEKS[0], 8969), row]), unique_id="WGFUPUS2")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"sheets": ("Contents", "Data 2")}, "no Data 1 among Contents, Data 2", id="no data"),
        pytest.param({"sheets": ("Data 1",)}, "no Contents among Data 1", id="no contents"),
        pytest.param({"keys": ("Key", "WGFUPUS2")}, "must begin Sourcekey and Date, not 'Key'", id="no source key"),
        pytest.param({"titles": ("Day", TITLE)}, "not 'Sourcekey' and 'Day'", id="no date column"),
        pytest.param({"rows": ()}, "3 rows and 2 columns, no figures", id="no rows"),
    ],
)
def test_another_layout_is_refused(make_workbook, changes, said: str) -> None:
    with pytest.raises(WorkbookError, match=said):
        read_workbook(make_workbook(**changes), unique_id="WGFUPUS2")


def test_another_series_is_refused(make_workbook) -> None:
    with pytest.raises(SeriesMismatchError, match="asked for series WGFUPUS2, the release holds WDIUPUS2"):
        read_workbook(make_workbook(keys=("Sourcekey", "WDIUPUS2")), unique_id="WGFUPUS2")


@pytest.mark.parametrize("title", ["Stocks of Gasoline  (Thousand Barrels)", "Gasoline (Percent)", "Gasoline"])
def test_another_unit_is_refused(make_workbook, title: str) -> None:
    with pytest.raises(UnitError, match="thousand barrels per day"):
        read_workbook(make_workbook(titles=("Date", title)), unique_id="WGFUPUS2")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "not a workbook|damaged", id="nothing"),
        pytest.param(b"date,value\n2024-06-28,9424\n", "not a workbook", id="a CSV"),
        pytest.param(b"PK\x03\x04" + bytes(100), "not a workbook", id="a zip"),
        pytest.param(
            bytes.fromhex("d0cf11e0a1b11ae1") + bytes(100), "not a workbook|damaged", id="a compound file of nothing"
        ),
    ],
)
def test_what_is_no_workbook_is_refused_by_name(content: bytes, said: str) -> None:
    with pytest.raises(WorkbookError, match=said):
        read_workbook(content, unique_id="WGFUPUS2")


def test_an_encrypted_workbook_is_refused_as_such(make_workbook) -> None:
    with pytest.raises(WorkbookError, match="encrypted"):
        read_workbook(make_workbook(encrypted=True), unique_id="WGFUPUS2")


def test_a_further_column_is_refused_by_name(make_workbook) -> None:
    rows = [(WEEKS[0], 8969, 1), (WEEKS[1], 9424, 2)]
    content = make_workbook(rows, keys=("Sourcekey", "WGFUPUS2", "WDIUPUS2"), titles=("Date", TITLE, "Other (Percent)"))
    with pytest.raises(WorkbookError, match="must be the date and the series, not Date, WGFUPUS2, WDIUPUS2"):
        read_workbook(content, unique_id="WGFUPUS2")


def test_a_long_history_is_written_and_read(make_workbook) -> None:
    rows = [(date(1991, 2, 8) + timedelta(weeks=n), 5000 + n) for n in range(2000)]
    assert read_workbook(make_workbook(rows), unique_id="WGFUPUS2") == [(day, float(y)) for day, y in rows]


def test_the_official_workbook_of_2017_is_read(shared_data: Path) -> None:
    rows = read_workbook((shared_data / "WGFUPUS2w_2017-01-25.xls").read_bytes(), unique_id="WGFUPUS2")
    assert (len(rows), rows[0], rows[-1]) == (1355, (date(1991, 2, 8), 6621.0), (date(2017, 1, 20), 8039.0))


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_official_workbook_is_refused_by_name(shared_data: Path, kept: float) -> None:
    content = (shared_data / "WGFUPUS2w_2017-01-25.xls").read_bytes()
    with pytest.raises(WorkbookError):
        read_workbook(content[: int(len(content) * kept)], unique_id="WGFUPUS2")
