"""Named strings that a container is given, read as what they stand for: hyper-parameters and environment variables.

Standard library only, because the serving image imports it.
"""

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from containers.contract import ConfigurationFileError, ContractError, Paths

PLATFORM_PREFIXES = ("sagemaker_", "_tuning_objective_metric")
"""How the hyper-parameters begin that SageMaker itself adds."""


class MissingParameterError(ContractError):
    """A hyper-parameter or environment variable that the task needs was not given."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} is missing")
        self.name = name


class InvalidParameterError(ContractError):
    """A hyper-parameter or environment variable cannot be read as what it should be."""

    def __init__(self, kind: str, name: str, value: str, expected: str) -> None:
        super().__init__(f"{kind} {name!r} is {value[:80]!r}, expected {expected}")
        self.name = name


class UnknownParameterError(ContractError):
    """Hyper-parameters that the task does not know: a misspelt name would otherwise be a silent default."""

    def __init__(self, kind: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
        super().__init__(f"unknown {kind} {', '.join(map(repr, names))}; known are {', '.join(known)}")
        self.names = names


@dataclass(frozen=True)
class Parameters:
    """Named strings read as what they stand for: hyper-parameters, or environment variables.

    Attributes:
        values: The strings by name.
        kind: What they are, for messages.
    """

    values: Mapping[str, str]
    kind: str = "hyper-parameter"

    @classmethod
    def of_training(cls, paths: Paths) -> "Parameters":
        """The hyper-parameters of a training job, without those that SageMaker adds.

        Raises:
            ConfigurationFileError: The file is missing, or a value is no string (SageMaker sends strings only).
        """
        content = paths.configuration("hyperparameters")
        for name, value in content.items():
            if not isinstance(value, str):
                path = paths.root / "input" / "config" / "hyperparameters.json"
                raise ConfigurationFileError(path, f"{name!r} is a {type(value).__name__}, expected a string")
        return cls({name: value for name, value in content.items() if not name.startswith(PLATFORM_PREFIXES)})

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        """Raises `UnknownParameterError` when a name is not among the known ones."""
        unknown = tuple(sorted(set(self.values) - set(known)))
        if unknown:
            raise UnknownParameterError(self.kind, unknown, known)

    def text(self, name: str, default: str | None = None) -> str:
        """The string itself; raises `MissingParameterError` when it is absent or empty and has no default."""
        value = self.values.get(name) or default
        if value is None:
            raise MissingParameterError(self.kind, name)
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of the allowed words."""
        value = self.text(name, default)
        if value not in allowed:
            raise self.invalid(name, f"one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, default: str | None = None, *, least: int = 0) -> int:
        """A whole number of at least `least`."""
        value = self.text(name, default)
        if not (value.isascii() and value.isdigit() and int(value) >= least):
            raise self.invalid(name, f"a whole number of at least {least}")
        return int(value)

    def positive(self, name: str, default: str | None = None) -> float:
        """A finite number above zero."""
        try:
            value = float(self.text(name, default))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise self.invalid(name, "a positive number")
        return value

    def boolean(self, name: str, default: str | None = None) -> bool:
        """`true` or `1`, `false` or `0`."""
        return self.choice(name, ("true", "false", "1", "0"), default) in {"true", "1"}

    def date(self, name: str) -> dt.date:
        """A date written YYYY-MM-DD."""
        text = self.text(name)
        try:
            value = dt.date.fromisoformat(text)
        except ValueError:
            raise self.invalid(name, "a date YYYY-MM-DD") from None
        if value.isoformat() != text:
            raise self.invalid(name, "a date YYYY-MM-DD")
        return value

    def structure(self, name: str, default: str | None = None) -> Any:  # noqa: ANN401 - JSON is any value
        """The JSON inside the string."""
        try:
            return json.loads(self.text(name, default))
        except ValueError:
            raise self.invalid(name, "JSON") from None

    def invalid(self, name: str, expected: str) -> InvalidParameterError:
        """The error that says what was expected of a value."""
        return InvalidParameterError(self.kind, name, self.values.get(name, ""), expected)
