"""A scripted HTTP server on loopback, and official-looking workbooks written record by record."""

import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest

from resources.eia.fetch import Limits

TITLE = "Weekly U.S. Product Supplied of Finished Motor Gasoline  (Thousand Barrels per Day)"


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Seen:
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


class Server:
    """Answers each path from its script, the last reply again and again; anything else is 404."""

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{http.server_address[1]}"
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self._scripts: dict[str, list[Reply | Callable[[Seen], Reply]]] = defaultdict(list)

    def on(self, path: str, *replies: Reply | Callable[[Seen], Reply]) -> str:
        self._scripts[path].extend(replies)
        return self.url + path

    def reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        script = self._scripts[seen.path]
        if not script:
            return Reply(404, b"<html><title>404 - File not found</title></html>")
        step = script.pop(0) if len(script) > 1 else script[0]
        return step if isinstance(step, Reply) else step(seen)


class _Handler(BaseHTTPRequestHandler):
    script: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.script.reply(Seen(parts.path, parse_qs(parts.query), headers))
        if reply.hang:
            self.script.stopping.wait(10)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body) + (100 if reply.cut else 0)))
        self.end_headers()
        if reply.status != 304:
            self.wfile.write(reply.body)

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client had seen enough


@pytest.fixture
def server() -> Iterator[Server]:
    handler = type("Handler", (_Handler,), {})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.script = Server(http)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler.script
    handler.script.stopping.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def limits() -> Limits:
    """Bounds that keep tests fast."""
    return Limits(connect_s=0.5, read_s=0.3, total_s=3.0, offline_s=1.0, backoff_s=0.01)


@pytest.fixture
def now() -> Callable[[], datetime]:
    """A Thursday on which the newest week due is 2024-06-28."""
    return lambda: datetime(2024, 7, 4, 12, 0, tzinfo=ZoneInfo("America/New_York"))


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


def _workbook(sheets: dict[str, Sequence[Sequence[object]]]) -> bytes:
    """An .xls of BIFF8 records (Microsoft, [MS-XLS]), the fewest that a reader needs."""
    plain = struct.pack("<HHHBBBBIIH", 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0)
    dated = struct.pack("<HHHBBBBIIH", 0, 14, 0, 0x20, 0, 0, 0, 0, 0, 0)
    begin = _record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 1996, 0, 6))
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
    """A compound file ([MS-CFB]) around one stream: header, one sector of FAT, one of directory, the stream."""
    end, free, fat = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    sectors = len(stream) // 512
    assert sectors <= 126, "one sector of FAT reaches no further"
    chain = [fat, end, *range(3, sectors + 2), end]
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16)
    header += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0)
    header += struct.pack("<109I", 0, *[free] * 108)

    def entry(name: str, kind: int, *, child: int, start: int, size: int) -> bytes:
        text = name.encode("utf-16-le") + b"\0\0" if name else b""
        links = struct.pack("<HBBIII", len(text), kind, 1, free, free, child)
        return text.ljust(64, b"\0") + links + bytes(36) + struct.pack("<III", start, size, 0)

    directory = entry("Root Entry", 5, child=1, start=end, size=0)
    directory += entry("Workbook", 2, child=free, start=2, size=len(stream))
    directory += entry("", 0, child=free, start=0, size=0) * 2
    return header + struct.pack("<128I", *chain, *[free] * (128 - len(chain))) + directory + stream


@pytest.fixture
def make_workbook() -> Callable[..., bytes]:
    """A workbook laid out as EIA's; `rows` are the cells under the headings, `#...` an error cell."""

    def make(
        rows: Sequence[Sequence[object]] = ((date(2024, 6, 21), 8969), (date(2024, 6, 28), 9424)),
        *,
        key: str = "WGFUPUS2",
        title: str = TITLE,
        heading: Sequence[str] = ("Sourcekey", "Date"),
        sheets: Sequence[str] = ("Contents", "Data 1"),
    ) -> bytes:
        data = [["Back to Contents", "Data 1: " + title], [heading[0], key], [heading[1], title], *rows]
        return _workbook({name: data if name.startswith("Data") else [["Workbook Contents"]] for name in sheets})

    return make
