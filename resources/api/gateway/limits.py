"""Rate and quota of a key."""

import contextlib
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

_WIDTH = 96


class TokenBucket:
    """So many at once, and so many a second in the long run: the algorithm of API Gateway's throttling.

    Args:
        rate_per_s: Tokens that come back in a second.
        burst: Tokens at most.
        clock: Seconds, from any origin.
    """

    def __init__(self, *, rate_per_s: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate_per_s, self._burst, self._clock = rate_per_s, burst, clock
        self._tokens, self._at = float(burst), clock()

    def take(self) -> bool:
        """Whether there was a token."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class MonthlyQuota:
    """Requests of one key since the first of the month, UTC; counted in a file, so that a restart forgets none.

    Args:
        path: The file. It is as long at the first request as at the last: a full disk does not end the count.
        now: The time.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        owner, month, count, *_ = [*os.pread(self._file, _WIDTH, 0).decode().split(), "", "", "0"]
        self._owner, self._month, self._count = owner, month, int(count or 0)

    def take(self, owner: str, limit: int) -> bool:
        """Whether one more request of a key is within its quota."""
        month = f"{self._now():%Y-%m}"
        if (owner, month) != (self._owner, self._month):
            self._owner, self._month, self._count = owner, month, 0
        if self._count >= limit:
            return False
        self._count += 1
        with contextlib.suppress(OSError):  # the count of this process goes on
            os.pwrite(self._file, f"{owner} {month} {self._count}".ljust(_WIDTH).encode(), 0)
        return True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
