"""The settings file, read as data: one mapping of fields, each given once."""

import os
from pathlib import Path
from typing import Any

import yaml

from forecast_assets.settings_errors import FILE_VARIABLE, SettingsError


def settings_file() -> Path:
    """The settings file: `FORECAST_SETTINGS`, else `forecast.yaml` of the working directory."""
    return Path(os.environ.get(FILE_VARIABLE) or "forecast.yaml")


class _Loader(yaml.SafeLoader):  # type: ignore[misc] # yaml has no types
    """YAML as data alone, each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises where a key is given twice, of which YAML would keep the last."""
        content: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(key.value)
        return content


def read_file() -> dict[str, Any]:
    """What the settings file says; nothing where there is none by the usual name."""
    path = settings_file()
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        if os.environ.get(FILE_VARIABLE):
            raise SettingsError(
                f"{FILE_VARIABLE} names {path}, which does not exist: name a file that does, or unset it"
            ) from None
        return {}
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"the settings file {path} is not YAML: {_in_words(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise SettingsError(
            f"the settings file {path} holds a {type(content).__name__} where fields are expected, one a line, such as "
            "`horizon: 26`"
        )
    return content


def _in_words(error: Exception) -> str:
    """What is wrong with a YAML file, and where, on one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark, problem = error.problem_mark, error.problem or error.context
        tab = "; indent with spaces" if "'\\t'" in str(problem) else ""
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}{tab}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())[:200]
