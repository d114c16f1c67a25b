"""From a release as published to a series: `ds` (Friday by EIA's account, unchecked here) and `y`.

Reading only: a cell that is not what its column holds is refused by row, a cell left empty is a week without a figure.
What the figures must satisfy as observations is in `observations`.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import pandas as pd

from resources.eia.errors import ReleaseFormatError, SeriesMismatchError, UnitError
from resources.eia.published import Published
from resources.eia.workbook import read_workbook

API_UNIT = "MBBL/D"
CSV_HEADER = ["date", "value"]
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


def parse(published: Published) -> pd.DataFrame:
    """The figures of a release.

    Returns:
        `ds` (datetime64, ascending, unique) and `y` (float64, thousand barrels per day), one row a week.

    Raises:
        ReleaseFormatError: Something is not what its place holds; the row is named. `WorkbookError` for a workbook.
        SeriesMismatchError: The release holds another series.
        UnitError: Its unit is not thousand barrels per day.
    """
    match published.format:
        case "xls":
            rows: Iterable[tuple[date, float]] = read_workbook(published.content, unique_id=published.unique_id)
        case "csv":
            rows = _csv_rows(published.content, unique_id=published.unique_id)
        case "json":
            rows = _api_rows(published.content, unique_id=published.unique_id)
    return _frame(rows, unique_id=published.unique_id)


def newest_in_csv(head: bytes, tail: bytes, *, unique_id: str) -> date:
    """The newest week of a CSV that runs up or down, from a few lines of either end.

    Args:
        head: Its first bytes.
        tail: Its last bytes; the first line, usually cut, is not read.
        unique_id: The series, for messages.

    Raises:
        ReleaseFormatError: Neither end holds a row with a date and a number.
    """
    found = []
    for lines in (_decode(head, unique_id).splitlines(), _decode(tail, unique_id).splitlines()[:0:-1]):
        rows = (line.partition(",") for line in lines)
        weeks = (day.strip() for day, _, value in rows if _DATE.fullmatch(day.strip()) and _number(value) is not None)
        found += [day for day in [next(weeks, None)] if day]
    if not found:
        raise ReleaseFormatError(unique_id, "first and last lines", "no row with a date and a number")
    return _date(max(found), unique_id=unique_id, where="first and last lines")


def _csv_rows(content: bytes, *, unique_id: str) -> Iterator[tuple[date, float]]:
    lines = _decode(content, unique_id).splitlines()
    reader = ((number, cells) for number, cells in _cells(lines, unique_id=unique_id) if cells)
    number, header = next(reader, (1, []))
    if header != CSV_HEADER:
        raise ReleaseFormatError(unique_id, f"row {number}", f"the header must be date,value, not {','.join(header)!r}")
    weeks: list[date] = []
    for number, cells in reader:
        where = f"row {number}"
        if len(cells) != 2:
            raise ReleaseFormatError(unique_id, where, f"must hold a date and a value, holds {len(cells)} cells")
        week = _date(cells[0], unique_id=unique_id, where=where)
        weeks.append(week)
        # Either way up, but one way: the newest week is read from the ends alone.
        if len(weeks) > 2 and (week - weeks[-2]).days * (weeks[1] - weeks[0]).days < 0:
            raise ReleaseFormatError(unique_id, where, f"{week} is out of order after {weeks[-2]}")
        if cells[1]:
            yield week, _figure(cells[1], unique_id=unique_id, where=where)


def _cells(lines: list[str], *, unique_id: str) -> Iterator[tuple[int, list[str]]]:
    comments = 0
    while comments < len(lines) and lines[comments].startswith("#"):
        comments += 1
    rows = csv.reader(lines[comments:])
    try:
        for cells in rows:
            yield comments + rows.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ReleaseFormatError(unique_id, f"row {comments + rows.line_num}", str(error)) from error


def _api_rows(content: bytes, *, unique_id: str) -> Iterator[tuple[date, float]]:
    try:
        rows: list[dict[str, Any]] = json.loads(content)["rows"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReleaseFormatError(unique_id, "the document", f"not the rows of the API: {error!r}") from error
    if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise ReleaseFormatError(unique_id, "the document", "not a list of the API's rows")
    for number, row in enumerate(rows, start=1):
        where = f"row {number}"
        if missing := {"period", "series", "units", "value"} - row.keys():
            raise ReleaseFormatError(unique_id, where, f"lacks {', '.join(sorted(missing))}")
        if row["series"] != unique_id:
            raise SeriesMismatchError(unique_id, str(row["series"]))
        if row["units"] != API_UNIT:
            raise UnitError(unique_id, str(row["units"]))
        week = _date(str(row["period"]), unique_id=unique_id, where=where)
        if row["value"] is not None:
            yield week, _figure(str(row["value"]), unique_id=unique_id, where=where)


def _frame(rows: Iterable[tuple[date, float]], *, unique_id: str) -> pd.DataFrame:
    seen: dict[date, float] = {}
    for week, value in rows:
        if week in seen:
            raise ReleaseFormatError(unique_id, f"week {week}", f"given twice, as {seen[week]:g} and {value:g}")
        seen[week] = value
    if not seen:
        raise ReleaseFormatError(unique_id, "the whole of it", "no figures")
    weeks = sorted(seen)
    return pd.DataFrame({"ds": pd.DatetimeIndex(weeks).as_unit("us"), "y": [seen[week] for week in weeks]})


def _decode(content: bytes, unique_id: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ReleaseFormatError(unique_id, f"byte {error.start}", "not UTF-8 text") from error


def _date(text: str, *, unique_id: str, where: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise ReleaseFormatError(unique_id, where, f"{text!r} is no day of the calendar") from error
    raise ReleaseFormatError(unique_id, where, f"the date must be written YYYY-MM-DD, not {text!r}")


def _figure(text: str, *, unique_id: str, where: str) -> float:
    value = _number(text)
    if value is None:
        raise ReleaseFormatError(unique_id, where, f"the value must be a number, not {text!r}")
    return value


def _number(text: str) -> float | None:
    """A finite decimal number; float() alone would take nan, infinity and 1_000."""
    text = text.strip()
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None
