"""A lease on a week of a lake in a bucket: one run at a time makes it, and a run that dies gives it up by silence.

`<lake>/_locks/week=2023-11-10.json` names the holder and a token that counts up from holder to holder. It is taken,
renewed and given back by conditional writes, so of several takers one wins. Ages are told by the clock of S3 alone.
The token makes late writes of a former holder fail (`Bucket`); the method is M. Kleppmann's fencing token
(https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from resources.lake.errors import LakeError, WeekLostError
from resources.lake.s3 import Bucket, Version


@dataclass(frozen=True)
class Tenure:
    """What the lock of a week says.

    Attributes:
        token: Counts up from holder to holder.
        holder: Who holds it, as a JSON object; None once it was given back.
    """

    token: int
    holder: dict[str, object] | None


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

    def __init__(self, bucket: Bucket, key: str, tenure: Tenure, etag: str, lost: dict[str, object] | None) -> None:
        self.token, self.lost = tenure.token, lost
        self._bucket, self._key, self._tenure, self._etag = bucket, key, tenure, etag
        self._gone = False
        self._ended = threading.Event()
        self._writing = threading.Lock()

    def check(self) -> None:
        """Raise `WeekLostError` if the week is somebody else's by now."""
        if self._gone:
            raise WeekLostError(self._bucket.where(self._key))

    def renew_every(self, seconds: float) -> None:
        """Renew the lease until it ends; what S3 refuses in passing is tried again the next time."""
        while not self._ended.wait(seconds):
            try:
                self._write(self._tenure)
            except LakeError:
                continue

    def give_back(self) -> None:
        """End the lease; the token stays, for the next holder to count on from."""
        self._ended.set()
        self._write(Tenure(self.token, None))

    def _write(self, tenure: Tenure) -> None:
        with self._writing:
            if self._gone or (self._ended.is_set() and tenure.holder is not None):
                return
            etag = self._bucket.replace(self._key, _dumped(tenure), etag=self._etag)
            if etag is None:
                # Ours all the same if the answer to our own write was lost on the way and it was tried again.
                found = self._bucket.version(self._key)
                etag = found.etag if _loaded(found) == tenure else None
            self._gone = etag is None
            self._etag = etag or self._etag


@contextmanager
def lease(bucket: Bucket, key: str, holder: dict[str, object], *, lasts_s: float) -> Iterator[Lease]:
    """Hold a lease, renewed three times within its length.

    Args:
        bucket: Where the lock is.
        key: The lock.
        holder: Who takes it.
        lasts_s: How long a holder may be silent.

    Raises:
        HeldError: Somebody else holds it.
        LakeAccessError: S3 refuses.
    """
    held = _taken(bucket, key, holder, lasts_s)
    thread = threading.Thread(target=held.renew_every, args=(lasts_s / 4,), daemon=True)
    thread.start()
    try:
        yield held
    finally:
        held.give_back()
        thread.join()


def _taken(bucket: Bucket, key: str, holder: dict[str, object], lasts_s: float) -> Lease:
    while True:
        try:
            found = bucket.version(key)
        except FileNotFoundError:
            tenure = Tenure(1, holder)
            if bucket.create(key, _dumped(tenure)):
                return Lease(bucket, key, tenure, bucket.version(key).etag, None)
            continue
        before = _loaded(found)
        if before.holder is not None and found.age_s < lasts_s and not _died_here(before.holder):
            raise HeldError(before.holder, lasts_s - found.age_s)
        tenure = Tenure(before.token + 1, holder)
        etag = bucket.replace(key, _dumped(tenure), etag=found.etag)
        if etag is not None:
            return Lease(bucket, key, tenure, etag, before.holder)


def _died_here(holder: dict[str, object]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    if holder.get("host") != os.uname().nodename:
        return False
    try:
        os.kill(int(str(holder["pid"])), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _dumped(tenure: Tenure) -> bytes:
    return json.dumps(asdict(tenure)).encode()


def _loaded(version: Version) -> Tenure:
    return Tenure(**json.loads(version.content))
