"""`/invocations` over HTTP and the start of the server, beside FastAPI in front of sktime.

The server has one core, the load generator another. Requests are drawn at random: periods 1..104, any level, three
series, both kinds of interval (which the other side does not know and ignores). Ours is the serving container's own
process, with an artifact as a training job writes it. Both sides serve the published configuration, start anew in
every round, and are asked the very same bytes.
"""

import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import IO, Any

from benchmarks import figures, load, reference
from benchmarks.measure import (
    ROOT,
    MeasureError,
    Progress,
    Result,
    alternate,
    below,
    clean_environment,
    cores,
    larger,
    pinned,
)
from forecasting import artifact, forecaster, intervals, models
from forecasting.configuration import PUBLISHED
from forecasting.cross_validation import Splits, rolling_origin

SERIES = (figures.GASOLINE, "WDIUPUS2", "WKJUPUS2")
REQUESTS = 3000
RATE_PER_S = 200
CLIENTS = load.CONNECTIONS
START_LIMIT_S = 60

Body = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """A server that can be started.

    Attributes:
        command: What starts it, given the port.
        environment: What it is told beside, given the port.
        right: Whether an answer is the right one to a request.
        steady_s: How long it is asked at the steady rate.
        busy_s: How long all clients ask at once.
    """

    command: Callable[[int], Sequence[str]]
    environment: Callable[[int], dict[str, str]]
    right: Callable[[bytes, Body], bool]
    steady_s: float
    busy_s: float


@dataclass(frozen=True)
class Session:
    """What one life of a server gave.

    Attributes:
        start_s: From before the process was started to its first 200 on `/ping`.
        steady: At the steady rate.
        busy: All clients at once.
        errors: Answers to them that failed or were wrong.
    """

    start_s: float
    steady: load.Load
    busy: load.Load
    errors: int

    @property
    def p99_ms(self) -> float:
        """The latency at the steady rate that one answer in a hundred exceeds."""
        return 1e3 * quantiles(self.steady.latencies_s, n=100)[98]


def run(progress: Progress) -> list[Result]:
    """Rows: p99 at a steady rate, throughput, 50 clients at once, start to the first `/ping`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress("fitting three series on both sides")
        entries = _build(folder)
        requests = _draw()
        ours = Side(
            lambda _port: [sys.executable, "-m", "containers.serving", "serve"],
            lambda port: {"SM_ML_ROOT": str(folder / "ml"), "SAGEMAKER_BIND_TO_PORT": str(port)},
            lambda answer, body: json.loads(answer) == _expected(entries, body),
            steady_s=10,
            busy_s=8,
        )
        theirs = Side(
            lambda port: [sys.executable, "-m", "benchmarks.reference_server", str(folder / "reference"), str(port)],
            lambda _port: {},
            lambda answer, body: len(json.loads(answer)["date"]) == body["periods"],
            steady_s=1,  # it falls behind from the first second on; what waits is answered all the same
            busy_s=3,
        )
        mine, others = alternate(
            lambda: _session(ours, requests), lambda: _session(theirs, requests), progress=progress
        )
    return _results(mine, others)


def _results(mine: Sequence[Session], others: Sequence[Session]) -> list[Result]:
    share = max(session.busy.generator_share for session in mine)
    steady_share = max(session.steady.generator_share for session in mine)
    late_ms = 1e3 * median(quantiles(session.steady.lateness_s, n=100)[98] for session in mine)
    middle_ms = 1e3 * median(median(session.steady.latencies_s) for session in mine)
    answers = sum(len(session.busy.latencies_s) for session in mine)
    their_answers = sum(len(session.busy.latencies_s) for session in others)
    errors, their_errors = (sum(session.errors for session in side) for side in (mine, others))
    return [
        below(
            f"serving: p99 at {RATE_PER_S} requests a second, one core",
            median(session.p99_ms for session in mine),
            median(session.p99_ms for session in others),
            "ms",
            limit=5,
            note=f"open loop, Poisson arrivals, latency since a request was due, our median {middle_ms:.2g} ms; "
            f"the generator was {late_ms:.2g} ms late at its own p99 and used {steady_share:.0%} of its core; theirs "
            "was asked for 1 s and falls ever further behind",
        ),
        larger(
            f"serving: throughput with {CLIENTS} clients, one core",
            median(session.busy.answered_per_s for session in mine),
            median(session.busy.answered_per_s for session in others),
            "requests/s",
            times=20,
            note=f"closed loop, mean of 52 weeks an answer; the generator used {share:.0%} of its core",
        ),
        Result(
            name=f"serving: wrong or failed answers to {CLIENTS} clients at once",
            ours=errors,
            theirs=their_errors,
            unit="answers",
            ratio=None,
            target="0",
            met=errors == 0,
            note=f"of {answers:,} answers, each compared with the forecaster's own to the last bit; theirs: "
            f"{their_answers:,} answers, of which only the number of weeks is checked",
        ),
        below(
            "serving: process start to the first 200 on /ping",
            1e3 * median(session.start_s for session in mine),
            1e3 * median(session.start_s for session in others),
            "ms",
            limit=300,
            note="three series; asked every millisecond from the other core",
        ),
    ]


def _build(folder: Path) -> dict[str, Any]:
    """The entries of our artifact, stored as a training job does under `ml/model`; their models, under `reference`."""
    entries = {}
    for name in SERIES:
        span = figures.span(name)
        history = figures.trained_on(span)
        errors = rolling_origin(span.iloc[: -figures.HELD_OUT], [PUBLISHED], splits=Splits(step=12)).errors
        scores = intervals.conformal_scores(errors)
        entries[name] = models.fit(history, PUBLISHED).entry | {"conformal": {"scores": scores}}
        reference.save(reference.fit(reference.by_period(history), PUBLISHED), folder / "reference" / name)
    built = artifact.build_artifact(entries, provenance={})
    path = folder / "ml" / "model" / artifact.FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_text(artifact.dumps(built))
    return entries


def _draw() -> list[Body]:
    chance = random.Random(7)
    return [
        {
            "periods": chance.randint(1, forecaster.MAX_HORIZON),
            "conf": round(chance.uniform(0.01, 0.99), 4),
            "series": chance.choice(SERIES),
            "interval": chance.choice(forecaster.INTERVALS),
        }
        for _ in range(REQUESTS)
    ]


def _expected(entries: dict[str, Any], body: Body) -> list[dict[str, Any]]:
    conf = body["conf"]
    level = round(conf * 100, 10)
    rows = forecaster.forecast(
        entries[body["series"]], horizon=body["periods"], levels=[level], interval=body["interval"]
    )
    low, high = f"lo-{forecaster.label(level)}", f"hi-{forecaster.label(level)}"
    return [
        {
            "date": row["ds"],
            f"lower_pi_{conf}": row[low],
            "predictions": row["mean"],
            f"upper_pi_{conf}": row[high],
        }
        for row in rows
    ]


def _session(side: Side, requests: Sequence[Body]) -> Session:
    questions = [load.question(body) for body in requests]
    chance = random.Random(11)
    due_s = [0.0]
    while due_s[-1] < side.steady_s:
        due_s.append(due_s[-1] + chance.expovariate(RATE_PER_S))
    with _running(side) as (port, start_s), pinned(cores()[1]):
        steady = load.open_loop(port, questions, due_s)
        busy = load.closed_loop(port, questions, seconds=side.busy_s)
    wrong = sum(not side.right(answer, requests[number]) for number, answer in busy.bodies.items())
    return Session(start_s, steady, busy, busy.errors + wrong)


@contextlib.contextmanager
def _running(side: Side) -> Iterator[tuple[int, float]]:
    """The port of a server on a core of its own, and how long it took to its first 200 on `/ping`."""
    port = _free_port()
    with tempfile.TemporaryFile("w+") as log:
        with pinned(cores()[0]):
            began = time.perf_counter()
            process = subprocess.Popen(
                side.command(port),
                cwd=ROOT,
                env=clean_environment() | side.environment(port),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            with pinned(cores()[1]):
                _until_healthy(process, port, log)
            yield port, time.perf_counter() - began
        finally:
            process.terminate()
            process.wait()


def _until_healthy(process: subprocess.Popen[bytes], port: int, log: IO[str]) -> None:
    end = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(ConnectionRefusedError), contextlib.closing(connection):
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.001)
    log.seek(0)
    raise MeasureError(f"the server {process.args!r} did not come up: {log.read()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
