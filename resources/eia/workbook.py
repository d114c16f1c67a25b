"""EIA's official workbook, `<SERIES>w.xls`, read strictly.

It has a sheet `Contents`, and a sheet `Data 1` with three heading rows (link and title; `Sourcekey` and the series;
`Date` and the title with its unit), then one row a week: a date, a number. A further column is refused: which of two is
the series is not ours to guess.
"""

import io
import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING

from resources.eia.errors import SeriesMismatchError, UnitError, WorkbookError

if TYPE_CHECKING:
    from xlrd.sheet import Cell, Sheet

# The first bytes of every .xls, a compound file ([MS-CFB]).
OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
CONTENTS, DATA = "Contents", "Data 1"
_HEADING_ROWS = 3
_UNIT = re.compile(r"\(([^()]*)\)\s*$")


def read_workbook(content: bytes, *, unique_id: str) -> list[tuple[date, float]]:
    """The weeks and figures of an official workbook, in its order.

    A row whose figure EIA left empty is left out.

    Args:
        content: The bytes of the `.xls`.
        unique_id: The series it must hold.

    Raises:
        WorkbookError: It is damaged or encrypted, a sheet or heading is not EIA's, or a cell (its row is named, counted
            as a spreadsheet does) holds no date or no number.
        SeriesMismatchError: It holds another series.
        UnitError: The unit in the title is not thousand barrels per day.
    """
    sheet, datemode = _open(content, unique_id)
    if sheet.nrows <= _HEADING_ROWS or sheet.ncols < 2:
        raise WorkbookError(unique_id, f"sheet {DATA!r}", f"{sheet.nrows} rows and {sheet.ncols} columns, no figures")
    (key_label, *keys), (date_label, *titles) = sheet.row_values(1), sheet.row_values(2)
    if key_label != "Sourcekey" or date_label != "Date":
        raise WorkbookError(
            unique_id,
            f"sheet {DATA!r}, rows 2 and 3",
            f"must begin Sourcekey and Date, not {key_label!r} and {date_label!r}",
        )
    if unique_id not in keys:
        raise SeriesMismatchError(unique_id, ", ".join(map(str, keys)))
    if len(keys) > 1:
        reason = f"must be the date and the series, not {', '.join(map(str, (date_label, *keys)))}"
        raise WorkbookError(unique_id, f"sheet {DATA!r}, columns", reason)
    title = str(titles[0])
    unit = _UNIT.search(title)
    if unit is None or unit[1].strip().lower() != "thousand barrels per day":
        raise UnitError(unique_id, unit[1] if unit else title)
    return list(_rows(sheet, datemode=datemode, unique_id=unique_id))


def _open(content: bytes, unique_id: str) -> tuple["Sheet", int]:
    import xlrd

    if not content.startswith(OLE2):
        raise WorkbookError(unique_id, "the whole of it", f"not a workbook of type .xls, begins {content[:20]!r}")
    try:
        # The log of xlrd goes nowhere: what it complains of and goes on with is caught by the checks on the sheet.
        book = xlrd.open_workbook(file_contents=content, logfile=io.StringIO())
    except xlrd.XLRDError as error:
        hint = "it is encrypted" if "encrypted" in str(error) else f"damaged ({error})"
        raise WorkbookError(unique_id, "the whole of it", hint) from error
    except Exception as error:  # what a damaged byte raises in xlrd is anything: ZeroDivisionError, AttributeError, ...
        raise WorkbookError(unique_id, "the whole of it", f"truncated or damaged ({error!r})") from error
    if missing := {CONTENTS, DATA} - set(book.sheet_names()):
        raise WorkbookError(
            unique_id, "the sheets", f"no {' and no '.join(sorted(missing))} among {', '.join(book.sheet_names())}"
        )
    return book.sheet_by_name(DATA), book.datemode


def _rows(sheet: "Sheet", *, datemode: int, unique_id: str) -> Iterator[tuple[date, float]]:
    import xlrd

    empty = {xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK}
    for index in range(_HEADING_ROWS, sheet.nrows):
        day, figure = sheet.cell(index, 0), sheet.cell(index, 1)
        if figure.ctype in empty:
            continue
        where = f"sheet {DATA!r}, row {index + 1}"
        if day.ctype != xlrd.XL_CELL_DATE:
            raise WorkbookError(unique_id, where, f"the date is {_shown(day)}")
        if figure.ctype != xlrd.XL_CELL_NUMBER:
            raise WorkbookError(unique_id, where, f"the figure is {_shown(figure)}")
        try:
            moment: datetime = xlrd.xldate_as_datetime(day.value, datemode)
        except (ValueError, OverflowError) as error:
            raise WorkbookError(unique_id, where, f"the date is {_shown(day)}") from error
        yield moment.date(), float(figure.value)


def _shown(cell: "Cell") -> str:
    import xlrd

    if cell.ctype == xlrd.XL_CELL_ERROR:
        return f"the error {xlrd.error_text_from_code.get(cell.value, cell.value)}"
    return f"empty where the figure is {cell.value}" if cell.value == "" else f"{cell.value!r}"
