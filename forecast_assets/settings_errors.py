"""What is wrong with settings, in words: the field, its value, where that is from, and what it should be."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

PREFIX = "FORECAST_"
FILE_VARIABLE = "FORECAST_SETTINGS"


class SettingsError(ValueError):
    """Settings are wrong; the message names each field with its value and where that is from, and says why."""


def refuse_unknown_variables(environment: Mapping[str, str], model: type[BaseModel]) -> None:
    """A misspelt variable would otherwise be a silent default.

    Raises:
        SettingsError: A variable begins as ours do and names no field.
    """
    known = [PREFIX + name.upper() for name in model.model_fields]
    groups = {PREFIX + name.upper() for name, field in model.model_fields.items() if _is_group(field.annotation)}
    names = [name for name in environment if name.upper().startswith(PREFIX)]
    unknown = [
        name
        for name in names
        if name.upper() not in {*known, FILE_VARIABLE} and name.upper().partition("__")[0] not in groups
    ]
    if unknown:
        lines = [f"  {name}: there is no such setting{_perhaps(name.upper(), known)}" for name in sorted(unknown)]
        raise SettingsError("wrong settings (environment):\n" + "\n".join(lines))


def explained(item: ErrorDetails, overrides: Mapping[str, Any], model: type[BaseModel], file: Path) -> str:
    """One error of pydantic as `  field: what is wrong, not the value (where it is from)`.

    Args:
        item: The error.
        overrides: The arguments, which win over every other source.
        model: The settings.
        file: Where a value is from that is neither an argument nor in the environment.
    """
    place = ".".join(map(str, item["loc"])) or "settings"
    if item["type"] == "extra_forbidden":
        return f"  {place}: there is no such setting{_perhaps(str(item['loc'][-1]), _siblings(item['loc'], model))}"
    said = item["msg"].removeprefix("Value error, ")
    if item["type"] == "missing" or not item["loc"]:
        return f"  {place}: {said}"
    origin = "argument" if item["loc"][0] in overrides else _variable(item["loc"]) or str(file)
    return f"  {place}: {said}, not {_shown(item['input'])} ({origin})"


def not_json(error: ValueError) -> str:
    """What is wrong with a variable that pydantic-settings reads as JSON and cannot."""
    field = re.search(r'field "(\w+)"', str(error))
    name = _variable((field[1],)) if field else None
    if name is None:
        return f"wrong settings: {error}"
    return (
        f"wrong settings: {name} is {_shown(os.environ[name])}, which is not JSON; write lists as [80, 90] and groups "
        "as {...}, or set one field of a group as FORECAST_ENDPOINT__MEMORY_MB"
    )


def _is_group(annotation: object) -> bool:
    """Whether a field has fields of its own, each of which may have a variable."""
    return get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def _siblings(place: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The fields there are where one was not found."""
    fields = model.model_fields
    for part in place[:-1]:
        annotation = fields[part].annotation if part in fields else None
        inner = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        fields = next((each.model_fields for each in inner if issubclass(each, BaseModel)), fields)
    return list(fields)


def _perhaps(name: str, known: list[str]) -> str:
    """The nearest name, where one is near; all of them otherwise."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _variable(place: tuple[int | str, ...]) -> str | None:
    """The environment variable that a value is from; None where it is from none."""
    names = {name.upper(): name for name in os.environ}
    for length in range(len(place), 0, -1):
        wanted = PREFIX + "__".join(str(part).upper() for part in place[:length])
        if wanted in names:
            return names[wanted]
    return None


def _shown(value: object) -> str:
    """A value, cut to what a line holds, without the secrets that an address may carry."""
    from resources.eia.fetch import scrub

    text = scrub(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
