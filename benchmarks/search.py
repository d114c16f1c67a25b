"""The search engine against the reference's: the published problem, the full fair one, and growth over many series."""

import sys
import tempfile
from collections.abc import Callable
from itertools import product
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks import figures, measure, reference
from benchmarks.measure import Progress, Result
from forecasting import tuning
from forecasting.configuration import Configuration
from forecasting.engine import kernels
from forecasting.engine.arima import fit_arima, prepare
from forecasting.regressors import fourier

Floats = npt.NDArray[np.float64]

HELD_OUT = 26
EVERY = 10
"""The reference scores every tenth of the 100 windows of its four configurations; its time is scaled to all."""
ROUNDS = 3
THREADS = 2
FAIR_LIMIT_S = 60
MEMORY_LIMIT_MB = 1000
SERIES = (1, 10, 100)

PUBLISHED = [
    Configuration(harmonics=K, holidays=False, detrend=detrend, deseasonalise=deseasonalise)
    for detrend, deseasonalise, K in product((False, True), (False, True), range(1, 11))
]

COLD = """
import resource
from benchmarks import search
search.published(search.weeks())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run(progress: Progress) -> list[Result]:
    """Rows of the published search, warm and cold, its memory, the full search, the floor, and growth."""
    data = weeks()
    y = reference.by_period(figures.trained_on(figures.span())).iloc[:-HELD_OUT]
    prepare()

    def theirs() -> float:
        return reference.search(y, every=EVERY, processes=THREADS, progress=progress).scaled_s

    mine, others = measure.alternate(lambda: published(data), theirs, rounds=ROUNDS, progress=progress)
    their_s = median(others)
    cold_s, memory_mb = _cold(progress)
    fits = 40 * len(reference.window_starts(len(y)))
    unbroken = before_the_break()
    fair_s, fair_fits = _fair(unbroken, progress)
    note = f"theirs: {EVERY}th windows of 4 configurations, scaled to 40 x 100, {THREADS} processes"
    return [
        measure.smaller("search: published, compiled before", median(mine), their_s, "s", times=100, note=note),
        measure.smaller(
            "search: published, with compilation",
            cold_s,
            their_s,
            "s",
            times=30,
            note="a fresh process and an empty cache",
        ),
        measure.below(
            "search: peak memory of the published problem",
            memory_mb,
            None,
            "MB",
            limit=MEMORY_LIMIT_MB,
            note="compilation included",
        ),
        measure.below(
            "search: full fair search of one week",
            fair_s,
            their_s * fair_fits / fits,
            "s",
            limit=FAIR_LIMIT_S,
            note=f"224 configurations at 25 origins, {fair_fits} fits; theirs at the same seconds a fit",
        ),
        _floor(data, median(mine)),
        *_growth(unbroken, progress),
    ]


def weeks() -> pd.DataFrame:
    """The 541 weeks of gasoline that the published study tuned on."""
    return figures.span().iloc[:-HELD_OUT]


def before_the_break() -> pd.DataFrame:
    """As many weeks to the end of 2019: nothing is replaced, so that all 25 origins of a fair search are scored."""
    weeks_ = figures.history(figures.GASOLINE)
    known = weeks_[weeks_["ds"] <= "2019-12-27"].tail(541)
    return known.assign(counterfactual=known["y"], replaced=False).reset_index(drop=True)


def published(data: pd.DataFrame) -> float:
    """Seconds of the published search with its leaderboard: 40 configurations, 100 windows each."""
    began = perf_counter()
    searching = tuning.Search(data, configurations=PUBLISHED, scoring="published")
    searching.run(workers=THREADS)
    searching.result()
    return perf_counter() - began


def _cold(progress: Progress) -> tuple[float, float]:
    """Seconds of a fresh process that compiles, and its peak memory in MB."""
    seconds, memory = [], []
    for number in range(1, ROUNDS + 1):
        progress(f"round {number} of {ROUNDS}, compiling")
        with tempfile.TemporaryDirectory() as cache:
            finished = measure.run([sys.executable, "-c", COLD], environment={"NUMBA_CACHE_DIR": cache})
        seconds.append(finished.seconds)
        memory.append(float(finished.output.split()[-1]))
    return median(seconds), median(memory)


def _fair(data: pd.DataFrame, progress: Progress) -> tuple[float, int]:
    """Seconds of the search of a week with the platform's settings, and how many models it fits."""
    seconds, fits = [], 0
    for number in range(1, ROUNDS + 1):
        progress(f"round {number} of {ROUNDS}, full search")
        began = perf_counter()
        searching = tuning.Search(data)
        searching.run(workers=THREADS)
        trials = searching.result().trials
        seconds.append(perf_counter() - began)
        fits = int(trials.loc[trials["harmonics"] != "aicc", "n_origins"].sum())
    return median(seconds), fits


def _floor(data: pd.DataFrame, measured_s: float) -> Result:
    """What the likelihoods alone cost: as many evaluations of the published search as there were, times one of each."""
    log_y = np.log(data["counterfactual"].to_numpy())
    conditional_s, exact_s, orders, likelihoods = 0.0, 0.0, 0.0, 0.0
    for harmonics in range(1, 11):
        x = fourier(np.arange(442), period=365.25 / 7, K=harmonics)
        fits = fit_arima(np.stack([log_y[start : start + 417] for start in range(0, 100, 20)]), x)
        tried, exact = float(fits.order[:, 4].mean()), float(fits.order[:, 5].mean())
        # An order that is tried needs the Gram matrix of its derivatives once, and a dozen sums of squares.
        conditional_s += 400 * tried * _one_conditional(log_y, x) / THREADS
        exact_s += 400 * exact * _one_exact(log_y, x) / THREADS
        orders, likelihoods = orders + tried / 10, likelihoods + exact / 10
    floor_s = conditional_s + exact_s
    return Result(
        "search: published, above the floor of its likelihoods",
        measured_s,
        floor_s,
        "s",
        floor_s / measured_s,
        "none",
        True,
        f"theirs: the floor on {THREADS} cores; a fit tries {orders:.0f} orders ({conditional_s:.1f} s) and evaluates "
        f"{likelihoods:.0f} exact likelihoods ({exact_s:.1f} s)",
    )


def _one_conditional(log_y: Floats, x: Floats) -> float:
    w, z = np.diff(log_y[:417]), np.ascontiguousarray(np.diff(x[:417], axis=0))
    phi, theta, e = np.array([0.3]), np.array([-0.7]), np.zeros(416)
    padded, jacobian = kernels._padded(z), np.zeros((421, z.shape[1] + 3))

    def once() -> None:
        for _ in range(12):
            kernels._conditional_errors(w, phi, theta, e)
        kernels._conditional_jacobian(w, padded, phi, theta, e, jacobian)
        np.dot(jacobian.T, jacobian)

    return _seconds(once)


def _one_exact(log_y: Floats, x: Floats) -> float:
    series = kernels._padded(np.column_stack([np.diff(x[:417], axis=0), np.diff(log_y[:417])]))
    k = series.shape[1] - 1
    b, small, filtered = np.zeros(1), np.zeros((1, 1)), np.zeros((421, k + 2))
    phi, theta, beta, ti = np.array([0.3]), np.array([-0.7]), np.zeros(k), np.zeros((1, 1))
    return _seconds(lambda: kernels._exact(series, phi, theta, filtered, beta, b, ti, small))


def _seconds(once: Callable[[], object], times: int = 300) -> float:
    once()
    began = perf_counter()
    for _ in range(times):
        once()
    return (perf_counter() - began) / times


def _growth(data: pd.DataFrame, progress: Progress) -> list[Result]:
    """Seconds a series of one call with 1, 10 and 100 of them: the quick search at five origins."""
    seconds = []
    for number in SERIES:
        progress(f"{number} series in one call")
        many = pd.concat([data.assign(unique_id=f"S{i:03d}") for i in range(number)], ignore_index=True)
        rounds = []
        for _ in range(ROUNDS):
            began = perf_counter()
            tuning.search(many, configurations=tuning.quick_configurations(), max_origins=5, workers=THREADS)
            rounds.append(perf_counter() - began)
        seconds.append(median(rounds))
    one = seconds[0]
    return [
        measure.below(
            f"search: {number} series, quick search, seconds a series",
            taken / number,
            one,
            "s",
            limit=1.2 * one,
            note="theirs: one series alone; linear is no more than a fifth above it",
        )
        for number, taken in zip(SERIES, seconds, strict=True)
    ]
