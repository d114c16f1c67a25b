"""Dagster's code server, mended: one error while it looks after its runs no longer ends that for good.

The server looks twice a second whether the process of a run has died, and notes it in Dagster's history. Where that
cannot be written just then (a full disk, a database that is away), Dagster lets the error end the thread that looks.
Later deaths go unnoticed there, and the server never ends: asked to, or left alone, it waits for that thread to find
that no run is left.
"""

import logging
from collections.abc import Callable

from dagster._grpc.server import DagsterApiServer

LOOK = DagsterApiServer._check_for_orphaned_runs  # noqa: SLF001 - Dagster offers no other way
"""Dagster's own look at its runs."""

_log = logging.getLogger("dagster.code_server")


def patient(look: Callable[[DagsterApiServer], None]) -> Callable[[DagsterApiServer], None]:
    """A look that an error does not end: the next one looks at the same runs. The first error in a row is logged."""
    failing = False

    def look_again(server: DagsterApiServer) -> None:
        nonlocal failing
        try:
            look(server)
            failing = False
        except Exception:  # noqa: BLE001 - whatever a history may raise
            if not failing:
                _log.exception("What became of a run cannot be noted; it is tried again")
            failing = True

    return look_again


def keep_looking_after_runs() -> None:
    """Have the code server that this process is, if it is one, look after its runs in spite of errors."""
    DagsterApiServer._check_for_orphaned_runs = patient(LOOK)  # type: ignore[method-assign,assignment]  # noqa: SLF001
