"""What will go wrong in the year, decided by its seed before anything starts."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from resources.eia.calendar import due
from tests.year.figures import SPOILED, WEEK

STAGES = (
    *("release", "observations", "outlier_flags", "structural_break", "counterfactual", "tuning_trials"),
    *("candidate_model", "model_diagnostics", "registered_model", "forecast", "forecast_accuracy"),
    *("forecast_changes", "dashboard", "forecast_endpoint"),
)
"""The steps in whose middle a run's process is killed; the last one is of the deployment."""

SPOILS = tuple(SPOILED)
SHIFTS = ("late release", "holiday shift", "5xx", "hang", "repeated", "revised")
MACHINE = ("daemon killed", "webserver restarted", "endpoint process killed", "disk full")
KILLS = tuple(f"worker killed: {stage}" for stage in STAGES)
BAD_MODEL, CHANNEL_DOWN, HOLIDAY = "bad model", "alert channel down", "holiday shift"
KINDS = (*SHIFTS, *SPOILS, *MACHINE, *KILLS, BAD_MODEL, CHANNEL_DOWN)

_FRIENDS = ("5xx", "revised", "repeated")
"""Of what happens at the source, what may come in the same week as something on the machine."""
_AT = ("before the release", "release", "tuning_trials", "candidate_model", "after the deployment")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: One of `KINDS`.
        week: In which week.
        seed: Of its details.
        at: When within the week, where the kind leaves that open.
    """

    kind: str
    week: date
    seed: int
    at: str = ""

    def chance(self) -> random.Random:
        """What its details are drawn with, the same at every call."""
        return random.Random(self.seed)

    @property
    def stage(self) -> str:
        """The step in whose middle the worker is killed; empty where it is none of these."""
        return self.kind.partition(": ")[2]

    @property
    def name(self) -> str:
        return f"{self.kind} ({self.at})" if self.at else self.kind


@dataclass(frozen=True)
class Plan:
    """A year.

    Attributes:
        seed: What it was drawn with.
        weeks: The Fridays, in order.
        faults: What goes wrong, by week.
    """

    seed: int
    weeks: tuple[date, ...]
    faults: Mapping[date, tuple[Fault, ...]] = field(default_factory=dict)

    def of(self, week: date) -> tuple[Fault, ...]:
        return self.faults.get(week, ())

    @property
    def all(self) -> list[Fault]:
        return [fault for week in self.weeks for fault in self.of(week)]

    @property
    def kinds(self) -> set[str]:
        return {fault.kind for fault in self.all}


def whole_year(seed: int, weeks: Sequence[date], *, without: Sequence[str] = ()) -> Plan:
    """Every kind at least once; some weeks with two, several with none, the first among them.

    Args:
        seed: Another year for another one.
        weeks: Its Fridays.
        without: Kinds that this machine cannot have.

    Raises:
        ValueError: The weeks do not have room for every kind.
    """
    chance = random.Random(seed)
    free = list(weeks[1:])
    holidays = [week for week in free if is_shifted(week)]
    if not holidays or len(free) < len(KINDS):
        raise ValueError(f"{len(weeks)} weeks, {len(holidays)} of them with a holiday, are too few for every kind")
    taken: dict[date, list[str]] = {chance.choice(holidays): [HOLIDAY]}

    def place(kind: str) -> None:
        week = chance.choice([week for week in free if week not in taken])
        taken[week] = [kind]

    alone = [kind for kind in KINDS if kind not in {HOLIDAY, CHANNEL_DOWN, *_FRIENDS, *without}]
    for kind in alone:
        place(kind)
    # With a release that is refused there is something to say while nobody can be told.
    chance.choice([kinds for kinds in taken.values() if kinds[0] in SPOILS]).append(CHANNEL_DOWN)
    on_the_machine = [kinds for kinds in taken.values() if kinds[0] in {*MACHINE, *KILLS}]
    for kinds, friend in zip(chance.sample(on_the_machine, len(_FRIENDS)), _FRIENDS, strict=True):
        kinds.append(friend)
    return _drawn(seed, weeks, taken, chance)


def short_year(seed: int, weeks: Sequence[date], *, without: Sequence[str] = ()) -> Plan:
    """Four weeks, all but the first with a fault, or two: eleven seeds one after the other have every kind.

    Args:
        seed: Which part of the kinds.
        weeks: The Fridays to choose from; a run of them that suits the faults is taken.
        without: Kinds that this machine cannot have.
    """
    chance = random.Random(seed)
    order = [kind for kind in KINDS if kind not in {CHANNEL_DOWN, *without}]
    random.Random(0).shuffle(order)  # the same for every seed
    kinds = [order[(seed * 3 + number) % len(order)] for number in range(3)]
    kinds.sort(key=lambda kind: kind != HOLIDAY)
    starts = [start for start in range(len(weeks) - 3) if HOLIDAY not in kinds or is_shifted(weeks[start + 1])]
    start = chance.choice(starts)
    chosen = weeks[start : start + 4]
    taken = {chosen[number + 1]: [kind] for number, kind in enumerate(kinds)}
    for found in taken.values():
        if found[0] in SPOILS:  # with it there is something to say while nobody can be told
            found.append(CHANNEL_DOWN)
            break
    for found in taken.values():
        if found[0] in {*MACHINE, *KILLS}:
            found.append(chance.choice(_FRIENDS))
            break
    return _drawn(seed, chosen, taken, chance)


def is_shifted(week: date) -> bool:
    """Whether a holiday moves the release of a week to the Thursday."""
    return due(week).weekday() == 3


def _drawn(seed: int, weeks: Sequence[date], taken: Mapping[date, Sequence[str]], chance: random.Random) -> Plan:
    faults = {
        week: tuple(Fault(kind, week, chance.getrandbits(32), _moment(kind, chance)) for kind in taken[week])
        for week in weeks
        if week in taken
    }
    return Plan(seed, tuple(weeks), faults)


def _moment(kind: str, chance: random.Random) -> str:
    match kind:
        case "daemon killed" | "webserver restarted":
            return chance.choice(_AT)
        case "disk full":
            return chance.choice(_AT[:-1])
        case "endpoint process killed":
            return chance.choice(_AT[-2:])
        case "5xx" | "hang":
            return chance.choice(("asked by the sensor", "asked by the run"))
    return ""


def weeks_from(first: date, count: int) -> list[date]:
    """So many Fridays."""
    return [first + number * WEEK for number in range(count)]
