"""One function over many tasks, in processes that end with their caller and give the numbers it would give."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    workers: int,
    finished: Callable[[int, T], None] = lambda _done, _task: None,
) -> list[R]:
    """Give `function(task)` for every task, in the order of `tasks`, whatever the number of workers.

    Every call runs with single-threaded BLAS: two layers of parallelism fight for the same cores, and the
    number of threads can change the last digits of a result. Workers are spawned, so function, tasks and
    results must pickle; no state is inherited.

    Args:
        function: a module-level function without side effects.
        tasks: its arguments.
        workers: processes; 1 runs everything in this process.
        finished: called in this process after each task, in order of completion, with the number done and the
            task.

    Raises:
        ValueError: fewer than one worker.
        BaseException: whatever a task, the callback or a signal handler raises; tasks not yet begun are
            dropped and the workers have ended by then.
    """
    if workers < 1:
        raise ValueError(f"at least one worker is needed, got {workers}")
    if workers == 1 or len(tasks) < 2:
        results = []
        for done, task in enumerate(tasks, start=1):
            results.append(_call(function, task))
            finished(done, task)
        return results
    with _pool(min(workers, len(tasks))) as pool:
        futures = {pool.submit(_call, function, task): task for task in tasks}
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            finished(done, futures[future])
        return [future.result() for future in futures]


def _call(function: Callable[[T], R], task: T) -> R:
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which can only be limited once it is loaded
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        return function(task)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = get_context("spawn")
    lifeline, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(lifeline,))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        held.close()
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        held.close()
        lifeline.close()


def _begin(lifeline: Connection) -> None:
    """Tie a worker to its caller.

    The other end of the pipe is closed by the caller on an error, and by the kernel on the caller's death.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the caller decides what it means
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    wait([lifeline])
    os._exit(1)
