"""Dagster's runs, with their events and logs; the same for SQLite and PostgreSQL.

Of a week's runs of one job the newest that succeeded is its word: what the UI shows of the week's assets is from it. It
is kept longer than those that failed, were cancelled or were overtaken. Run keys of sensors go with their runs, which
starts nothing anew: a sensor asks the lake whether a week is done.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from resources.retention.removal import Ages, Removal, newest_change, size_of
from resources.tags import PARTITION_TAG

_PAGE = 200
_LOGS = {".out", ".err", ".complete", ".partial"}
_Key = tuple[str, str | None, frozenset[dg.AssetKey]]


@dataclass(frozen=True)
class _Ended:
    """A run that has ended. Runs of one `key` overtake each other: of a job, a week and a selection of assets."""

    run_id: str
    key: _Key
    succeeded: bool
    began: datetime

    @classmethod
    def of(cls, record: dg.RunRecord) -> Self:
        run = record.dagster_run
        key = (run.job_name, run.tags.get(PARTITION_TAG), frozenset(run.asset_selection or ()))
        return cls(run.run_id, key, run.is_success, record.create_timestamp)

    @property
    def name(self) -> str:
        """The run in words."""
        job, week, _ = self.key
        return f"{self.run_id[:8]} {job} {week or ''}".rstrip()


def old_runs(
    instance: dg.DagsterInstance,
    ages: Ages,
    *,
    is_ours: Callable[[dg.DagsterRun], bool],
    runs_weeks: int,
    failed_runs_weeks: int,
) -> Iterator[Removal]:
    """Runs that have ended and are kept no longer, the oldest first.

    The newest run of a job without weeks, such as the deployment, is kept whatever its age: there is one for each.

    Args:
        instance: Dagster's.
        ages: How old they are.
        is_ours: Whether a run is one of this project: an instance may be shared with others.
        runs_weeks: How long the word of a week is kept: its newest run that succeeded, or, where none did, the newest.
        failed_runs_weeks: How long other runs are kept.
    """
    ended = [  # the newest first
        _Ended.of(record)
        for record in _records(instance)
        if record.dagster_run.is_finished and is_ours(record.dagster_run)
    ]
    words: dict[_Key, str] = {}
    for each in [*(run for run in ended if run.succeeded), *ended]:
        words.setdefault(each.key, each.run_id)
    for run in reversed(ended):
        is_word = words[run.key] == run.run_id
        if is_word and run.key[1] is None:
            continue
        if ages.exceeds(run.began, max(runs_weeks, failed_runs_weeks) if is_word else failed_runs_weeks):
            size = sum(size_of(path) for path in (*_shard(instance, run.run_id), _logs(instance) / run.run_id))
            kind = "runs" if run.succeeded else "failed runs"
            yield Removal(kind, run.name, size, lambda run_id=run.run_id: _forget(instance, run_id))  # type: ignore[misc]


def stray_history(instance: dg.DagsterInstance, ages: Ages, *, weeks: int) -> Iterator[Removal]:
    """What no run refers to and nobody has written to for so many weeks: logs of ticks, and what deletions left."""
    runs = {record.dagster_run.run_id for record in _records(instance)}
    strays = [path for run_id in _sharded(instance) - runs for path in _shard(instance, run_id)]
    folders = (path for path in _logs(instance).glob("*") if path.name not in runs)
    # Pickles of other projects' assets may be beside the logs: those have other names.
    strays += [path for folder in folders for path in folder.rglob("*") if path.suffix in _LOGS and path.is_file()]
    for path in sorted(strays):
        written = newest_change(path)
        if written is not None and ages.exceeds(written, weeks):
            yield Removal("stray logs", path.name, size_of(path), lambda path=path: _unlink(path))  # type: ignore[misc]


def _records(instance: dg.DagsterInstance) -> Iterator[dg.RunRecord]:
    """Every run, the newest first."""
    cursor = None
    while page := instance.get_run_records(limit=_PAGE, cursor=cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove a run. Its record goes last but for an emptied file, so that who is killed before finds it again."""
    if instance.has_run(run_id):
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        storage = instance.event_log_storage
        storage.delete_events(run_id)
        if isinstance(storage, SqlEventLogStorage):  # Dagster leaves what checks said, and would show it without a run
            table = AssetCheckExecutionsTable
            with storage.index_connection() as connection:
                connection.execute(table.delete().where(table.c.run_id == run_id))
        instance.delete_run(run_id)
    for path in _shard(instance, run_id):
        path.unlink(missing_ok=True)


def _sharded(instance: dg.DagsterInstance) -> set[str]:
    """The runs that have a file of events; none where these are in tables of a server."""
    storage = instance.event_log_storage
    return set(storage.get_all_run_ids()) if isinstance(storage, SqliteEventLogStorage) else set()


def _shard(instance: dg.DagsterInstance, run_id: str) -> list[Path]:
    """The files of a run's events, where SQLite has one a run: emptied by Dagster, they keep their size."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return []
    file = Path(storage.path_for_shard(run_id))
    return [path for path in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))) if path.exists()]


def _logs(instance: dg.DagsterInstance) -> Path:
    """The folder of logs of runs and ticks, where they are on this machine."""
    return Path(instance.storage_directory())


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
