# ruff: noqa: INP001 - MkDocs loads this file by its path; docs/ is no package
"""MkDocs hooks: what the code says about itself is put into the pages where they ask for it.

A page asks with an HTML comment on a line of its own:

    <!-- columns: forecast -->     the columns of a table of the lake
    <!-- check: gate -->           what a check looks at
    <!-- settings -->              every setting with its limits
    <!-- commands -->              every command with its options

So no such table is written twice, and none can differ from the code.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import get_args, get_origin

import click
import dagster as dg
from mkdocs.exceptions import PluginError
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from forecast_assets import cli
from forecast_assets.checks import default_checks
from forecast_assets.definitions import default_assets
from forecast_assets.settings import Settings
from forecast_assets.tables import Columns, lake_tables

LEVELS: tuple[float, ...] = Settings.model_fields["levels"].default
_MARKER = re.compile(r"^<!-- (columns|check|settings|commands)(?:: ([\w-]+))? -->$", re.MULTILINE)
_UNITS = ("(thousand barrels per day)^2", "thousand barrels per day", "seconds")


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page with every marker replaced."""
    return _MARKER.sub(lambda found: _generated(found[1], found[2]), markdown)


def _generated(kind: str, name: str | None) -> str:
    match kind:
        case "columns" if name is not None and name in lake_tables(LEVELS):
            return _table(("column", "type", "unit", "meaning"), _columns(lake_tables(LEVELS)[name]))
        case "check" if name is not None and name in checks():
            return _check(checks()[name])
        case "settings" if name is None:
            return "\n".join(_settings())
        case "commands" if name is None:
            return "\n".join(_commands(cli.main, "forecast"))
    raise PluginError(f"docs: there are no {kind} {name or ''}")


def _columns(columns: Columns) -> Iterator[tuple[str, ...]]:
    for name, (kind, text) in columns.items():
        unit = next((unit for unit in _UNITS if unit in text), "")
        meaning = text.replace(f", {unit}", "") if unit else text
        yield f"`{name}`", kind, unit.replace("^2", "²"), meaning


# -- checks -----------------------------------------------------------------------------------------------------------


@cache
def checks() -> dict[str, dg.AssetCheckSpec]:
    """Every check by name, those that an asset makes itself included."""
    specs = [spec for check in default_checks for spec in check.check_specs]
    specs += [spec for asset in default_assets for spec in asset.check_specs]
    return {spec.name: spec for spec in specs}


def _check(spec: dg.AssetCheckSpec) -> str:
    consequence = "**Blocks**: what depends on the asset is not made" if spec.blocking else "Warns"
    return f"Of `{spec.asset_key.to_user_string()}`. {consequence}. *{spec.description}*"


# -- settings ---------------------------------------------------------------------------------------------------------


def _settings() -> Iterator[str]:
    rows = (
        (f"`{name}`<br>`FORECAST_{name.upper()}`", _default(field), _limits(field), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    yield _table(("setting, and its variable", "default", "limits", "meaning"), rows)
    for name, model in nested().items():
        owners = [key for key, field in Settings.model_fields.items() if model in _models(field.annotation)]
        inner = (
            (f"`{key}`", _default(field), _limits(field), field.description or "")
            for key, field in model.model_fields.items()
        )
        yield f"\n## Fields of {', '.join(f'`{owner}`' for owner in owners)} {{ #{name.lower()} }}\n"
        yield _table(("field", "default", "limits", "meaning"), inner)
        for owner in owners:
            if isinstance(default := Settings.model_fields[owner].default, model):
                values = ", ".join(f"`{key}` {value}" for key, value in default.model_dump().items())
                yield f"\n`{owner}` by default: {values}."


def nested() -> dict[str, type[BaseModel]]:
    """The models that settings are made of, by name."""
    found = [model for field in Settings.model_fields.values() for model in _models(field.annotation)]
    return {model.__name__: model for model in found}


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none: to be given"
    if isinstance(field.default, BaseModel):
        return f"[below](#{type(field.default).__name__.lower()})"
    return f"`{_brief(to_jsonable_python(field.default))}`"


def _brief(default: object) -> str:
    """A season of 365.25 / 7 weeks has more digits than anybody reads."""
    return f"{default:.6g}" if isinstance(default, float) else json.dumps(default).strip('"')


def _limits(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}
    signs |= {"multiple_of": "multiple of"}
    said = [
        f"{sign} {getattr(part, key)}"
        for part in field.metadata
        for key, sign in signs.items()
        if getattr(part, key, None) is not None
    ]
    words = [str(value) for value in get_args(field.annotation) if isinstance(value, str)]
    return ", ".join([*said, *([" or ".join(words)] if words else [])]).replace("length ≥ 1", "not empty")


# -- commands ---------------------------------------------------------------------------------------------------------


def _commands(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _commands(inner, f"{path} {name}")
        return
    yield f"\n## {path}\n"
    yield f"{command.help}\n"
    context = click.Context(command, info_name=path)
    options = [record for each in command.params if (record := each.get_help_record(context)) is not None]
    if options:
        yield _table(("option", ""), ((f"`{option.replace('|', ' or ')}`", text) for option, text in options))


def _table(heading: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
