"""Many tasks: order, progress, errors, and workers that end with their caller."""

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forecasting import parallel

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_the_tasks(workers):
    seen = []
    results = parallel.run(
        math.sqrt, [9.0, 4.0, 1.0], workers=workers, finished=lambda done, task: seen.append((done, task))
    )
    assert results == [3.0, 2.0, 1.0]
    assert [done for done, _ in seen] == [1, 2, 3]
    assert sorted(task for _, task in seen) == [1.0, 4.0, 9.0]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_reaches_the_caller(workers):
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        parallel.run(math.sqrt, [1.0, -1.0, 4.0], workers=workers)


def test_an_error_in_the_callback_does_not_wait_for_tasks_in_flight():
    def fail(_done, _task):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        parallel.run(time.sleep, [0.0, 60.0, 60.0, 60.0], workers=2, finished=fail)


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_is_refused(workers):
    with pytest.raises(ValueError, match="at least one worker"):
        parallel.run(math.sqrt, [1.0], workers=workers)


def test_no_task_gives_no_result():
    assert parallel.run(math.sqrt, [], workers=2) == []


def test_a_task_runs_with_one_blas_thread_in_this_process_and_gives_the_threads_back():
    import numpy as np  # noqa: F401  # its BLAS must be loaded to be counted
    from threadpoolctl import threadpool_info

    before = [library["num_threads"] for library in threadpool_info()]
    (inside,) = parallel.run(lambda _: threadpool_info(), [0], workers=1)
    assert {library["num_threads"] for library in inside if library["user_api"] == "blas"} == {1}
    assert [library["num_threads"] for library in threadpool_info()][: len(before)] == before


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda sign: sign.name)
def test_no_worker_outlives_its_caller(sign):
    script = (
        "import time; from forecasting import parallel\n"
        "parallel.run(time.sleep, [0, 0, 120, 120, 120], workers=2, finished=lambda *_: print('ready', flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as caller:
        assert caller.stdout.readline() == b"ready\n"
        caller.send_signal(sign)
        # Workers hold the other end of this pipe too: it ends when the last of them has.
        caller.communicate(timeout=30)
    assert caller.returncode != 0
