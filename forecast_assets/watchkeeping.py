"""What the doctor finds of what runs the platform: history, daemon, sensors, runs, disk, alerts, clock, landing."""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from forecast_assets.findings import Finding, State, asked
from forecast_assets.history import HistoryUnreachableError, dagster_home, database_said, postgres_of, write_errors
from forecast_assets.refresh import Platform
from forecast_assets.settings import Settings
from resources.alerts.channels import configured_channels
from resources.alerts.delivery import failing_channels
from resources.alerts.errors import VARIABLE
from resources.aws import asking, client

if TYPE_CHECKING:
    from dagster._core.scheduler.instigation import InstigatorState


_SILENT_S = 180.0
"""The daemon is heard of every thirty seconds; Dagster's own webserver gives it half an hour."""
_LONG_S = 6 * 3600.0
"""No run takes so long: a search may take two hours, and waits for its instance for as long again."""
_WAITS_S = 3600.0
_GIB = 2**30
_LOW_BYTES, _FULL_BYTES = 2 * _GIB, _GIB // 4


def examine_watch(platform: Platform) -> Iterator[Finding]:
    """Look at what runs the platform while nobody looks; a machine without a daemon is in order, and said to be so."""
    home = dagster_home(platform.lake)
    yield _code(platform.defs)
    yield from _of_dagster(platform, home)
    yield _disk(platform, home)
    yield asked("Alerts", lambda: _alerts(platform))
    yield _clock(platform)
    if platform.settings.watch.landing:
        yield asked("Landing", lambda: _landing(platform.settings))


def _code(defs: dg.Definitions) -> Finding:
    """Whether Dagster can load the code location; its processes do no other thing."""
    try:
        repository = defs.get_repository_def()
    except dg.DagsterError as error:
        return Finding("fail", "Code location", _first_line(str(error)), "See the message")
    names = [job for job in repository.job_names if not job.startswith("__")]
    return Finding("ok", "Code location", f"loads, with the jobs {', '.join(sorted(names))}")


def _of_dagster(platform: Platform, home: Path) -> Iterator[Finding]:
    if not (home / "dagster.yaml").exists():
        yield Finding("ok", "History", f"none in {home} yet", "`forecast refresh` or `forecast ui` begins it")
        return
    try:
        if (postgres := postgres_of(home)) is not None:
            postgres.check()
        with dg.DagsterInstance.from_config(str(home)) as instance:
            yield _schema(instance, postgres.where if postgres else f"SQLite in {home}")
            heard_s = _silence_s(instance)
            yield _daemon(instance, heard_s)
            watched = heard_s is not None and heard_s < _SILENT_S
            yield _watchers(platform.defs, instance, watched=watched)
            yield _runs(instance, watched=watched)
    except HistoryUnreachableError as error:
        yield Finding("fail", "History", str(error), "See the message")
    except write_errors() as error:
        yield Finding("fail", "History", f"{home}: {database_said(error)}", "See the message")
    except dg.DagsterInvalidConfigError as error:
        reason = error.errors[0].message if error.errors else str(error)
        yield Finding("fail", "History", f"{home}: {_first_line(reason)}", f"Correct {home / 'dagster.yaml'}")


def _schema(instance: dg.DagsterInstance, where: str) -> Finding:
    """Where the history is, and whether its tables are those of this Dagster."""
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        version = storage.alembic_version() if storage is not None else None
        if version is not None and version[0] != version[1]:
            return Finding(
                "fail",
                "History",
                f"{where} is of another version of Dagster: {version[0]}, not {version[1]}",
                "Stop the daemon, save the database, run `dagster instance migrate`",
            )
    return Finding("ok", "History", where)


def _silence_s(instance: dg.DagsterInstance) -> float | None:
    """Seconds since anything of the daemon was heard of; None where nothing ever was."""
    times = [heartbeat.timestamp for heartbeat in instance.get_daemon_heartbeats().values()]
    return time.time() - max(times) if times else None


def _daemon(instance: dg.DagsterInstance, heard_s: float | None) -> Finding:
    if heard_s is None:
        return Finding("ok", "Daemon", "none has run here: weeks are made by `forecast refresh` alone")
    ago = _ago(heard_s)
    if heard_s > _SILENT_S:
        # Whoever names a home keeps a daemon there; a lake's own home is where `forecast ui` was opened and closed.
        kept = bool(os.environ.get("DAGSTER_HOME"))
        return Finding(
            "fail" if kept else "warn",
            "Daemon",
            f"last heard of {ago} ago: no sensor, schedule or queued run is looked after",
            "Start the daemon" if kept else "Start `forecast ui` if weeks shall be made by themselves",
        )
    wrong = []
    for kind, status in instance.get_daemon_statuses().items():
        beat = status.last_heartbeat
        if beat is None or time.time() - beat.timestamp > _SILENT_S:
            wrong.append(f"{kind} is silent")
        elif beat.errors:
            wrong.append(f"{kind}: {_first_line(beat.errors[0].message)}")
    if wrong:
        return Finding("fail", "Daemon", "; ".join(wrong), "See the log of the daemon; restart it")
    return Finding("ok", "Daemon", f"every part of it well, heard of {ago} ago")


def _watchers(defs: dg.Definitions, instance: dg.DagsterInstance, *, watched: bool) -> Finding:
    """Whether every sensor and schedule of the code runs, and how its last tick ended."""
    declared = {
        each.name: each.default_status.value == "RUNNING" for each in (*(defs.sensors or ()), *(defs.schedules or ()))
    }
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    stopped = [name for name, runs in declared.items() if not _runs_now(states.get(name), default=runs)]
    failed = [text for name in declared if name in states and (text := _last_failure(instance, states[name]))]
    found = f"{len(declared) - len(stopped)} of {len(declared)} running"
    if failed:
        return Finding("fail", "Sensors", f"{found}; {'; '.join(failed)}", "The UI has every tick, under Automation")
    if stopped:
        return Finding("warn", "Sensors", f"{found}; stopped: {', '.join(stopped)}", "Start them in the UI")
    if not watched:
        return Finding("ok", "Sensors", f"{len(declared)} are there, and would run with a daemon")
    return Finding("ok", "Sensors", found)


def _runs_now(state: "InstigatorState | None", *, default: bool) -> bool:
    return default if state is None or state.status.value == "DECLARED_IN_CODE" else state.is_running


def _last_failure(instance: dg.DagsterInstance, state: "InstigatorState") -> str:
    """Why the last tick failed; empty where it did not."""
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    if not ticks or ticks[0].status.value != "FAILURE":
        return ""
    error = ticks[0].error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{state.instigator_name} failed {_ago(time.time() - ticks[0].timestamp)} ago: " + (
        _first_line(error.message) if error else "no reason is known"
    )


def _runs(instance: dg.DagsterInstance, *, watched: bool) -> Finding:
    status = dg.DagsterRunStatus
    records = instance.get_run_records(
        dg.RunsFilter(statuses=[status.QUEUED, status.NOT_STARTED, status.STARTING, status.STARTED, status.CANCELING]),
        limit=100,
    )
    wrong = []
    for record in records:
        run, age_s = record.dagster_run, time.time() - record.create_timestamp.timestamp()
        waits = run.status in {status.QUEUED, status.NOT_STARTED}
        what = f"{run.job_name} {run.tags.get('dagster/partition', '')}".strip()
        if waits and not watched:
            wrong.append(f"{what} ({run.run_id[:8]}) waits for a daemon")
        elif age_s > (_WAITS_S if waits else _LONG_S):
            wrong.append(f"{what} ({run.run_id[:8]}) is {run.status.value.lower()} for {_ago(age_s)}")
    if wrong:
        remedy = "Look at it in the UI, and terminate it if nothing works on it"
        return Finding("warn", "Runs", "; ".join(wrong), remedy if watched else "Start the daemon")
    waiting = sum(record.dagster_run.status == status.QUEUED for record in records)
    return Finding("ok", "Runs", f"{len(records) - waiting} in progress, {waiting} queued")


def _disk(platform: Platform, home: Path) -> Finding:
    """The least free space of where lake, jobs and history are."""
    places = [home] if platform.lake.folder is None else [home, platform.lake.root]
    free = {str(path): shutil.disk_usage(_existing(path)).free for path in places}
    path, least = min(free.items(), key=lambda item: item[1])
    state: State = "fail" if least < _FULL_BYTES else "warn" if least < _LOW_BYTES else "ok"
    remedy = "" if state == "ok" else "Free space: a full disk fails runs, and nothing half-written is kept"
    return Finding(state, "Disk", f"{least / _GIB:.1f} GiB free for {path}", remedy)


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _alerts(platform: Platform) -> Finding:
    channels = [channel.name for channel in configured_channels(platform.settings.alerts.topic_arn)]
    failing = failing_channels(platform.lake, channels)
    opened = platform.alerts.open_keys()
    found = f"{len(opened)} open, " + (f"sent to {', '.join(channels)}" if channels else "no channel takes them")
    if failing:
        reasons = "; ".join(f"{each.channel} fails since {each.since}: {each.reason}" for each in failing.values())
        remedy = "Mend the channel, then `forecast alerts test`"
        lasts = any(each.lasts for each in failing.values())
        return Finding("fail" if lasts else "warn", "Alerts", f"{found}. {reasons}", remedy)
    if not channels:
        remedy = f"Set {VARIABLE}, or topic_arn of the setting alerts"
        return Finding("warn" if opened else "ok", "Alerts", found, remedy)
    return Finding("warn" if opened else "ok", "Alerts", found, "`forecast alerts list` shows them" if opened else "")


def _clock(platform: Platform) -> Finding:
    now = platform.clock.now().isoformat(timespec="seconds")
    if platform.settings.now:
        return Finding("warn", "Clock", f"set to {now} by FORECAST_NOW", "Unset it: real weeks have real time")
    return Finding("ok", "Clock", now)


def _landing(settings: Settings) -> Finding:
    """Whether what others put there can be taken."""
    place = settings.watch.landing
    if not place.startswith("https://"):
        if not Path(place).is_dir():
            return Finding("fail", "Landing", f"{place} is no folder", "Make it, or correct FORECAST_WATCH__LANDING")
        if not os.access(place, os.R_OK | os.W_OK):
            return Finding("fail", "Landing", f"{place}: files cannot be taken from it", "Let the platform write it")
        return Finding("ok", "Landing", place)
    with asking("look at the landing queue"):
        queue: Any = client("sqs", settings.region)
        said = queue.get_queue_attributes(QueueUrl=place, AttributeNames=["ApproximateNumberOfMessages"])
    return Finding("ok", "Landing", f"{place}: {said['Attributes']['ApproximateNumberOfMessages']} messages wait")


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    span = timedelta(seconds=round(seconds))
    return (
        f"{span.days} days"
        if span.days > 1
        else f"{seconds / 3600:.1f} h"
        if seconds > 7200
        else f"{seconds / 60:.0f} min"
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300]
