"""What is compared: the four models of the report, and alternatives that were tried."""

from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.accuracy.calibrations import CALIBRATIONS
from forecasting.configuration import DEFAULT, PUBLISHED, SEASONAL_NAIVE, Configuration

Choice = Literal["given", "searched", "lowest", "best"]
BEST: Final = 5


@dataclass(frozen=True)
class Variant:
    """A way to forecast.

    Attributes:
        name: as tables name it.
        what: in a sentence.
        choice: "given" takes the configurations as they are; the others choose among all candidates of the search:
            "searched" by the platform's rule, "lowest" by the lowest loss, "best" the five lowest.
        calibration: name of one of `CALIBRATIONS`.
        configurations: for "given". Several are averaged: log means and standard errors.
    """

    name: str
    what: str
    choice: Choice
    calibration: str
    configurations: tuple[Configuration, ...] = ()


def _given(name: str, what: str, *configurations: Configuration, calibration: str = "normal") -> Variant:
    return Variant(name, what, "given", calibration, configurations)


K6 = Configuration(harmonics=6, holidays=False)
AICC = Configuration(holidays=False)

NAIVE: Final = _given("seasonal naive", "the same week of last year", SEASONAL_NAIVE)
REFERENCE: Final = _given("reference", "the reference's published configuration, normal intervals", PUBLISHED)
FPP3: Final = _given("fpp3", "harmonic regression with K = 6, normal intervals", K6)
CHAMPION: Final = Variant("champion", "what the platform would have published", "searched", "platform")
MODELS: Final = (NAIVE, REFERENCE, FPP3, CHAMPION)

POINT: Final = (
    _given("default", "K by AICc with holiday weeks, never tuned", DEFAULT),
    _given("aicc", "K by AICc without holiday weeks", AICC),
    _given("K = 12", "twelve pairs, no holiday weeks", Configuration(harmonics=12, holidays=False)),
    _given("K = 6, holidays", "six pairs and holiday weeks", Configuration(harmonics=6)),
    _given("default, observed", "trained on the weeks as observed", Configuration(counterfactual=False)),
    _given("default, deseasonalise", "a season of 52 means taken off first", Configuration(deseasonalise=True)),
    _given("default, detrend", "a line taken off first", Configuration(detrend=True)),
    Variant("lowest loss", "the best of the search, without the one-standard-error rule", "lowest", "normal"),
    Variant("best five", "mean of the five best of the search", "best", "normal"),
    _given("mean of three", "mean of default, aicc and reference", DEFAULT, AICC, PUBLISHED),
    _given("mean of four", "mean of default, aicc, fpp3 and reference", DEFAULT, AICC, K6, PUBLISHED),
)
"""Point forecasts that were tried; their intervals are normal."""

INTERVAL: Final = (
    *(
        Variant(f"champion, {name}", f"the champion with intervals {name}", "searched", name)
        for name in CALIBRATIONS
        if name != CHAMPION.calibration
    ),
    *(_given(f"fpp3, {name}", f"K = 6 with intervals {name}", K6, calibration=name) for name in CALIBRATIONS),
)
"""Intervals that were tried, around the champion and around a model that is never tuned."""

VARIANTS: Final = {variant.name: variant for variant in (*MODELS, *POINT, *INTERVAL)}
