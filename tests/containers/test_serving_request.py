"""What a caller may ask of the endpoint, and how everything else is refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.serving.request import FIELDS, LEVELS, ForecastRequest, RequestError, parse

ONE = ("WGFUPUS2",)
TWO = ("WDIUPUS2", "WGFUPUS2")


def asked(body: object, available: tuple[str, ...] = ONE, default: str | None = None) -> ForecastRequest:
    return parse(json.dumps(body).encode(), available=available, default_series=default)


def refused(body: bytes, available: tuple[str, ...] = ONE) -> RequestError:
    with pytest.raises(RequestError) as caught:
        parse(body, available=available, default_series=None)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"periods": 10, "conf": 0.9}, id="numbers"),
        pytest.param({"periods": "10", "conf": "0.9"}, id="strings"),
        pytest.param({"periods": 10.0, "conf": 9e-1}, id="floats"),
    ],
)
def test_short_form(body: dict[str, object]) -> None:
    request = asked(body)
    assert request == ForecastRequest(periods=10, levels=(90.0,), series=ONE, interval=None, form=None, conf=0.9)


def test_full_form() -> None:
    body = {"periods": 4, "levels": [80, "97.5"], "series": "WGFUPUS2", "interval": "normal", "format": "csv"}
    expected = ForecastRequest(
        periods=4, levels=(80.0, 97.5), series=("WGFUPUS2",), interval="normal", form="csv", conf=None
    )
    assert asked(body, TWO) == expected


def test_empty_object_asks_for_all_series_and_the_default_levels() -> None:
    assert asked({}, TWO) == ForecastRequest(26, LEVELS, TWO, None, None, None)


def test_level_of_a_confidence_is_the_decimal_that_was_written() -> None:
    assert asked({"conf": 0.57}).levels == (57.0,)


@pytest.mark.parametrize("conf", [5e-324, 1e-20, 1 - 2**-53, "0.0000000001"])
def test_level_of_a_confidence_is_never_none_nor_all(conf: object) -> None:
    [level] = asked({"conf": conf}).levels
    assert 0 < level < 100


def test_a_level_asked_for_twice_counts_once() -> None:
    assert asked({"levels": [95, 80, 80.0, "80", "80.0", "08"]}).levels == (95.0, 80.0, 8.0)


def test_answer_that_would_be_too_large_is_refused_with_what_to_do() -> None:
    many = tuple(f"S{number:04}" for number in range(600))
    assert len(asked({"periods": 20}, many).series) == 600
    error = refused(b'{"periods": 104, "levels": [80]}', many)
    assert (error.status, error.field) == (400, "series")
    assert "187200 numbers, at most 100000 are sent: ask for fewer series" in str(error)


def test_short_form_needs_a_series_where_there_are_several() -> None:
    error = refused(b'{"conf": 0.9}', TWO)
    assert error.field == "series"
    assert "WDIUPUS2, WGFUPUS2" in str(error)
    assert asked({"conf": 0.9, "series": "WDIUPUS2"}, TWO).series == ("WDIUPUS2",)
    assert asked({"conf": 0.9, "series": ["WDIUPUS2"]}, TWO).series == ("WDIUPUS2",)
    assert asked({"conf": 0.9}, TWO, default="WGFUPUS2").series == ("WGFUPUS2",)


def test_many_series_are_not_all_listed_in_an_error() -> None:
    error = refused(b'{"conf": 0.9}', tuple(f"S{number:04}" for number in range(500)))
    assert str(error).endswith("S0019 and 480 more")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({"periods": value}, "periods", id=f"periods {value!r}")
        for value in (
            0,
            105,
            -1,
            1.5,
            True,
            None,
            "",
            "ten",
            "1_0",
            " 1",
            "٣",
            [1],
            {"a": 1},
            10**400,
            "9" * 30,
            "1e999",
            "010",
            "+10",
            "10.0",
            "10\n",
        )
    ]
    + [
        pytest.param({"conf": value}, "conf", id=f"conf {value!r}")
        for value in (0, 1, -0.1, 90, True, None, "nan", "inf", "0x1", "0", "0.0", "1", ".9", "9e-1", "0.9\n", [0.9])
    ]
    + [
        pytest.param({"levels": value}, "levels", id=f"levels {value!r}")
        for value in (
            80,
            "80",
            [],
            [0],
            [100],
            ["0"],
            ["00.0"],
            ["100"],
            ["8e1"],
            [True],
            [None],
            [[80]],
            list(range(1, 12)),
        )
    ]
    + [
        pytest.param({"series": value}, "series", id=f"series {value!r}")
        for value in (None, "", "X", ["X"], [], [1], 5, {"a": 1}, ["WGFUPUS2", "WGFUPUS2"])
    ]
    + [
        pytest.param({"interval": "bootstrap"}, "interval", id="interval"),
        pytest.param({"interval": ["normal"]}, "interval", id="interval list"),
        pytest.param({"interval": None}, "interval", id="interval null"),
        pytest.param({"format": "xml"}, "format", id="format"),
        pytest.param({"conf": 0.9, "levels": [90]}, "levels", id="both forms"),
        pytest.param({"conf": 0.9, "series": ["WGFUPUS2", "X"]}, "series", id="short with unknown"),
        pytest.param({"period": 10}, "period", id="unknown field"),
    ],
)
def test_wrong_value_is_refused_with_its_field(body: object, field: str) -> None:
    error = refused(json.dumps(body).encode())
    assert (error.status, error.field) == (400, field)
    assert error.body() == {"error": str(error), "field": field}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b"\xff\xfe", id="not utf-8"),
        pytest.param(b'{"periods": NaN}', id="NaN"),
        pytest.param(b'{"conf": -Infinity}', id="Infinity"),
        pytest.param(b'{"periods": 1, "periods": 2}', id="field twice"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(b'{"periods": ' + b"9" * 10_000 + b"}", id="number of 10,000 digits"),
    ],
)
def test_what_is_no_json_object_is_refused_without_repeating_it(body: bytes) -> None:
    error = refused(body)
    assert error.status == 400
    assert error.field is None
    assert len(str(error)) < 60


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("aS2019.-", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
def test_any_object_is_answered_or_refused(body: dict[str, object]) -> None:
    with contextlib.suppress(RequestError):
        request = asked(body, TWO)
        assert 1 <= request.periods <= 104
        assert all(0 < level < 100 for level in request.levels)
        assert set(request.series) <= set(TWO)


@given(st.binary(max_size=64))
def test_any_bytes_are_answered_or_refused(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        parse(body, available=ONE, default_series=None)
