"""Official-looking workbooks, written record by record: nothing in the environment writes .xls."""

import struct
from collections.abc import Sequence
from datetime import date

TITLE = "Weekly U.S. Product Supplied of Finished Motor Gasoline  (Thousand Barrels per Day)"


def workbook(
    rows: Sequence[Sequence[object]] = ((date(2024, 6, 21), 8969), (date(2024, 6, 28), 9424)),
    *,
    keys: Sequence[str] = ("Sourcekey", "WGFUPUS2"),
    titles: Sequence[str] = ("Date", TITLE),
    sheets: Sequence[str] = ("Contents", "Data 1"),
    encrypted: bool = False,
) -> bytes:
    """A workbook laid out as EIA's; `rows` are the cells under the headings, `#...` an error cell."""
    data = [["Back to Contents", "Data 1: " + titles[-1]], keys, titles, *rows]
    pages = {name: data if name.startswith("Data") else [["Workbook Contents"]] for name in sheets}
    return _workbook(pages, encrypted=encrypted)


def _record(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(payload)) + payload


def _text(value: str) -> bytes:
    return struct.pack("<HB", len(value), 0) + value.encode("latin-1")


def _cell(row: int, column: int, value: object) -> bytes:
    at = struct.pack("<HH", row, column)
    match value:
        case None:
            return _record(0x0201, at + struct.pack("<H", 0))
        case date():
            serial = (value - date(1899, 12, 30)).days
            return _record(0x0203, at + struct.pack("<Hd", 1, serial))
        case float() | int():
            return _record(0x0203, at + struct.pack("<Hd", 0, value))
        case str() if value.startswith("#"):
            return _record(0x0205, at + struct.pack("<HBB", 0, {"#DIV/0!": 0x07, "#N/A": 0x2A}[value], 1))
        case str():
            return _record(0x0204, at + struct.pack("<H", 0) + _text(value))
    raise TypeError(value)


def _sheet(rows: Sequence[Sequence[object]]) -> bytes:
    cells = b"".join(_cell(r, c, value) for r, row in enumerate(rows) for c, value in enumerate(row))
    return _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 1996, 0, 6)) + cells + _record(0x000A)


def _workbook(sheets: dict[str, Sequence[Sequence[object]]], *, encrypted: bool) -> bytes:
    """An .xls of BIFF8 records (Microsoft, [MS-XLS]), the fewest that a reader needs."""
    plain = struct.pack("<HHHBBBBIIH", 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0)
    dated = struct.pack("<HHHBBBBIIH", 0, 14, 0, 0x20, 0, 0, 0, 0, 0, 0)
    begin = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 1996, 0, 6))
    begin += _record(0x002F, struct.pack("<H", 1)) if encrypted else b""  # FilePass
    begin += _record(0x0042, struct.pack("<H", 1200)) + _record(0x0022, struct.pack("<H", 0))
    begin += _record(0x00E0, plain) + _record(0x00E0, dated)
    bodies = [_sheet(rows) for rows in sheets.values()]
    offset = len(begin) + sum(4 + 8 + len(name) for name in sheets) + 4
    directory = b""
    for name, body in zip(sheets, bodies, strict=True):
        directory += _record(0x0085, struct.pack("<IBBBB", offset, 0, 0, len(name), 0) + name.encode("latin-1"))
        offset += len(body)
    return _compound(begin + directory + _record(0x000A) + b"".join(bodies))


def _compound(stream: bytes) -> bytes:
    """A compound file ([MS-CFB]) around one stream: header, sectors of FAT, one of directory, the stream."""
    end, free, fat = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    sectors = len(stream) // 512
    tables = -(-(sectors + 1) // 127)  # a sector of FAT has 128 entries, one of them for itself
    first = tables + 1
    chain = [*[fat] * tables, end, *range(first + 1, first + sectors), end]
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, tables, tables, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", *range(tables), *[free] * (109 - tables))

    def entry(name: str, kind: int, *, child: int, start: int, size: int) -> bytes:
        text = name.encode("utf-16-le") + b"\0\0" if name else b""
        links = struct.pack("<HBBIII", len(text), kind, 1, free, free, child)
        return text.ljust(64, b"\0") + links + bytes(36) + struct.pack("<III", start, size, 0)

    directory = entry("Root Entry", 5, child=1, start=end, size=0)
    directory += entry("Workbook", 2, child=free, start=first, size=len(stream))
    directory += entry("", 0, child=free, start=0, size=0) * 2
    return header + struct.pack(f"<{tables * 128}I", *chain, *[free] * (tables * 128 - len(chain))) + directory + stream
