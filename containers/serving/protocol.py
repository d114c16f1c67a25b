"""HTTP as uvicorn reads it, within limits that uvicorn leaves open.

A client that sends a byte now and then, or never fetches its answer, would hold a connection for ever. Here a head has
a time and a size, what is left of a refused body has a time, and so has the fetching of an answer. The body of a
request that is read is bounded by the application.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from containers.serving.limits import ANSWER_S, BODY_S, HEAD_LIMIT_BYTES, HEAD_S


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _reading_head = False
    _reading_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head must follow."""
        super().connection_made(transport)
        self._within(HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; then see whether this was part of a head that is not whole, or of nothing at all."""
        was_body = self._reading_body
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        of_nothing = answered and not (was_body or self._reading_body)
        if self.transport.is_closing() or not (self._reading_head or of_nothing):
            return
        self._within(HEAD_S, self._head_is_late)
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self._refuse(431, f"the head of the request is larger than {HEAD_LIMIT_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_time()
        self._reading_head = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_time()
        self._reading_head, self._reading_body, self._head_bytes = False, True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole, be it read or refused."""
        self._in_time()
        self._reading_body = False
        super().on_message_complete()
        if self.cycle.response_complete:  # uvicorn waits for another request only where the answer came last
            self._within(self.timeout_keep_alive, self.transport.close)

    def on_response_complete(self) -> None:
        """The answer must be fetched, and what is left of a body that was not read must end."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(ANSWER_S, self._drop_what_is_not_fetched)
        if self._reading_body:
            self._within(BODY_S, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the form of every other refusal."""
        del msg
        self._refuse(400, "this is not a request of HTTP/1.1")

    def _within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        """Start the clock, unless it runs already."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(seconds, otherwise)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._refuse(408, f"the head of the request did not come within {HEAD_S:g} s")

    def _drop_what_is_not_fetched(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _refuse(self, status: int, message: str) -> None:
        self._in_time()
        if self.transport.is_closing():
            return
        body = f'{{"error":"{message}"}}'
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(f"{head}{body}".encode("ascii"))
        self.transport.close()
