"""Whatever bytes a source gives: figures that are valid, or a refusal by name, soon and in bounded memory."""

import json
import resource
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from itertools import chain, repeat
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.eia.api import Api
from resources.eia.errors import EiaError
from resources.eia.fetch import Download, describe, scrub
from resources.eia.observations import validate
from resources.eia.parse import newest_in_csv, parse
from resources.eia.published import Newest, Published, ReleaseFormat
from tests.workbooks import workbook

NAME = "WGFUPUS2"
NOW = datetime(2024, 7, 4, tzinfo=UTC)
SOME = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck))
CPU_S = 5.0
GROWTH_KB = 500_000
MESSAGE_CHARS = 3000

SMALL = workbook([(date(2024, 6, day), 9000 + day) for day in (7, 14, 21, 28)])
HISTORY = b"date,value\n" + b"".join(b"2024-06-%02d,9000\n" % day for day in (7, 14, 21, 28))
ROWS: list[dict[str, object]] = [
    {"period": f"2024-06-{day:02}", "series": NAME, "units": "MBBL/D", "value": "9000"} for day in (7, 14, 21, 28)
]

# Lengths, chains and kinds of record that a reader of compound files may trip over.
NUMBERS = st.sampled_from([0, 1, 2, 255, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFD, 0xFFFF_FFFE, 0xFFFF_FFFF])
KINDS = st.sampled_from([0x0A, 0x2F, 0x3C, 0x85, 0xBD, 0xBE, 0xFC, 0x200, 0x203, 0x204, 0x205, 0x208, 0x27E, 0x809])


def seen_to(read: Callable[[], object]) -> None:
    """Read, or be refused by name: in bounded time, with a message of bounded length that can be written down."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    said = ""
    try:
        read()
    except EiaError as error:
        said = str(error)
    assert len(said.encode()) < MESSAGE_CHARS
    assert time.process_time() - started < CPU_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH_KB


def read_release(content: bytes, kind: ReleaseFormat) -> None:
    frame = parse(Published(NAME, content, kind, "file", "there", NOW))
    checked, report = validate(frame, unique_id=NAME, week=frame["ds"].max().date(), plausible=(3000, 15_000))
    assert report.rows == len(checked) > 0


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes of which some were overwritten, taken out, put in twice, or cut off."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        if not content:
            break
        # What says how to read the rest stands at the beginning.
        at = draw(st.integers(0, len(content) - 1) | st.integers(0, min(len(content), 3000) - 1))
        match draw(st.sampled_from(["byte", "number", "kind", "without", "twice", "end"])):
            case "byte":
                content[at] = draw(st.integers(0, 255))
            case "number":
                content[at & ~3 : (at & ~3) + 4] = struct.pack("<I", draw(NUMBERS | st.integers(0, 300)))
            case "kind":
                content[at & ~1 : (at & ~1) + 2] = struct.pack("<H", draw(KINDS))
            case "without":
                del content[at : at + draw(st.sampled_from([1, 4, 512]))]
            case "twice":
                content[at:at] = content[at : at + draw(st.sampled_from([1, 4, 512]))]
            case "end":
                del content[at:]
    return bytes(content)


words = st.text(max_size=12) | st.sampled_from(
    [
        "",
        "9000",
        "2024-06-28",
        "2024-02-31",
        "0000-00-00",
        "9999-12-31",
        "1e999",
        "nan",
        "-0",
        "\ud800",
        "9" * 400,
        NAME,
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=6,
)
api_rows = st.lists(
    st.builds(
        lambda row, changes: {**row, **changes},
        st.sampled_from(ROWS),
        st.dictionaries(st.sampled_from(["period", "series", "units", "value"]), values, max_size=2),
    )
    | values,
    max_size=5,
)
documents = st.builds(lambda rows: json.dumps({"rows": rows}).encode(), api_rows | values)
answers = st.builds(
    lambda rows, total: json.dumps({"response": {"data": rows, "total": total}}).encode(),
    api_rows | values,
    st.integers(-1, 6) | st.sampled_from(["4", "1e3", 10**30, float("inf"), float("nan")]) | values,
)
nested = st.sampled_from([b"[" * 200_000, b'{"rows":' * 50_000, b'{"rows": [' + b"9" * 5000 + b"]}"])
csv_lines = st.lists(st.tuples(words, words) | st.lists(words, max_size=3), max_size=8).map(
    lambda lines: ("date,value\n" + "\n".join(",".join(line) for line in lines)).encode("utf-8", "replace")
)


def any_release(kind: ReleaseFormat, content: bytes) -> None:
    seen_to(lambda: read_release(content, kind))


def any_csv(content: bytes) -> None:
    any_release("csv", content)
    seen_to(lambda: newest_in_csv(content[:4096], content[-4096:], unique_id=NAME))


def any_answer(*pages: bytes) -> None:
    """The API answers with these pages, the last again and again."""
    downloads = [Download("https://api.eia.gov/v2/", page, None, None) for page in pages]

    def ask() -> None:
        with mock.patch("resources.eia.api.download", side_effect=chain(downloads, repeat(downloads[-1]))):
            api = Api(now=lambda: NOW, api_key="Zq7S3CRET")
            got = api.published(NAME)
            assert isinstance(got, Published)
            with suppress(EiaError):
                read_release(got.content, "json")
            assert isinstance(api.newest_week(NAME), Newest)

    seen_to(ask)


CASES = {
    "any bytes as a workbook": (
        lambda content: any_release("xls", content),
        st.binary(max_size=600) | st.binary(max_size=600).map(lambda tail: SMALL[:512] + tail),
    ),
    "a damaged workbook": (lambda content: any_release("xls", content), damaged(SMALL)),
    "any bytes as a CSV": (any_csv, st.binary(max_size=300) | csv_lines),
    "a damaged CSV": (any_csv, damaged(HISTORY)),
    "any document of rows": (
        lambda content: any_release("json", content),
        documents | nested | st.binary(max_size=100) | damaged(json.dumps({"rows": ROWS}).encode()),
    ),
    "any answers of the API": (
        lambda pages: any_answer(*pages),
        st.tuples(answers | nested | st.binary(max_size=100), answers),
    ),
}


@pytest.mark.parametrize("examples", [SOME, pytest.param(MANY, marks=pytest.mark.slow)], ids=["some", "many"])
@pytest.mark.parametrize(("read", "contents"), [pytest.param(*case, id=name) for name, case in CASES.items()])
def test_bytes_are_read_or_refused_by_name(
    read: Callable[[object], None], contents: st.SearchStrategy[object], examples: settings
) -> None:
    examples(given(contents)(read))()


@pytest.mark.parametrize("examples", [SOME, pytest.param(MANY, marks=pytest.mark.slow)], ids=["some", "many"])
def test_the_official_workbook_damaged_is_read_or_refused_by_name(shared_data: Path, examples: settings) -> None:
    whole = (shared_data / "WGFUPUS2w_2017-01-25.xls").read_bytes()
    examples(given(damaged(whole))(lambda content: any_release("xls", content)))()


@pytest.mark.parametrize("examples", [SOME, pytest.param(MANY, marks=pytest.mark.slow)], ids=["some", "many"])
def test_any_page_is_described_in_a_line_without_the_secret(examples: settings) -> None:
    pages = st.binary(max_size=300) | st.sampled_from(
        [b"<title>" * 3000, b"a.-" * 6000, b"<title " * 3000, b"?key" * 5000]
    )

    def told(page: bytes) -> None:
        started = time.process_time()
        said = scrub(describe(page + b" Zq7S3CRET"), secret="Zq7S3CRET")
        assert "Zq7S3CRET" not in said
        assert len(said) <= 400
        assert "\n" not in said
        assert time.process_time() - started < CPU_S

    examples(given(pages)(told))()


def test_what_is_not_spoiled_is_read() -> None:
    for kind, content in (("xls", SMALL), ("csv", HISTORY), ("json", json.dumps({"rows": ROWS}).encode())):
        read_release(content, kind)  # type: ignore[arg-type]
    any_answer(json.dumps({"response": {"data": ROWS, "total": "4"}}).encode())
