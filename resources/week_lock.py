"""The lock of a week: one run at a time makes a week of a lake, whoever started it.

In a folder `<lake>/_locks/week=2023-11-10` is locked for as long as the process of the run lives; the kernel lets go of
it however that process dies. In a bucket `<lake>/_locks/week=2023-11-10.json` is a lease, which a process that dies
lets run out. Readers never ask for either.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import dagster as dg

from resources.clock import Clock
from resources.lake import Lake, LakeError, LakeWriteError
from resources.tags import NO_RETRY, PARTITION_TAG

if TYPE_CHECKING:
    from resources.lake.s3 import Bucket

LEASE_S = 300.0
"""How long a run may be silent before another one may take its week in a bucket: a stalled request takes a minute."""


@dataclass(frozen=True)
class Holder:
    """The run that holds a week.

    Attributes:
        run_id: Dagster's id of it.
        pid: Its process.
        since: ISO time at which it took the week.
        host: The machine of the process; empty where a lock excludes processes of one machine only.
    """

    run_id: str
    pid: int
    since: str
    host: str = ""


class WeekBusyError(LakeError):
    """Another run makes the week.

    Attributes:
        week: Which.
        holder: The other run; None where it has not said who it is.
        until: When its hold runs out if it is not heard of until then; None where it lasts as long as the process.
    """

    def __init__(self, week: date, holder: Holder | None, *, until: datetime | None = None) -> None:
        self.week, self.holder, self.until = week, holder, until
        other, end, silence = "another run", "", ""
        if holder is not None:
            place = f" on {holder.host}" if holder.host else ""
            other = f"run {holder.run_id} (process {holder.pid}{place}, since {holder.since})"
            end = f", or end it with `kill {holder.pid}`{place}"
        if until is not None:
            silence = f" (should it have died there, the week is free from {until.isoformat(timespec='seconds')} on)"
        super().__init__(
            f"week {week} is being made by {other}; this run changed nothing. Wait until that one has ended{end}"
            f"{silence}, then run `forecast refresh --week {week}` if there is still need"
        )


class WeekLock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Held by every run that makes assets of a week, from its first step to its end.

    It excludes other processes and other runs of this one, so the steps of a run must share a process.

    Attributes:
        lake: Whose weeks.
        clock: What time it is.
    """

    lake: dg.ResourceDependency[Lake]
    clock: dg.ResourceDependency[Clock]

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WeekLock"]:
        """Hold the week of the run, and clear away what a dead run of it left.

        Raises:
            WeekBusyError: Another run holds it.
        """
        run = context.run
        if run is None or PARTITION_TAG not in run.tags:
            yield self
            return
        week = date.fromisoformat(run.tags[PARTITION_TAG])
        since = self.clock.now().isoformat(timespec="seconds")
        try:
            with self._held(week, run.run_id, since) as lost:
                if lost is not None and context.instance is not None:
                    _end_record(context.instance, lost, by=run.run_id)
                yield self
        except WeekBusyError:
            if context.instance is not None:  # Dagster would take it for a crash and try again
                context.instance.add_run_tags(run.run_id, NO_RETRY)
            raise

    @contextmanager
    def _held(self, week: date, run_id: str, since: str) -> Iterator[Holder | None]:
        """Hold a week where the lake is; yields who held it last, if that process died with it."""
        folder = self.lake.folder
        if folder is None:
            me = Holder(run_id, os.getpid(), since, os.uname().nodename)
            with hold_in_bucket(self.lake.bucket, week, me) as lost:
                yield lost
        else:
            with hold(folder.root / "_locks" / f"week={week}", week, Holder(run_id, os.getpid(), since)) as lost:
                folder.sweep(week)
                yield lost


@contextmanager
def hold_in_bucket(bucket: "Bucket", week: date, me: Holder, *, lasts_s: float = LEASE_S) -> Iterator[Holder | None]:
    """Hold a week of a lake in a bucket: within the block no other process writes its tables.

    Args:
        bucket: Where the lake is.
        week: Which.
        me: Who holds it from now on.
        lasts_s: How long this process may be silent.

    Yields:
        Who held it last, if that run died with it or lost it.

    Raises:
        WeekBusyError: Another run holds it.
        LakeAccessError: S3 refuses.
    """
    from resources.lake.lease import HeldError, lease

    key = f"_locks/week={week}.json"
    try:
        with lease(bucket, key, asdict(me), lasts_s=lasts_s) as held, bucket.guarded(week.isoformat(), held):
            yield None if held.lost is None else _holder(held.lost)
    except HeldError as error:
        until = datetime.now(UTC) + timedelta(seconds=error.left_s)
        raise WeekBusyError(week, _holder(error.holder), until=until) from error


@contextmanager
def hold(path: Path, week: date, me: Holder) -> Iterator[Holder | None]:
    """Hold the lock of a week.

    Args:
        path: Of the lock.
        week: Which.
        me: Who holds it from now on.

    Yields:
        Who held it last, if that process died with it.

    Raises:
        WeekBusyError: Another run holds it.
        LakeWriteError: The lock cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise LakeWriteError(path, error) from error
    with file:
        _take(file, week)
        lost = _named(file)
        try:
            _name(file, json.dumps(asdict(me)))
        except OSError as error:
            raise LakeWriteError(path, error) from error
        try:
            yield lost
        finally:
            file.truncate(0)  # whoever finds a name here later knows that its process died


def _take(file: IO[str], week: date) -> None:
    """Lock the file; whoever has it may need a moment to say who it is."""
    holder = None
    for _ in range(20):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _named(file)
            if holder is not None and _lives(holder.pid):  # a name left by a dead process is not the holder's
                break
            time.sleep(0.05)
        else:
            return
    raise WeekBusyError(week, holder)


def _named(file: IO[str]) -> Holder | None:
    file.seek(0)
    try:
        return _holder(json.load(file))
    except ValueError:
        return None


def _holder(said: object) -> Holder | None:
    try:
        return Holder(**said)  # type: ignore[arg-type]
    except TypeError:
        return None


def _name(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _end_record(instance: dg.DagsterInstance, lost: Holder, *, by: str) -> None:
    """Record that a run ended with its process: Dagster counts it as running for ever, and others queue behind it."""
    run = instance.get_run_by_id(lost.run_id)
    if run is not None and not run.is_finished:
        instance.add_run_tags(run.run_id, NO_RETRY)  # the run that found it does its work
        instance.report_run_failed(
            run, f"The process of this run ({lost.pid}) died or lost its week; run {by} takes it up."
        )
    if run is not None:  # its places among the jobs that may run at once: nobody else gives them back so soon
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
