"""What a tuning job may try, and what it tries next: a pure function of its seed and of the trials before.

A suggestion depends on nothing else, so the same tuning job makes the same trials however long each of them takes, and
a supervisor that takes over needs nothing but the trials that are there. Standard library only; Optuna is imported
where a Bayesian one is made.
"""

import hashlib
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resources.sagemaker.local.store import Wire
from resources.sagemaker.local.supervision import ClientFaultError

Values = dict[str, str]

_STARTUP = 5
"""Finished trials from which on the Bayesian strategy models the objective; random before."""
_DRAWS = 10_000
_WIDE = 1000.0
"""From this ratio of its ends on, a range without a scaling of its own is searched by orders of magnitude."""


class MissingExtraError(ClientFaultError):
    """The Bayesian strategy needs a library that is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the Bayesian strategy of this machine needs Optuna: pip install 'forecast-assets[tuning]', or take Random"
        )


@dataclass(frozen=True)
class Numeric:
    """A range of whole or real numbers.

    Attributes:
        name: The hyper-parameter.
        low: Its least value.
        high: Its largest.
        whole: Whether it is a whole number.
        scaling: The scale on which it is searched.
    """

    name: str
    low: float
    high: float
    whole: bool
    scaling: Literal["Linear", "Logarithmic", "ReverseLogarithmic"]

    @property
    def size(self) -> float:
        """How many values it has."""
        return self.high - self.low + 1 if self.whole else math.inf

    def at(self, place: float) -> str:
        """The value at a place between 0 and 1."""
        low, high = self._ends()
        value = self._unscaled(low + place * (high - low))
        if self.whole:
            return str(int(min(max(round(value), self.low), self.high)))
        return repr(min(max(value, self.low), self.high))

    def place(self, value: str) -> float:
        """Where a value lies between 0 and 1."""
        low, high = self._ends()
        return min(max((self._scaled(float(value)) - low) / (high - low), 0.0), 1.0)

    def _ends(self) -> tuple[float, float]:
        half = 0.5 if self.whole else 0.0  # so that the first and the last whole number are as likely as the others
        return self._scaled(self.low - half), self._scaled(self.high + half)

    def _scaled(self, value: float) -> float:
        if self.scaling == "Logarithmic":
            return math.log(value)
        return -math.log(1 - value) if self.scaling == "ReverseLogarithmic" else value

    def _unscaled(self, value: float) -> float:
        if self.scaling == "Logarithmic":
            return math.exp(value)
        return 1 - math.exp(-value) if self.scaling == "ReverseLogarithmic" else value


@dataclass(frozen=True)
class Categorical:
    """A hyper-parameter that is one of a few words."""

    name: str
    values: tuple[str, ...]

    @property
    def size(self) -> float:
        """How many values it has."""
        return len(self.values)

    def at(self, place: float) -> str:
        """The value at a place between 0 and 1."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]


Range = Numeric | Categorical


@dataclass(frozen=True)
class Trial:
    """A trial that has ended.

    Attributes:
        values: Of the hyper-parameters that are tuned.
        objective: What it reached; None where it failed.
    """

    values: Values
    objective: float | None


@dataclass(frozen=True)
class Search:
    """How a tuning job searches.

    Attributes:
        ranges: What it may try.
        strategy: How it chooses.
        seed: Of its randomness.
        minimize: Whether less is better.
    """

    ranges: tuple[Range, ...]
    strategy: Literal["Bayesian", "Random", "Grid"]
    seed: int
    minimize: bool

    @classmethod
    def of(cls, name: str, config: Wire) -> "Search":
        """The search of a ``HyperParameterTuningJobConfig``; without a ``RandomSeed`` the job's name gives one."""
        return cls(
            ranges=ranges_of(config.get("ParameterRanges", {})),
            strategy=config["Strategy"],
            seed=config.get("RandomSeed", _number(name)),
            minimize=config["HyperParameterTuningJobObjective"]["Type"] == "Minimize",
        )

    @property
    def combinations(self) -> float:
        """How many different trials there are."""
        return math.prod(each.size for each in self.ranges)

    def suggestion(self, number: int, ended: Sequence[Trial], made: Sequence[Values]) -> Values:
        """What to try next: something that no trial before tried.

        Args:
            number: Of the trial, from 0.
            ended: The trials whose outcome it may know, in the order of their numbers.
            made: The values of all trials before it, in that order.

        Raises:
            MissingExtraError: The Bayesian strategy without Optuna.
        """
        if self.strategy == "Grid":
            return self._on_the_grid(number)
        first = self._modelled(number, ended) if self.strategy == "Bayesian" else self._drawn(number, 0)
        others = (self._drawn(number, draw) for draw in range(1, _DRAWS))
        return next((values for values in itertools.chain([first], others) if values not in made), first)

    def _on_the_grid(self, number: int) -> Values:
        categorical = [each for each in self.ranges if isinstance(each, Categorical)]
        found = next(itertools.islice(itertools.product(*(each.values for each in categorical)), number, None))
        return dict(zip((each.name for each in categorical), found, strict=True))

    def _drawn(self, number: int, draw: int) -> Values:
        source = random.Random(f"{self.seed}:{number}:{draw}")
        return {each.name: each.at(source.random()) for each in self.ranges}

    def _modelled(self, number: int, ended: Sequence[Trial]) -> Values:
        optuna = _optuna()
        sampler = optuna.samplers.TPESampler(seed=_number(f"{self.seed}:{number}"), n_startup_trials=_STARTUP)
        study = optuna.create_study(direction="minimize" if self.minimize else "maximize", sampler=sampler)
        distributions = {
            each.name: optuna.distributions.CategoricalDistribution(each.values)
            if isinstance(each, Categorical)
            else optuna.distributions.FloatDistribution(0.0, 1.0)
            for each in self.ranges
        }
        states = optuna.trial.TrialState
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=self._places(trial.values),
                    distributions=distributions,
                    value=trial.objective,
                    state=states.FAIL if trial.objective is None else states.COMPLETE,
                )
                for trial in ended
            ]
        )
        asked = study.ask(distributions).params
        return {
            each.name: asked[each.name] if isinstance(each, Categorical) else each.at(asked[each.name])
            for each in self.ranges
        }

    def _places(self, values: Mapping[str, str]) -> dict[str, str | float]:
        return {
            each.name: values[each.name] if isinstance(each, Categorical) else each.place(values[each.name])
            for each in self.ranges
        }


def ranges_of(ranges: Wire) -> tuple[Range, ...]:
    """The ranges of ``ParameterRanges``.

    Raises:
        ValueError: An end is no number, or no whole one.
    """
    numeric = [
        *((item, True) for item in ranges.get("IntegerParameterRanges", [])),
        *((item, False) for item in ranges.get("ContinuousParameterRanges", [])),
    ]
    return (
        *(_numeric(item, whole=whole) for item, whole in numeric),
        *(
            Categorical(item["Name"], tuple(dict.fromkeys(item["Values"])))
            for item in ranges.get("CategoricalParameterRanges", [])
        ),
    )


def _numeric(item: Wire, *, whole: bool) -> Numeric:
    low, high = (float(int(item[end]) if whole else item[end]) for end in ("MinValue", "MaxValue"))
    scaling = item.get("ScalingType", "Auto")
    if scaling == "Auto":
        scaling = "Logarithmic" if low > 0 and high / low >= _WIDE else "Linear"
    return Numeric(item["Name"], low, high, whole, scaling)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _optuna() -> Any:  # noqa: ANN401 - a module
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
