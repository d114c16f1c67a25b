"""A lease on a week: one holder at a time, and whoever lost it writes nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest

from resources.aws import client
from resources.clock import Clock
from resources.lake import DamagedTableError, Lake, LakeAccessError, WeekLostError
from resources.lake.lease import HeldError, Lease, lease
from resources.lake.s3 import Bucket
from resources.week_lock import Holder, WeekBusyError, WeekLock, hold_in_bucket
from tests.s3 import REGION, S3

ROOT = Path(__file__).parents[3]
WEEK = date(2023, 11, 10)
KEY = f"_locks/week={WEEK}.json"
TABLE = f"forecast/week={WEEK}/data.parquet"
LONG = 3600.0
ME = {"run_id": "mine"}

# A process that takes the week, says whether it has it, then writes a table for every line that it is given.
HOLDER = f"""
import os, sys
from datetime import date
from resources.lake import Lake, LakeError
from resources.week_lock import Holder, hold_in_bucket
lake = Lake(uri=sys.argv[1])
me = Holder(sys.argv[2], os.getpid(), "2023-11-15T10:30:00+00:00", os.uname().nodename)
try:
    with hold_in_bucket(lake.bucket, date.fromisoformat("{WEEK}"), me, lasts_s=float(sys.argv[3])):
        print("held", flush=True)
        for line in sys.stdin:
            try:
                lake.write_bytes("{TABLE}", line.encode())
                print("written", flush=True)
            except LakeError as error:
                print(type(error).__name__, flush=True)
except LakeError as error:
    print(type(error).__name__, flush=True)
"""


class Process:
    """A process that holds the week, or was refused it."""

    def __init__(self, lake: Lake, s3: S3, name: str, *, lasts_s: float = LONG) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, lake.uri, name, str(lasts_s)],
            cwd=ROOT,
            env={**os.environ, **s3.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def writes(self, content: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{content}\n")
        self._process.stdin.flush()
        return self.says()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def dies(self) -> None:
        self._process.kill()
        self._process.communicate()

    def ends(self) -> None:
        self._process.communicate()


@contextmanager
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    try:
        yield started
    finally:
        for process in started:
            process.dies()


@pytest.fixture
def lake(bucket: Bucket) -> Lake:
    return Lake(uri=bucket.uri(""))


def held_by(bucket: Bucket) -> object:
    return json.loads(bucket.read(KEY))["holder"]


def test_it_is_held_once_and_given_back(bucket: Bucket) -> None:
    with lease(bucket, KEY, ME, lasts_s=LONG) as first:
        assert (first.token, first.lost) == (1, None)
        assert held_by(bucket) == ME
        with pytest.raises(HeldError) as caught, lease(bucket, KEY, {"run_id": "theirs"}, lasts_s=1):
            pass
        assert caught.value.holder == ME
        assert LONG - 60 < caught.value.left_s <= LONG, "it lasts as long as its holder said"
    assert held_by(bucket) is None
    with lease(bucket, KEY, ME, lasts_s=LONG) as second:
        assert (second.token, second.lost) == (2, None)


def test_of_several_takers_one_wins(bucket: Bucket) -> None:
    start, outcomes = threading.Barrier(6), []

    def take(number: int) -> None:
        start.wait()
        try:
            with lease(bucket, KEY, {"number": number}, lasts_s=LONG):
                outcomes.append("held")
                start.wait()
        except HeldError:
            outcomes.append("refused")
            start.wait()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held", *["refused"] * 5]


def test_a_silent_holder_loses_it_and_is_told_so(bucket: Bucket, s3: S3) -> None:
    """The first process sleeps: it neither renews nor notices how long."""
    passed = 0.0
    with lease(bucket, KEY, {"run_id": "slept"}, lasts_s=LONG, elapsed=lambda: passed) as first:
        with bucket.guarded(str(WEEK), first):
            bucket.write(TABLE, b"before it slept")
            s3.age(bucket, KEY, LONG - 60)
            with pytest.raises(HeldError), lease(bucket, KEY, ME, lasts_s=1):
                pass
            s3.age(bucket, KEY, 61)
        with lease(bucket, KEY, ME, lasts_s=LONG) as second:
            assert (second.token, second.lost) == (2, {"run_id": "slept"})
            passed = LONG + 1
            with bucket.guarded(str(WEEK), first), pytest.raises(WeekLostError, match="another run has taken over"):
                bucket.write(TABLE, b"late")
            assert bucket.read(TABLE) == b"before it slept"
            with bucket.guarded(str(WEEK), second):
                bucket.write(TABLE, b"of the second")
            first.give_back()
            assert held_by(bucket) == ME, "what is lost is not given back"
    assert bucket.read(TABLE) == b"of the second"


def test_a_holder_that_slept_and_lost_nothing_goes_on(bucket: Bucket, s3: S3) -> None:
    passed = 0.0
    with lease(bucket, KEY, ME, lasts_s=LONG, elapsed=lambda: passed) as held, bucket.guarded(str(WEEK), held):
        s3.age(bucket, KEY, 2 * LONG)
        passed = 2 * LONG
        bucket.write(TABLE, b"nobody came")
        with pytest.raises(HeldError), lease(bucket, KEY, ME, lasts_s=LONG):
            pass
    assert bucket.read(TABLE) == b"nobody came"


def test_a_lock_that_somebody_removed_is_lost(bucket: Bucket, s3: S3) -> None:
    passed = 0.0
    with lease(bucket, KEY, ME, lasts_s=LONG, elapsed=lambda: passed) as held:
        s3.client().delete_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{KEY}")
        passed = LONG
        with pytest.raises(WeekLostError):
            held.check()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": 1}'])
def test_what_is_no_lock_is_a_named_error(bucket: Bucket, content: bytes) -> None:
    bucket.write(KEY, content)
    said = rf"{KEY} is damaged .* delete it once no run makes this week"
    with pytest.raises(DamagedTableError, match=said), lease(bucket, KEY, ME, lasts_s=LONG):
        pass


# -- answers that are lost ------------------------------------------------------------------------------------------


@contextmanager
def losing_answers(s3: S3, bucket: Bucket) -> Iterator[None]:
    """Within the block every first PutObject is done and its answer lost, so that boto3 sends it again."""
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.exceptions import ConnectionClosedError
    from botocore.httpsession import URLLib3Session

    done: set[object] = set()
    session = URLLib3Session()

    def lose(request: AWSPreparedRequest, **_: object) -> None:
        if request.headers["amz-sdk-invocation-id"] not in done:
            done.add(request.headers["amz-sdk-invocation-id"])
            session.send(request)
            request.reset_stream()
            raise ConnectionClosedError(endpoint_url=s3.url)

    events = client("s3", REGION).meta.events
    events.register_last("before-send.s3.PutObject", lose)
    try:
        yield
    finally:
        events.unregister("before-send.s3.PutObject", lose)
        session.close()


def test_a_lease_whose_answers_are_lost_is_taken_renewed_and_given_back(bucket: Bucket, s3: S3) -> None:
    passed = 0.0
    with losing_answers(s3, bucket):
        with lease(bucket, KEY, ME, lasts_s=LONG, elapsed=lambda: passed) as first:
            assert (first.token, first.lost) == (1, None)
            passed = LONG
            first.check()
            assert held_by(bucket) == ME
        assert held_by(bucket) is None
        s3_lost = lease(bucket, KEY, {"run_id": "died"}, lasts_s=LONG)
        s3_lost.__enter__()
        s3.age(bucket, KEY, LONG + 1)
        with lease(bucket, KEY, ME, lasts_s=LONG) as third:
            assert (third.token, third.lost) == (3, {"run_id": "died"})
        s3_lost.__exit__(None, None, None)


# -- S3 away --------------------------------------------------------------------------------------------------------


def test_a_lease_outlasts_a_moment_without_s3(bucket: Bucket, s3: S3) -> None:
    def renewed(held: Lease) -> None:
        deadline = time.monotonic() + 60
        before = held._sent
        while held._sent == before:
            assert time.monotonic() < deadline, "it is not renewed"
            time.sleep(0.01)

    with lease(bucket, KEY, ME, lasts_s=2) as held, bucket.guarded(str(WEEK), held):
        renewed(held)
        with s3.away():
            before = held._sent
            with pytest.raises(LakeAccessError, match="AWS cannot be reached from here"):
                bucket.write(TABLE, b"nobody listens")
            assert held._sent == before
        renewed(held)
        bucket.write(TABLE, b"it is back")
    assert bucket.read(TABLE) == b"it is back"
    assert held_by(bucket) is None


def test_a_block_ends_as_it_ends_where_the_lease_cannot_be_given_back(bucket: Bucket, s3: S3) -> None:
    with lease(bucket, KEY, ME, lasts_s=LONG):
        away = s3.away()
        away.__enter__()
    away.__exit__(None, None, None)
    assert held_by(bucket) == ME, "it runs out by itself"


# -- in a run -------------------------------------------------------------------------------------------------------


def test_a_run_holds_its_week_writes_under_its_lease_and_ends_the_record_of_a_dead_one(lake: Lake, s3: S3) -> None:
    seen: list[object] = []

    @dg.asset(partitions_def=dg.WeeklyPartitionsDefinition(start_date="2023-01-06", day_offset=5))
    def table(week_lock: WeekLock) -> None:
        seen.append(held_by(lake.bucket))
        lake.write_bytes(TABLE, b"made")

    def run() -> dg.ExecuteInProcessResult:
        lock = WeekLock(lake=lake, clock=Clock(fixed="2023-11-16T00:00:00+00:00"))
        return dg.materialize(
            [table],
            resources={"week_lock": lock},
            partition_key=str(WEEK),
            instance=instance,
            raise_on_error=False,
        )

    with dg.DagsterInstance.ephemeral() as instance:
        dead = instance.create_run_for_job(dg.GraphDefinition(name="weekly").to_job())
        instance.report_run_canceling(dead)  # any status that is not an end
        gone = lease(lake.bucket, KEY, asdict(Holder(dead.run_id, 1, "long ago", "there")), lasts_s=LONG)
        gone.__enter__()
        refused = run()
        record = instance.get_run_by_id(refused.run_id)
        s3.age(lake.bucket, KEY, LONG + 1)
        done = run()
        ended = instance.get_run_by_id(dead.run_id)
        gone.__exit__(None, None, None)
    assert not refused.success
    assert record is not None
    assert record.tags["dagster/max_retries"] == "0"
    assert done.success
    assert [dict(holder)["run_id"] for holder in seen] == [done.run_id]  # type: ignore[call-overload]
    found = s3.client().head_object(Bucket=lake.bucket.name, Key=f"{lake.bucket.prefix}/{TABLE}")
    assert found["Metadata"]["lease"] == "2"
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.FAILURE


# -- processes ------------------------------------------------------------------------------------------------------


def test_of_two_processes_one_makes_the_week_and_the_other_is_told_who(lake: Lake, s3: S3) -> None:
    with processes() as started:
        started += [Process(lake, s3, name) for name in ("first", "second")]
        said = {process.says(): process for process in started}
        assert set(said) == {"held", "WeekBusyError"}
        holder = said["held"]
        me = Holder("mine", 1, "now", "here")
        with pytest.raises(WeekBusyError) as caught, hold_in_bucket(lake.bucket, WEEK, me):
            pass
        found = caught.value.holder
        assert found is not None
        assert (found.pid, found.host) == (holder.pid, os.uname().nodename)
        assert caught.value.until is not None
        assert caught.value.until > datetime.now(caught.value.until.tzinfo)
        for words in (
            f"week {WEEK} is being made by run {found.run_id} (process {holder.pid} on {found.host}, since 2023-11-15",
            f"or end it with `kill {holder.pid}` on {found.host}",
            f"the week is free from {caught.value.until.isoformat(timespec='seconds')} on",
        ):
            assert words in str(caught.value)
        holder.dies()  # kill -9
        with hold_in_bucket(lake.bucket, WEEK, me) as lost:
            assert lost == found, "a dead process of this machine holds nothing"


@pytest.mark.slow
def test_a_suspended_process_that_lost_the_week_writes_nothing(lake: Lake, s3: S3) -> None:
    with processes() as started:
        started.append(Process(lake, s3, "suspended", lasts_s=2))
        [process] = started
        assert process.says() == "held"
        assert process.writes("one") == "written"
        process.signal(signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while True:
            try:
                with hold_in_bucket(lake.bucket, WEEK, Holder("mine", os.getpid(), "now", "here")) as lost:
                    assert lost is not None
                    assert lost.run_id == "suspended"
                    process.signal(signal.SIGCONT)
                    assert process.writes("two") == "WeekLostError"
                    assert lake.read_bytes(TABLE) == b"one\n"
                    lake.write_bytes(TABLE, b"three\n")
                    assert process.writes("four") == "WeekLostError"
                    process.ends()
                break
            except WeekBusyError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    assert lake.read_bytes(TABLE) == b"three\n"
