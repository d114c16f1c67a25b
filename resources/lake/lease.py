"""A lease on a week of a lake in a bucket: one run at a time makes it, and a run that dies gives it up by silence.

`<lake>/_locks/week=2023-11-10.json` names the holder and a token that counts up from holder to holder. It is taken,
renewed and given back by conditional writes, so of several takers one wins. Whether a holder has been silent for too
long is told by the clock of S3 alone. The token makes late writes of a former holder fail (`Bucket`); the method is
M. Kleppmann's fencing token (https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from resources.lake.errors import DamagedTableError, LakeError, WeekLostError
from resources.lake.s3 import Bucket, Version
from resources.machine import machine


@dataclass(frozen=True)
class Tenure:
    """What the lock of a week says.

    Attributes:
        token: Counts up from holder to holder.
        holder: Who holds it, as a JSON object; None once it was given back.
        lasts_s: How long the holder may be silent.
        process: Of the holder: `machine`, `pid`, and an `id` that no other tenure has.
    """

    token: int
    holder: dict[str, object] | None
    lasts_s: float
    process: dict[str, object]


class HeldError(Exception):
    """Somebody else holds the lease.

    Attributes:
        holder: Who.
        left_s: Seconds until it runs out unless it is renewed.
    """

    def __init__(self, holder: dict[str, object], left_s: float) -> None:
        self.holder, self.left_s = holder, left_s
        super().__init__(f"held by {holder}")


class Lease:
    """A held lease.

    Attributes:
        token: Counts up from holder to holder.
        lost: Who held it last and did not give it back; None where it was given back, or is the first.
    """

    def __init__(
        self,
        bucket: Bucket,
        key: str,
        tenure: Tenure,
        etag: str,
        *,
        lost: dict[str, object] | None,
        sent: float,
        elapsed: Callable[[], float],
    ) -> None:
        self.token, self.lost = tenure.token, lost
        self._bucket, self._key, self._tenure, self._etag = bucket, key, tenure, etag
        self._sent, self._elapsed = sent, elapsed
        self._gone = False
        self._ended = threading.Event()
        self._writing = threading.Lock()

    @property
    def overdue(self) -> bool:
        """Whether half of the time has passed since a renewal that S3 has confirmed was sent."""
        return self._elapsed() - self._sent > self._tenure.lasts_s / 2

    def check(self) -> None:
        """Renew the lease if that is overdue.

        Raises:
            WeekLostError: The week is somebody else's by now.
            LakeAccessError: It is overdue, and S3 does not answer.
        """
        with self._writing:
            if self.overdue and not self._gone:
                self._write(self._tenure)
        if self._gone:
            raise WeekLostError(self._bucket.where(self._key))

    def renew_until_it_ends(self) -> None:
        """Renew the lease three times within its length, and oftener where S3 refuses in passing."""
        wait_s = self._tenure.lasts_s / 4
        while not self._ended.wait(wait_s):
            with self._writing:
                if self._gone or self._ended.is_set():
                    return
                wait_s = self._tenure.lasts_s / 4
                try:
                    self._write(self._tenure)
                except LakeError:
                    wait_s = self._tenure.lasts_s / 20

    def give_back(self) -> None:
        """End the lease; the token stays, for the next holder to count on from."""
        self._ended.set()
        with self._writing:
            if not self._gone:
                tenure = self._tenure
                self._write(Tenure(self.token, None, tenure.lasts_s, tenure.process))

    def _write(self, tenure: Tenure) -> None:
        sent = self._elapsed()
        etag = self._bucket.replace(self._key, _dumped(tenure), etag=self._etag)
        if etag is None:
            # Ours all the same if the answer to our own write was lost on the way and it was sent again.
            with contextlib.suppress(FileNotFoundError):
                found = self._bucket.version(self._key)
                etag = found.etag if _loaded(self._bucket, self._key, found) == tenure else None
        if etag is None:
            self._gone = True
        else:
            self._etag, self._sent = etag, sent


def elapsed_s() -> float:
    """Seconds since some moment, those that the machine slept included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@contextmanager
def lease(
    bucket: Bucket,
    key: str,
    holder: Mapping[str, object],
    *,
    lasts_s: float,
    elapsed: Callable[[], float] = elapsed_s,
) -> Iterator[Lease]:
    """Hold a lease and keep it renewed.

    Args:
        bucket: Where the lock is.
        key: The lock.
        holder: Who takes it: what others are told.
        lasts_s: How long a holder may be silent.
        elapsed: Seconds that have passed for this process since some moment.

    Raises:
        HeldError: Somebody else holds it.
        DamagedTableError: The lock is no lock.
        LakeAccessError: S3 refuses.
    """
    process = {"machine": machine(), "pid": os.getpid(), "id": uuid.uuid4().hex}
    held = _taken(bucket, key, Tenure(0, dict(holder), lasts_s, process), elapsed)
    thread = threading.Thread(target=held.renew_until_it_ends, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        with contextlib.suppress(LakeError):  # it runs out by itself, and what the block did or raised stands
            held.give_back()
        thread.join()


def _taken(bucket: Bucket, key: str, wanted: Tenure, elapsed: Callable[[], float]) -> Lease:
    lost = None
    while True:
        sent = elapsed()
        try:
            found = bucket.version(key)
        except FileNotFoundError:
            tenure, etag = _next(wanted, 0), None
        else:
            before = _loaded(bucket, key, found)
            if before.process == wanted.process:  # by a write of a moment ago whose answer was lost on the way
                return Lease(bucket, key, before, found.etag, lost=lost, sent=sent - found.age_s, elapsed=elapsed)
            if before.holder is not None:
                left_s = before.lasts_s - found.age_s
                if left_s > 0 and not _died_here(before.process):
                    raise HeldError(before.holder, left_s)
            lost, tenure, etag = before.holder, _next(wanted, before.token), found.etag
        sent = elapsed()
        etag = bucket.replace(key, _dumped(tenure), etag=etag)
        if etag is not None:
            return Lease(bucket, key, tenure, etag, lost=lost, sent=sent, elapsed=elapsed)


def _next(wanted: Tenure, token: int) -> Tenure:
    return Tenure(token + 1, wanted.holder, wanted.lasts_s, wanted.process)


def _died_here(process: Mapping[str, object]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    if process["machine"] != machine():
        return False
    try:
        os.kill(int(str(process["pid"])), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def _dumped(tenure: Tenure) -> bytes:
    return json.dumps(asdict(tenure)).encode()


def _loaded(bucket: Bucket, key: str, version: Version) -> Tenure:
    try:
        return Tenure(**json.loads(version.content))
    except (ValueError, TypeError) as error:
        remedy = "delete it once no run makes this week"
        raise DamagedTableError(bucket.where(key), "it names no holder", remedy=remedy) from error
