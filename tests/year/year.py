"""The year itself: the clock steps from week to week, things go wrong as planned, and every week is held to account."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console

from forecast_assets import accuracy, changes
from resources.eia.calendar import due
from resources.lake import Lake
from resources.sagemaker.local.clients import register_own_images
from tests.daemon import Service
from tests.refreshes import ENDPOINT, end, processes_of
from tests.year.client import Client
from tests.year.figures import SPOILED, Figures, Rows
from tests.year.inbox import Inbox
from tests.year.ledger import Entry, Ledger
from tests.year.machine import SERIES, SETTINGS, Disk, Step, YearError, YearMachine, wait
from tests.year.plan import BAD_MODEL, CHANNEL_DOWN, HOLIDAY, SPOILS, Fault, Plan
from tests.year.said import Outbox
from tests.year.source import Publication, Source
from tests.year.undisturbed import numbers_of, write_spec

MENDED = timedelta(hours=4)  # after the release is due: what was wrong with it is mended, or it is revised
LATE = timedelta(hours=27)  # before its absence makes the forecast stale
EVENING = timedelta(hours=8)
ROOT = Path(__file__).resolve().parents[2]
_LOST_S = 600.0  # a week that is not done after this long is lost


@dataclass
class Tally:
    """What the last line says."""

    lost: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        return [*self.lost, *self.duplicate, *self.silent, *self.failed, *self.other]

    def __str__(self) -> str:
        counts = (len(self.lost), len(self.duplicate), len(self.silent), len(self.failed))
        said = "lost {}, duplicate {}, silent {}, failed requests {}".format(*counts)
        return said + (f", other {len(self.other)}" if self.other else "")


class Year:
    """A year of weeks.

    Args:
        plan: What goes wrong.
        shared: The folder of real figures.
        folder: Where everything is kept; the lake on `disk`.
        disk: A file system of its own where this machine allows it, else a folder.
        source: EIA.
        inbox: Whom alerts reach.
        machine: The platform.
        console: Told of every week.
    """

    def __init__(
        self,
        plan: Plan,
        shared: Path,
        folder: Path,
        *,
        disk: Disk,
        source: Source,
        inbox: Inbox,
        machine: YearMachine,
        console: Console,
    ) -> None:
        self.plan, self.folder, self.disk = plan, folder, disk
        self.source, self.inbox, self.machine, self.console = source, inbox, machine, console
        revised: dict[date, Rows] = {}
        plain = Figures(shared, SERIES)
        for fault in plan.all:
            if fault.kind == "revised":
                revised[fault.week] = plain.revision(fault.week, fault.chance())
        self.figures = Figures(shared, SERIES, revised)
        self.shared, self.revised = shared, revised
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.tally = Tally()
        self.client = Client(machine.platform.sagemaker.root, ENDPOINT, SERIES)
        self.lake: Lake = machine.platform.lake
        self.outbox = Outbox(self.lake.root)
        self.undisturbed = Lake(uri=str(folder / "undisturbed" / "lake"))
        self.sizes: list[tuple[date, dict[str, int]]] = []
        self._entries: dict[Fault, Entry] = {}
        self._missed: list[Fault] = []
        self._strikers: list[threading.Thread] = []
        self._struck_wrong: list[str] = []
        self._compared: set[date] = set()
        self._expected_runs: Counter[date] = Counter()
        self._is_revised: set[date] = set()

    # -- the whole ---------------------------------------------------------------------------------------------------

    def run(self) -> Tally:
        """All weeks, and the account at the end."""
        self._publish(self.plan.weeks[0], {})  # a lake begins with the newest week that there is
        with self._undisturbed_year():
            self.machine.boots()
            self.client.start()
            for number, week in enumerate(self.plan.weeks, start=1):
                began = time.monotonic()
                self._week(week)
                names = ", ".join(fault.name for fault in self._faults_of(week)) or "-"
                size = sum(self.sizes[-1][1].values()) / 1e6
                self.console.print(
                    f"[{number}/{len(self.plan.weeks)}] {week} in {time.monotonic() - began:.0f} s, {size:.0f} MB, "
                    f"{self.client.asked} requests: {names}",
                    markup=False,
                )
            self._end()
        return self.tally

    @contextlib.contextmanager
    def _undisturbed_year(self) -> Iterator[None]:
        """The same weeks in a process beside this one."""
        folder = self.folder / "undisturbed"
        figures = folder / "figures"
        figures.mkdir(parents=True)
        write_spec(
            folder / "spec.json", shared=self.shared, series=SERIES, weeks=list(self.plan.weeks), revised=self.revised
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
        environment = {
            **kept,
            **SETTINGS,
            "FORECAST_LAKE_URI": self.undisturbed.uri,
            "FORECAST_EIA_SOURCE": str(figures),
            "FORECAST_NOW": str(folder / "now"),
            "PYTHONWARNINGS": "ignore",
        }
        arguments = [str(folder / "spec.json"), str(folder / "now"), str(figures / f"{SERIES}w.xls")]
        with (folder / "log").open("wb") as log:
            self._other = subprocess.Popen(
                ["nice", "-n", "10", sys.executable, "-m", "tests.year.undisturbed", *arguments],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            self._other.kill()
            self._other.wait()
            end(processes_of(self.undisturbed.root))

    # -- a week ------------------------------------------------------------------------------------------------------

    def _faults_of(self, week: date) -> list[Fault]:
        return [fault for fault in self._entries if fault.week == week]

    def _week(self, week: date) -> None:
        faults = [*self.plan.of(week), *(replace(each, week=week) for each in self._missed)]
        self._missed = []
        self._entries |= {fault: self.ledger.open(fault) for fault in faults}
        kinds = {fault.kind: fault for fault in faults}
        self._expected_runs[week] = 1
        for fault in faults:
            self._begin(fault)
        if week != self.plan.weeks[0]:
            self._publish(week, kinds)
        if BAD_MODEL in kinds:
            self._bad_model(week, kinds[BAD_MODEL])
        self._done(week)
        if CHANNEL_DOWN in kinds:
            self._channel_recovers(week, kinds[CHANNEL_DOWN])
        if "repeated" in kinds:
            self._repeated(week, kinds["repeated"])
        if "revised" in kinds:
            self._revised(week, kinds["revised"])
        for fault in faults:
            if fault.at == "after the deployment":
                self._strike(fault, None)
        self._strikers_end()
        self._done(week)
        for fault in faults:
            self._settle(fault)
        self._hold_to_account(week)

    def _publish(self, week: date, kinds: Mapping[str, Fault]) -> None:
        """Release a week, in whichever way, and bring the clock there."""
        first = self.figures.release(self.figures.vintage(week, revised=False))
        spoilt = next((kinds[kind] for kind in SPOILS if kind in kinds), None)
        if spoilt is not None:
            self._refused_release(week, spoilt, first)
        elif "late release" in kinds:
            self._late_release(week, kinds["late release"], first)
        else:
            self._release(due(week), first, f"week {week}")
            if HOLIDAY in kinds:
                self._holiday_shift(week, kinds[HOLIDAY])
            self._step_to(due(week))

    def _strikers_end(self) -> None:
        """Wait for what strikes in a step.

        Raises:
            YearError: It could not do what it was to do.
        """
        for striker in self._strikers:
            striker.join()
        self._strikers = []
        if self._struck_wrong:
            raise YearError("; ".join(self._struck_wrong))

    def _release(self, since: datetime, content: bytes, what: str) -> None:
        self.source.publish(Publication(since, content, what))

    def _step_to(self, now: datetime) -> None:
        self.machine.set_clock(now + timedelta(minutes=1))

    def _begin(self, fault: Fault) -> None:
        """What is set up before the release; what strikes in a step waits for it in a thread of its own."""
        if fault.kind == CHANNEL_DOWN:
            self.inbox.break_down()
        elif fault.kind in {"5xx", "hang"}:
            chance = fault.chance()
            times = chance.randrange(4, 10) if fault.kind == "5xx" else 1
            self._entries[fault].evidence["answers before"] = after = 0 if fault.at == "asked by the sensor" else 2
            self.source.misbehave(fault.kind, times, after=after)
        elif fault.at == "before the release":
            self._strike(fault, None)
        elif fault.stage or fault.at in {"release", "tuning_trials", "candidate_model"}:
            striker = threading.Thread(target=self._strike_in_step, args=(fault, fault.stage or fault.at), daemon=True)
            striker.start()
            self._strikers.append(striker)

    def _strike_in_step(self, fault: Fault, name: str) -> None:
        try:
            step = self.machine.in_step(fault.week, name, limit_s=_LOST_S)
        except YearError as error:
            self._entries[fault].evidence["missed"] = str(error)
            self._missed.append(fault)
            return
        try:
            self._strike(fault, step)
        except (YearError, OSError, AssertionError) as error:
            self._struck_wrong.append(f"{fault.name} of {fault.week}: {error}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(step.pid, signal.SIGCONT)

    # -- what strikes the machine ------------------------------------------------------------------------------------

    def _strike(self, fault: Fault, step: Step | None) -> None:
        entry = self._entries[fault]
        entry.began = time.monotonic()
        match fault.kind:
            case "daemon killed":
                self._go_on(step)
                self._kill_a_service(entry, self.machine.daemon, self.machine.daemon_is_ready, fault)
            case "webserver restarted":
                self._go_on(step)
                self._restart_the_webserver(entry)
            case "endpoint process killed":
                self._go_on(step)
                self._kill_the_endpoint(entry)
            case "disk full":
                self._fill_the_disk(entry, step)
            case _:
                assert step is not None
                os.kill(step.pid, signal.SIGKILL)
                wait(lambda: not _lives(step.pid), f"end of process {step.pid}", 30)
                entry.hit(run=step.run_id[:8], gone=step.pid)

    def _go_on(self, step: Step | None) -> None:
        """Only the disk and the worker are struck while a step stands still."""
        if step is not None:
            os.kill(step.pid, signal.SIGCONT)

    def _kill_a_service(self, entry: Entry, service: Service, ready: Callable[[], None], fault: Fault) -> None:
        pid = service.pid
        service.kill()
        entry.hit(gone=pid, exit=service.process.returncode if service.process else None)
        time.sleep(fault.chance().uniform(1, 5))  # what an init system waits before it starts it again
        service.start()
        ready()
        entry.healed(f"started again as {service.pid}")

    def _restart_the_webserver(self, entry: Entry) -> None:
        service = self.machine.webserver
        pid = service.pid
        service.stop()
        entry.hit(gone=pid)
        service.start()
        self.machine.webserver_is_ready()
        entry.healed(f"answers as {service.pid}")

    def _kill_the_endpoint(self, entry: Entry) -> None:
        pid = wait(lambda: self.machine.child("endpoint", ENDPOINT), "serving process", 60)
        asked, newest = self.client.asked, self.client.newest
        self.client.endpoint_is_killed()
        os.kill(pid, signal.SIGKILL)
        wait(lambda: not _lives(pid), f"end of process {pid}", 30)
        entry.hit(gone=pid)
        wait(lambda: self.machine.child("endpoint", ENDPOINT) not in {None, pid}, "new serving process", 60)
        wait(lambda: self.client.asked > asked + 5 and self.client.newest, "answers", 60)
        assert newest is not None
        entry.healed(f"its supervisor started {self.machine.child('endpoint', ENDPOINT)}")

    def _fill_the_disk(self, entry: Entry, step: Step | None) -> None:
        logs = [service.log for service in self.machine.services]
        before = {path: path.stat().st_size for path in logs}
        entry.hit(write=self.disk.fill())
        try:
            self._go_on(step)
            if step is None:
                self._step_to(due(date.fromisoformat(entry.week)))

            def said() -> str:
                for path in logs:
                    text = path.read_bytes()[before[path] :].decode(errors="replace")
                    for words in ("No space left on device", "database or disk is full"):
                        if words in text:
                            return words
                return ""

            entry.hit(platform=wait(said, "word of the full disk", 90))
            time.sleep(5)  # it stays full for some ticks of every sensor
        finally:
            self.disk.empty()
        if not self.machine.daemon.runs():  # an init system starts it again
            entry.evidence["daemon ended"] = (
                self.machine.daemon.process.returncode if self.machine.daemon.process else None
            )
            self.machine.daemon.start()
            self.machine.daemon_is_ready()

    # -- what happens to the release ---------------------------------------------------------------------------------

    def _refused_release(self, week: date, fault: Fault, first: bytes) -> None:
        entry = self._entries[fault]
        spoilt = SPOILED[fault.kind](self.figures, week, fault.chance())
        assert spoilt != first
        position = self.source.position
        before = set(self._said_of(week))
        self.source.publish(Publication(due(week), spoilt, f"{fault.kind} of {week}"))
        entry.began = time.monotonic()
        self._step_to(due(week))
        found = wait(lambda: set(self._said_of(week)) - before, f"alert of the {fault.kind} of {week}")
        served = {name: times for name, times in self.source.counted(position).items() if fault.kind in name}
        if any(name.startswith("200") for name in served):
            entry.hit(answers=served)
        for key in found:
            entry.alerts[key] = 0
        if self.lake.has("forecast", week):
            self.tally.other.append(f"{week} has a forecast although its release was refused ({fault.kind})")
        self._release(due(week) + MENDED, first, f"week {week}")
        self._step_to(due(week) + MENDED)

    def _late_release(self, week: date, fault: Fault, first: bytes) -> None:
        entry = self._entries[fault]
        position = self.source.position
        self._release(due(week) + LATE, first, f"week {week}")
        entry.began = time.monotonic()
        self._step_to(due(week) + EVENING)
        key = wait(lambda: next(iter(set(self._said_of(week))), None), f"alert of the late release of {week}")
        asked = [each for each in self.source.seen(position) if due(week) <= each.now < due(week) + LATE]
        if asked and not any(each.what == f"week {week}" for each in asked):
            entry.hit(asked_in_vain=len(asked))
        entry.alerts[key] = 0
        self._step_to(due(week) + LATE)

    def _holiday_shift(self, week: date, fault: Fault) -> None:
        """On the Wednesday evening of a week with a holiday EIA has nothing, and nobody is alarmed."""
        entry = self._entries[fault]
        position, wednesday = self.source.position, due(week) - timedelta(days=1)
        self._step_to(wednesday + EVENING)
        ticks = self._ticks_of_the_safety_net()
        wait(lambda: self._ticks_of_the_safety_net() > ticks + 1, "tick of the safety net", 200)
        asked = [each for each in self.source.seen(position) if each.now > wednesday]
        if due(week).weekday() == 3 and asked and not any(each.what == f"week {week}" for each in asked):
            entry.hit(asked_on_the_wednesday=len(asked))
        if alarmed := self._said_of(week):
            self.tally.other.append(f"{week} is a week with a holiday, and still: {', '.join(alarmed)}")

    def _ticks_of_the_safety_net(self) -> int:
        instance = self.machine.instance
        states = [each for each in instance.all_instigator_state() if each.instigator_name == "safety_net"]
        return sum(len(instance.get_ticks(state.instigator_origin_id, state.selector_id)) for state in states)

    def _repeated(self, week: date, fault: Fault) -> None:
        """The same values in other bytes, later: nothing is to start."""
        entry = self._entries[fault]
        entry.began = time.monotonic()
        position, runs = self.source.position, {run.run_id for run in self.machine.runs_of(week, "weekly_refresh")}
        again = self.figures.release(self.figures.vintage(week, revised=False), made=1)
        what = f"week {week} regenerated"
        self.source.publish(Publication(due(week) + MENDED, again, what))
        self._step_to(due(week) + MENDED)
        wait(lambda: self.source.counted(position).get(f"200 {what}", 0), "question for the regenerated release")
        wait(lambda: self.source.position > position + 4, "more questions")
        time.sleep(10)
        self._wait_until_idle()
        started = [
            run for run in self.machine.runs()[: len(self.machine.runs()) - runs] if run.job_name == "weekly_refresh"
        ]
        entry.hit(answers=self.source.counted(position))
        if started:
            self.tally.duplicate.append(
                f"{week}: a regenerated release with the same values started {started[0].run_id}"
            )
        else:
            entry.healed("nothing started")

    def _revised(self, week: date, fault: Fault) -> None:
        """Other values, a few hours later: the week is made anew."""
        entry = self._entries[fault]
        entry.began = time.monotonic()
        position = self.source.position
        self._expected_runs[week] += 1
        content = self.figures.release(self.figures.vintage(week))
        self._is_revised.add(week)
        what = f"week {week} revised"
        self._release(due(week) + MENDED, content, what)
        self._step_to(due(week) + MENDED)
        wait(lambda: self.source.counted(position).get(f"200 {what}", 0), "question for the revised release")
        entry.hit(answers=self.source.counted(position), values=len(self.revised[week]))
        self._done(week)
        entry.healed("the week was made anew from the revised values")

    # -- the model and the channel -----------------------------------------------------------------------------------

    def _bad_model(self, week: date, fault: Fault) -> None:
        """The training image fits badly for a week: the gate refuses, and an operator's refresh mends it."""
        entry = self._entries[fault]
        entry.began = time.monotonic()
        self._expected_runs[week] = 1
        before = self.machine.platform.registry.newest("Approved")
        assert before is not None

        def refused() -> bool:
            # Every new process of the platform says anew which commands its images are.
            self.machine.take_image("-m", "tests.year.bad_training")
            return self.machine.platform.is_refused(week)

        wait(refused, f"refusal of the bad model of {week}")
        wait(lambda: self._said_of(week), f"alert of the bad model of {week}")
        self._wait_until_idle()
        after, newest = self.machine.platform.registry.newest("Approved"), self.client.newest
        entry.hit(gate=f"refused, version {after.version if after else None} stays")
        for key in self._said_of(week):
            entry.alerts[key] = 0
        if after != before or newest is None or newest.cutoff != str(before.week):
            self.tally.other.append(f"{week}: the gate refused, and still {after} is approved and {newest} served")
        register_own_images(self.machine.platform.sagemaker.root, "local/forecast-{image}:latest")
        self.machine.operator("refresh", "--week", str(week), "--force")
        entry.healed("`forecast refresh --force`, once the image was mended")
        self._expected_runs[week] = 1

    def _channel_recovers(self, week: date, fault: Fault) -> None:
        entry = self._entries[fault]
        refused = wait(lambda: self.inbox.refused, "message that is turned away")
        entry.hit(turned_away=len(refused), status=500)
        self.inbox.recover()
        for key in self._said_of(week):
            entry.alerts[key] = 0
        wait(
            lambda: all(self._times_told(key, week) >= 1 for key in entry.alerts), "messages after the channel is back"
        )
        entry.healed("what waited was sent")

    # -- what is waited for ------------------------------------------------------------------------------------------

    def _done(self, week: date) -> None:
        """Wait until a week is made from its last release, and served.

        Raises:
            YearError: It is not.
        """

        def look() -> bool:
            return self._is_made(week) and self._is_served(week) and self.machine.is_idle()

        try:
            wait(look, f"forecast of {week}", _LOST_S)
        except YearError:
            self.tally.lost.append(f"{week} has no forecast that is served after {_LOST_S:.0f} s")
            raise

    def _is_made(self, week: date) -> bool:
        """Whether a week has all its tables, from the values of the last release of it that was published."""
        try:
            if not self.machine.platform.is_replayed(week):
                return False
            table = self.lake.read("observations", week)
        except (OSError, ValueError):  # it is being written
            return False
        known = dict(zip(table["ds"].dt.date, table["y"], strict=True))
        return known == self.figures.vintage(week, revised=week in self._is_revised)

    def _is_served(self, week: date) -> bool:
        newest = self.client.newest
        if newest is None or newest.cutoff != str(week):
            return False
        return abs(newest.mean - self._first_mean(week)) <= 1e-9 * abs(newest.mean)

    def _first_mean(self, week: date) -> float:
        table = self.lake.read("forecast", week)
        return float(table.loc[table["horizon"] == 1, "mean"].iloc[0])

    def _wait_until_idle(self) -> None:
        wait(self.machine.is_idle, "end of the runs", _LOST_S)

    # -- alerts ------------------------------------------------------------------------------------------------------

    def _said_of(self, week: date) -> list[str]:
        """The keys of what was said of a week."""
        return [each.key for each in self.outbox.of(week)]

    def _times_told(self, key: str, week: date) -> int:
        """How often somebody heard of what was said of a week, for each time that it was said: 1 is right."""
        accounts = [each for each in self.outbox.accounts(self.inbox.messages) if each.key == key and each.week == week]
        return max((each.times for each in accounts), default=0)

    # -- accounts ----------------------------------------------------------------------------------------------------

    def _settle(self, fault: Fault) -> None:
        """What became of a fault, once its week is done."""
        entry, week = self._entries[fault], fault.week
        if fault.kind in {"5xx", "hang"}:
            answered = {name: times for name, times in self.source.counted().items() if fault.kind in name}
            if answered and not self.source.misbehaves:
                entry.hit(answers=answered)
            self.source.behave()
        if entry.struck and not entry.healed_by:
            runs = [run for run in self.machine.runs_of(week) if run.job_name == "weekly_refresh"]
            entry.healed(f"the week was made in run {runs[0].run_id[:8]}, the {len(runs)}. of it" if runs else "-")
        for key in entry.alerts:
            self._wait_until(partial(self._times_told, key, week), 60)
            entry.alerts[key] = self._times_told(key, week)
        self.ledger.write(entry)

    def _hold_to_account(self, week: date) -> None:
        """What must hold after every week."""
        made = [day for day in self.lake.weeks("forecast") if day in self.plan.weeks]
        expected = [day for day in self.plan.weeks if day <= week]
        if made != expected or self.lake.weeks("forecast") != expected:
            self.tally.lost.append(f"after {week} there are forecasts of {', '.join(map(str, made))}")
        table = self.lake.read("forecast", week)
        if list(table["horizon"]) != list(range(1, len(table) + 1)) or table["ds"].duplicated().any():
            self.tally.duplicate.append(
                f"the forecast of {week} has {len(table)} rows of {table['ds'].nunique()} weeks"
            )
        runs = [
            run for run in self.machine.runs_of(week, "weekly_refresh") if run.status == dg.DagsterRunStatus.SUCCESS
        ]
        if len(runs) != self._expected_runs[week]:
            self.tally.duplicate.append(f"{week} was made {len(runs)} times, not {self._expected_runs[week]}")
        unfinished = [path for path in self.machine.unfinished() if path.parent.name == f"week={week}"]
        if unfinished:
            self.tally.other.append(f"{week} has half-written files: {unfinished}")
        self._compare()
        self.sizes.append((week, dict(self.machine.sizes())))

    def _compare(self) -> None:
        """Hold the weeks against the undisturbed ones, as far as those are made."""
        log = (self.folder / "undisturbed" / "log").read_text()
        finished = {line.removeprefix("week ") for line in log.splitlines() if line.startswith("week ")}
        for week in self.lake.weeks("forecast"):
            if week in self._compared or str(week) not in finished:
                continue
            expected, found = numbers_of(self.undisturbed, week), numbers_of(self.lake, week)
            self._compared.add(week)
            if expected != found:
                names = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
                self.tally.lost.append(f"{week} differs from the undisturbed week in {', '.join(names)}")

    def _end(self) -> None:
        """What must hold at the end."""
        wait(
            lambda: self._compare() or self._compared >= set(self.plan.weeks) or self._other.poll() is not None,
            "end of the undisturbed year",
            3600,
        )
        self._compare()
        if missing := set(self.plan.weeks) - self._compared:
            self.tally.other.append(f"the undisturbed year lacks {', '.join(map(str, sorted(missing)))}")
        stale = {*accuracy.stale_weeks(self.lake), *changes.stale_weeks(self.lake)}
        if stale:
            self.tally.other.append(f"not every forecast is scored in {', '.join(map(str, sorted(stale)))}")
        self.client.stop()
        self._services_stop()
        self._account_for_answers()
        self._account_for_alerts()
        self._account_for_sizes()
        self.tally.failed += [why for _, why in self.client.failed]
        if never := self.ledger.never_struck(self.plan):
            self.tally.other.append(f"never struck: {', '.join(never)}")
        self.tally.silent += [
            f"{entry.kind} of {entry.week}: {entry.alerts or 'not healed'}" for entry in self.ledger.silent
        ]

    def _services_stop(self) -> None:
        """Without Dagster's services nothing runs but what serves: the endpoint and the API."""
        for service in self.machine.services:
            service.stop()
        serving = {self.machine.supervisor("endpoint", ENDPOINT), self.machine.child("endpoint", ENDPOINT)}
        serving.add(self.machine.gateway())
        self._wait_until(lambda: set(self.machine.processes()) <= serving, 90)
        for pid, command in self.machine.processes().items():
            if pid not in serving:
                self.tally.other.append(f"process {pid} is an orphan: {command[:120]}")

    def _account_for_answers(self) -> None:
        """The endpoint never went back, and never answered what no week forecast."""
        cutoffs = [answer.cutoff for answer in self.client.answers]
        if cutoffs != sorted(cutoffs):
            self.tally.other.append(f"the endpoint went back to an older model: {cutoffs}")
        if set(cutoffs) != set(map(str, self.plan.weeks)):
            self.tally.other.append(f"the endpoint answered for {cutoffs}, not for every week")

    def _account_for_alerts(self) -> None:
        """Everything that was said came once, whatever it was of, and so did its end; nothing else came."""
        self._wait_until(lambda: all(each.times == 1 for each in self.outbox.accounts(self.inbox.messages)), 90)
        accounts, messages = self.outbox.accounts(self.inbox.messages), self.inbox.messages
        self.tally.silent += [f"{each}" for each in accounts if each.times == 0]
        self.tally.duplicate += [f"{each}" for each in accounts if each.times > 1]
        if (explained := sum(each.opened + each.over for each in accounts)) != len(messages):
            self.tally.other.append(f"{len(messages)} messages came, of which the outbox explains {explained}")
        lasting = ", ".join(f"{each.key} of {each.week}" for each in self.outbox.look() if not each.closed)
        self.console.print(f"{len(messages)} messages came; still open: {lasting or 'nothing'}", markup=False)

    def _wait_until(self, look: Callable[[], Any], limit_s: float) -> None:
        """Give something time; whether it came is asked after."""
        with contextlib.suppress(YearError):
            wait(look, "", limit_s)

    def _account_for_sizes(self) -> None:
        """State on the way levels off; tables grow by as much every week."""
        self.console.print("Bytes after each week, in MB:")
        for week, sizes in self.sizes[:: max(1, len(self.sizes) // 12)]:
            shown = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
            self.console.print(f"  {week}: {shown}", markup=False)
        if len(self.sizes) < 26:
            return
        half, last = len(self.sizes) // 2, len(self.sizes) - 1
        for name in ("dagster", "sagemaker", "models"):
            middle = max(sizes[name] for _, sizes in self.sizes[half - 8 : half])
            end_ = max(sizes[name] for _, sizes in self.sizes[last - 8 :])
            if end_ > 1.5 * middle + 5_000_000:
                self.tally.other.append(
                    f"{name} grows on: {middle / 1e6:.1f} MB at half the year, {end_ / 1e6:.1f} MB at its end"
                )


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
