"""A load generator for HTTP: light enough that one core of Python measures a server on another.

Connections stay open and carry one question at a time. A question that no connection is free for waits, and its latency
counts from when it was due, not from when it was sent: a slow server cannot slow its own questions down and so hide
how long callers would wait (coordinated omission).
"""

import asyncio
import itertools
import json
import selectors
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

CONNECTIONS = 50


@dataclass
class Load:
    """What came of a load.

    Attributes:
        latencies_s: From when each question was due to when its answer was complete.
        lateness_s: From when each question was due to when the generator came to it: its own fault, not the server's.
        errors: Answers that are not 200, that differ from an earlier answer to the same question, or did not come.
        bodies: The answer to each question that was asked, by its number.
        seconds: Wall time of the whole.
        generator_share: Processor time of the generator by wall time.
    """

    latencies_s: list[float] = field(default_factory=list)
    lateness_s: list[float] = field(default_factory=list)
    errors: int = 0
    bodies: dict[int, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    generator_share: float = 0.0

    @property
    def answered_per_s(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds


def question(body: object) -> bytes:
    """The bytes of one `POST /invocations`."""
    content = json.dumps(body).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def open_loop(port: int, questions: Sequence[bytes], due_s: Sequence[float]) -> Load:
    """Ask each question when it is due, whatever became of those before.

    Args:
        port: On this machine.
        questions: As `question` makes them.
        due_s: When each is due, seconds from the beginning, rising.
    """

    async def ask(generator: "_Generator") -> None:
        loop = asyncio.get_running_loop()
        for number, due in enumerate(due_s):
            if (wait := generator.began + due - loop.time()) > 0:
                await asyncio.sleep(wait)
            generator.ask(number, generator.began + due)
        await generator.idle.wait()

    return _run(port, questions, ask)


def closed_loop(port: int, questions: Sequence[bytes], *, seconds: float) -> Load:
    """Keep every connection busy for a while: each asks its next question when the last is answered.

    Args:
        port: On this machine.
        questions: As `question` makes them; asked in turn, from the first again after the last.
        seconds: How long new questions are asked.
    """

    async def ask(generator: "_Generator") -> None:
        generator.until = generator.began + seconds
        for number in range(CONNECTIONS):
            generator.ask(number % len(questions), generator.began)
        await generator.idle.wait()

    return _run(port, questions, ask)


def _run(port: int, questions: Sequence[bytes], ask: "Callable[[_Generator], Awaitable[None]]") -> Load:
    # select() waits for microseconds, epoll for whole milliseconds: the generator should not be a millisecond late.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        return loop.run_until_complete(_measure(port, questions, ask))
    finally:
        loop.close()


async def _measure(port: int, questions: Sequence[bytes], ask: "Callable[[_Generator], Awaitable[None]]") -> Load:
    loop = asyncio.get_running_loop()
    generator = _Generator(questions)
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Connection(generator), "127.0.0.1", port)
    processor_s = time.process_time()
    generator.began = loop.time()
    await ask(generator)
    load = generator.load
    load.seconds = loop.time() - generator.began
    load.generator_share = (time.process_time() - processor_s) / load.seconds
    generator.close()
    return load


class _Generator:
    """Hands questions to free connections and keeps what came of them."""

    def __init__(self, questions: Sequence[bytes]) -> None:
        self.questions = questions
        self.load = Load()
        self.began = 0.0
        self.until: float | None = None
        self.idle = asyncio.Event()
        self.free: set[_Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[int, float]] = deque()
        self._open = 0
        self._next = itertools.count(CONNECTIONS)

    def ask(self, number: int, due: float) -> None:
        """Ask a question that is due, as soon as a connection is free."""
        self.load.lateness_s.append(self._loop.time() - due)
        self.idle.clear()
        self._open += 1
        self._waiting.append((number, due))
        self._serve()

    def answered(self, connection: "_Connection", status: bytes, body: bytes) -> None:
        """Takes the answer to what a connection asked."""
        now = self._loop.time()
        self.load.latencies_s.append(now - connection.due)
        if status != b"200" or self.load.bodies.setdefault(connection.number, body) != body:
            self.load.errors += 1
        self.free.add(connection)
        self._open -= 1
        if self.until is not None and now < self.until:
            self.ask(next(self._next) % len(self.questions), now)
        self._rest()

    def lost(self, connection: "_Connection") -> None:
        """Counts what a connection that the server closed was asking, and everything, once there is none left."""
        self.load.errors += 1
        self._open -= connection not in self.free
        self.free.discard(connection)
        if not self.free and self._open == len(self._waiting):
            self.load.errors += len(self._waiting)
            self._waiting.clear()
            self._open = 0
        self._rest()

    def close(self) -> None:
        """Close the connections, all of them free."""
        for connection in self.free:
            connection.close()

    def _serve(self) -> None:
        if self._waiting and self.free:
            number, due = self._waiting.popleft()
            self.free.pop().ask(number, due)

    def _rest(self) -> None:
        self._serve()
        if not self._open:
            self.idle.set()


class _Connection(asyncio.Protocol):
    """One connection, which carries one question at a time."""

    def __init__(self, generator: _Generator) -> None:
        self.number, self.due = 0, 0.0
        self._generator = generator
        self._received = bytearray()
        self._body_at = 0
        self._end = 0
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._generator.free.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._closing:
            self._generator.lost(self)

    def ask(self, number: int, due: float) -> None:
        self.number, self.due = number, due
        self._received.clear()
        self._end = 0
        self._transport.write(self._generator.questions[number])

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._end:
            head, found, _ = bytes(self._received).partition(b"\r\n\r\n")
            if not found:
                return
            self._body_at = len(head) + 4
            self._end = self._body_at + int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._received) >= self._end:
            received = bytes(self._received)
            self._generator.answered(self, received[9:12], received[self._body_at :])

    def close(self) -> None:
        self._closing = True
        self._transport.close()
