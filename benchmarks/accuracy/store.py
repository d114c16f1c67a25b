"""Finished fits, kept by content: a cell is what one configuration forecast from one history.

A key is a digest of the history, the configuration and the code that fits. So a run that was stopped goes on where it
was, origins that share a training window share its fit, a new variant costs only what is new in it, and nothing stale
is ever read.
"""

import ast
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecasting import models
from forecasting.configuration import Configuration

Floats = npt.NDArray[np.float64]

Note = TypeVar("Note")

_FITTING = (
    *("configuration", "cross_validation", "design", "harmonic_regression", "regressors", "seasonal_naive"),
    *("transforms", "engine/arima", "engine/kernels"),
)
"""The modules of `forecasting` that shape a forecast."""


@dataclass(frozen=True, eq=False)
class History:
    """Consecutive weeks to learn from.

    Attributes:
        first: their first Friday.
        values: thousand barrels per day, (n,).
    """

    first: pd.Timestamp
    values: Floats

    @cached_property
    def digest(self) -> str:
        """Of the weeks and the values."""
        content = self.first.date().isoformat().encode() + self.values.tobytes()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Options:
    """What every fit of a backtest shares.

    Attributes:
        horizon: weeks to forecast.
        season_length: weeks in a year.
        max_harmonics: largest number of Fourier pairs tried.
    """

    horizon: int
    season_length: float
    max_harmonics: int


@dataclass(frozen=True)
class Fit:
    """What to fit.

    Attributes:
        history: to learn from. Whether it is the counterfactual or as observed is settled by handing it over.
        configuration: to fit to it.
        options: of the backtest.
    """

    history: History
    configuration: Configuration
    options: Options

    @cached_property
    def key(self) -> str:
        """Digest of everything that the outcome depends on."""
        return hashlib.sha256((_recipe(self.configuration, self.options) + self.history.digest).encode()).hexdigest()

    @property
    def as_handed_over(self) -> Configuration:
        """The configuration without its say in which history it gets: outside breaks there is only one."""
        return replace(self.configuration, counterfactual=True)


@dataclass(frozen=True)
class Outcome:
    """What a fit gives.

    Attributes:
        moments: mean and standard error of log y, (horizon, 2); None where the fit failed.
        n_parameters: number of estimated parameters; NaN where the fit failed.
        failure: name and message of the error; empty where the fit worked.
    """

    moments: Floats | None
    n_parameters: float
    failure: tuple[str, str]


@cache
def code_digest(names: tuple[str, ...] = _FITTING) -> str:
    """Digest of what modules of `forecasting` do, by default those that fit; comments and layout are left out."""
    folder = Path(models.__file__).parent
    digest = hashlib.sha256()
    for name in names:
        digest.update(ast.dump(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()


@cache
def _recipe(configuration: Configuration, options: Options) -> str:
    """Digest of how to fit."""
    content = [code_digest(), replace(configuration, counterfactual=True).to_dict(), asdict(options)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Store:
    """Outcomes by key in one SQLite file.

    Args:
        path: the file; it and its folder need not exist.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS outcomes"
            " (key TEXT PRIMARY KEY, moments BLOB, n_parameters REAL, error TEXT, reason TEXT) WITHOUT ROWID"
        )

        self._connection.execute("CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, note TEXT)")

    def missing(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are not there."""
        found = self._connection.execute
        return {key for key in keys if found("SELECT 1 FROM outcomes WHERE key = ?", (key,)).fetchone() is None}

    def read(self, key: str) -> Outcome:
        """The outcome of a key.

        Raises:
            KeyError: it is not there.
        """
        row = self._connection.execute(
            "SELECT moments, n_parameters, error, reason FROM outcomes WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        moments, n_parameters, error, reason = row
        if moments is None:
            return Outcome(None, float("nan"), (error, reason))
        return Outcome(np.frombuffer(moments, dtype=np.float64).reshape(-1, 2), n_parameters, ("", ""))

    def write(self, outcomes: Mapping[str, Outcome]) -> None:
        """Keep outcomes."""
        rows = [
            (key, None if o.moments is None else o.moments.tobytes(), o.n_parameters, *o.failure)
            for key, o in outcomes.items()
        ]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", rows)

    def noted(self, key: str, make: Callable[[], Note]) -> Note:
        """What `make` gives, JSON-ready; made once."""
        row = self._connection.execute("SELECT note FROM notes WHERE key = ?", (key,)).fetchone()
        if row is not None:
            kept: Note = json.loads(row[0])
            return kept
        note = make()
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, json.dumps(note)))
        return note
