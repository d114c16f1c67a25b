"""What a caller asks of the endpoint: a JSON body, checked by hand and refused by name. Standard library only.

Two forms are understood. The short one is the reference system's, `{"periods": 10, "conf": 0.9}`: one series,
one interval. The full one, `{"periods": 10, "levels": [80, 95], "series": ["WGFUPUS2"], "interval":
"conformal", "format": "csv"}`, asks for any number of series and levels. Numbers may be sent as strings, as
form fields and API gateways do. What is understood is described to callers in `containers.serving.description`,
from the limits and patterns that stand here.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

PERIODS = 26
MAX_PERIODS = 104
LEVELS = (80.0, 90.0, 95.0)
MAX_LEVELS = 10
MAX_NUMBERS = 100_000
"""An answer holds at most as many: some 4 MB, which is what a serverless endpoint may send."""
FIELDS = ("periods", "conf", "levels", "series", "interval", "format")
INTERVALS = ("conformal", "normal")
FORMATS = ("records", "csv")
# Numbers as strings. Whatever matches is in range, so that a pattern says all there is to say.
PERIODS_TEXT = tuple(str(weeks) for weeks in range(1, MAX_PERIODS + 1))
CONF_TEXT = r"^0\.0{0,9}[1-9][0-9]{0,9}$"
LEVEL_TEXT = r"^((0?[1-9]|[1-9][0-9])(\.[0-9]{1,10})?|0\.0{0,9}[1-9][0-9]{0,9})$"
_NAMES_SHOWN = 20


class RequestError(ValueError):
    """The request cannot be answered as it stands.

    Attributes:
        status: The HTTP status.
        field: The field at fault, where one is.
    """

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.field = field

    def body(self) -> dict[str, str]:
        """The JSON answer: `{"error": ..., "field": ...}`."""
        return {"error": str(self)} | ({} if self.field is None else {"field": self.field})


@dataclass(frozen=True)
class ForecastRequest:
    """A checked request.

    Attributes:
        periods: Weeks ahead, 1 to 104.
        levels: Coverage of the intervals in percent, each within (0, 100).
        series: The series to answer for, all of them known.
        interval: How intervals are made; None leaves it to what each series supports.
        form: "records" or "csv"; None leaves it to the Accept header.
        conf: The coverage as the short form names it; None in the full form.
    """

    periods: int
    levels: tuple[float, ...]
    series: tuple[str, ...]
    interval: Literal["conformal", "normal"] | None
    form: Literal["records", "csv"] | None
    conf: float | None


def parse(body: bytes, *, available: tuple[str, ...], default_series: str | None) -> ForecastRequest:
    """The checked request of a JSON body.

    Args:
        body: The bytes as sent.
        available: The series that can be forecast.
        default_series: The one the short form means when it names none.

    Raises:
        RequestError: With the field at fault.
    """
    fields = _object(body)
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise RequestError(f"unknown field {unknown[0][:64]!r}; known are {', '.join(FIELDS)}", field=unknown[0][:64])
    if "conf" in fields and "levels" in fields:
        raise RequestError("give conf (one interval, short form) or levels (full form), not both", field="levels")
    conf = _conf(fields["conf"]) if "conf" in fields else None
    request = ForecastRequest(
        periods=_periods(fields.get("periods", PERIODS)),
        levels=_levels(fields.get("levels", list(LEVELS))) if conf is None else (_percent(conf),),
        series=_series(fields, available, default_series, short=conf is not None),
        interval=_word(fields, "interval", INTERVALS),
        form=_word(fields, "format", FORMATS),
        conf=conf,
    )
    numbers = len(request.series) * request.periods * (1 + 2 * len(request.levels))
    if numbers > MAX_NUMBERS:
        raise RequestError(
            f"the answer would hold {numbers} numbers, at most {MAX_NUMBERS} are sent: ask for fewer series, periods "
            "or levels",
            field="series",
        )
    return request


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_distinct)
    except RequestError:
        raise
    except (ValueError, RecursionError):  # the decoder's own message would repeat parts of the body
        raise RequestError("the body is not JSON") from None
    if not isinstance(content, dict):
        raise RequestError("the body must be a JSON object")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise RequestError(f"{name} is not a JSON number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise RequestError("a field is given twice")
    return content


def _number(value: object, field: str, text: str) -> float:
    """A finite number, sent as such or as a string that matches; anything else, booleans too, is no number."""
    try:
        written = isinstance(value, str) and re.fullmatch(text, value)
        sent = isinstance(value, int | float) and not isinstance(value, bool)
        number = float(value) if written or sent else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"{field} must be a finite number", field=field)
    return number


def _periods(value: object) -> int:
    if isinstance(value, str) and value in PERIODS_TEXT:
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value in range(1, MAX_PERIODS + 1):
        return int(value)
    raise RequestError(f"periods must be a whole number from 1 to {MAX_PERIODS}", field="periods")


def _conf(value: object) -> float:
    number = _number(value, "conf", CONF_TEXT)
    if not 0 < number < 1:
        raise RequestError("conf must lie between 0 and 1, both exclusive", field="conf")
    return number


def _percent(conf: float) -> float:
    """The level of a confidence: the decimal that was written, 57.0 for 0.57, but never 0 or 100."""
    level = round(conf * 100, 10)
    return level if 0 < level < 100 else conf * 100


def _levels(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LEVELS:
        raise RequestError(f"levels must be a list of 1 to {MAX_LEVELS} numbers", field="levels")
    levels = tuple(_number(item, "levels", LEVEL_TEXT) for item in value)
    if not all(0 < level < 100 for level in levels):
        raise RequestError("levels must lie between 0 and 100, both exclusive", field="levels")
    return tuple(dict.fromkeys(levels))  # one asked for twice, perhaps once as "80" and once as 80, has one column


def _series(fields: dict[str, Any], available: tuple[str, ...], default: str | None, *, short: bool) -> tuple[str, ...]:
    value = fields.get("series")
    if "series" not in fields:
        chosen = available if not short or len(available) == 1 else (default,) if default is not None else ()
    elif isinstance(value, str):
        chosen = (value,)
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        chosen = tuple(value)
    else:
        raise RequestError("series must be a name or a list of names", field="series")
    if len(set(chosen)) < len(chosen):
        raise RequestError("series must differ from each other", field="series")
    unknown = next((name for name in chosen if name not in available), None)
    if unknown is not None:
        raise RequestError(f"unknown series {unknown[:64]!r}; known are {_listed(available)}", field="series")
    if short and len(chosen) != 1:
        raise RequestError(f"with conf, name one series of {_listed(available)}", field="series")
    return chosen


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _word(fields: dict[str, Any], field: str, allowed: tuple[str, ...]) -> Any:  # noqa: ANN401 - one of the literals
    if field not in fields:
        return None
    value = fields[field]
    if value not in allowed:
        raise RequestError(f"{field} must be one of {', '.join(allowed)}", field=field)
    return value
