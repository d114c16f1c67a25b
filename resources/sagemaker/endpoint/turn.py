"""The turn to deploy: one deployment of an endpoint at a time, whoever started it; the others wait for theirs.

A deployment that another one overtakes would take its own model for one that failed. In a folder
`<lake>/_locks/endpoint=<name>` is locked until the process ends; in a bucket `endpoint=<name>.json` is a lease.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from resources.lake import Lake, LakeWriteError
from resources.sagemaker.endpoint.errors import EndpointBusyError

LEASE_S = 300.0
"""How long a deployment may be silent before another one may take its turn in a bucket."""

_POLL_S = 0.5


class _TakenError(Exception):
    """Somebody else has the turn."""


@contextmanager
def turn(lake: Lake, endpoint: str, *, max_wait_s: float, progress: Callable[[str], None]) -> Iterator[None]:
    """Wait for the turn to deploy to an endpoint, and have it within the block.

    Args:
        lake: Of the endpoint's models.
        endpoint: Its name.
        max_wait_s: Longest wait.
        progress: Told once if there is one.

    Raises:
        EndpointBusyError: The other deployment has not ended.
        LakeError: The lock cannot be written.
    """
    began, said = time.monotonic(), False
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(_taken(lake, endpoint))
                break
            except _TakenError:
                if time.monotonic() - began > max_wait_s:
                    raise EndpointBusyError(endpoint, max_wait_s) from None
            if not said:
                progress(f"endpoint {endpoint}: waiting for another deployment to end")
            said = True
            time.sleep(_POLL_S)
        yield


def _taken(lake: Lake, endpoint: str) -> AbstractContextManager[None]:
    key = f"_locks/endpoint={endpoint}"
    return _lease(lake, f"{key}.json") if lake.folder is None else _lock(lake.folder.root / key)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise LakeWriteError(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _TakenError from None
        yield


@contextmanager
def _lease(lake: Lake, key: str) -> Iterator[None]:
    from resources.lake.lease import HeldError, lease

    holder = {"pid": os.getpid(), "host": os.uname().nodename}
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lease(lake.bucket, key, holder, lasts_s=LEASE_S))
        except HeldError as error:
            raise _TakenError from error
        yield
