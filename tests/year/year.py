"""The year itself: the clock steps from week to week, things go wrong as planned, and every week is held to account."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from resources.eia.calendar import due
from resources.lake import Lake
from resources.sagemaker.local.clients import register_own_images
from tests.refreshes import ENDPOINT
from tests.year.accounts import Accounts
from tests.year.client import Client
from tests.year.figures import SPOILED, Figures, Rows
from tests.year.inbox import Inbox
from tests.year.ledger import Entry, Ledger
from tests.year.machine import SERIES, SETTINGS, Disk, Step, YearError, YearMachine, in_time, wait
from tests.year.plan import BAD_MODEL, CHANNEL_DOWN, HOLIDAY, SPOILS, Fault, Plan
from tests.year.said import Outbox
from tests.year.source import Publication, Source
from tests.year.strikes import Strikes
from tests.year.undisturbed import Undisturbed

MENDED = timedelta(hours=4)  # after the release is due: what was wrong with it is mended, or it is revised
LATE = timedelta(hours=27)  # before its absence makes the forecast stale
EVENING = timedelta(hours=8)
BAD_TRAINING = Path(__file__).with_name("bad_training.py")
_LOST_S = 600.0  # a week that is not done after this long is lost


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
        self.plan = plan
        self.source, self.inbox, self.machine, self.console = source, inbox, machine, console
        revised: dict[date, Rows] = {}
        plain = Figures(shared, SERIES)
        for fault in plan.all:
            if fault.kind == "revised":
                revised[fault.week] = plain.revision(fault.week, fault.chance())
        self.figures = Figures(shared, SERIES, revised)
        self.revised = revised
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.client = Client(machine.platform.sagemaker.root, ENDPOINT, SERIES)
        self.lake: Lake = machine.platform.lake
        self.outbox = Outbox(self.lake.root)
        self.undisturbed = Undisturbed(folder / "undisturbed", shared=shared, series=SERIES, settings=SETTINGS)
        self.strikes = Strikes(machine, self.client, disk)
        self.accounts = Accounts(
            plan,
            machine,
            client=self.client,
            inbox=inbox,
            outbox=self.outbox,
            ledger=self.ledger,
            undisturbed=self.undisturbed,
            console=console,
        )
        self.tally = self.accounts.tally
        self._entries: dict[Fault, Entry] = {}
        self._missed: list[Fault] = []
        self._strikers: list[threading.Thread] = []
        self._struck_wrong: list[str] = []
        self._expected_runs: Counter[date] = Counter()
        self._is_revised: set[date] = set()

    # -- the whole ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All weeks, and the account at the end."""
        self._publish(self.plan.weeks[0], {})  # a lake begins with the newest week that there is
        with self.undisturbed.running(self.plan.weeks, self.revised):
            self.machine.boots()
            self.client.start()
            for number, week in enumerate(self.plan.weeks, start=1):
                began = time.monotonic()
                self._week(week)
                names = ", ".join(fault.name for fault in self._faults_of(week)) or "-"
                size = sum(self.accounts.sizes[-1][1].values()) / 1e6
                self.console.print(
                    f"[{number}/{len(self.plan.weeks)}] {week} in {time.monotonic() - began:.0f} s, {size:.0f} MB, "
                    f"{self.client.asked} requests: {names}",
                    markup=False,
                )
            self.accounts.at_the_end()

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
        self.accounts.after(week, made=self._expected_runs[week])

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
            # The sensor reads the release before it asks for the run, which then reads it too.
            after = "" if fault.at == "asked by the sensor" else f"week {fault.week}"
            self.source.misbehave(fault.kind, times, after=after)
        elif fault.at == "before the release":
            self._strike(fault, None)
        elif fault.stage or fault.at in {"release", "tuning_trials", "candidate_model"}:
            striker = threading.Thread(target=self._strike_in_step, args=(fault, fault.stage or fault.at), daemon=True)
            striker.start()
            self._strikers.append(striker)

    def _strike(self, fault: Fault, step: Step | None) -> None:
        self._entries[fault].began = time.monotonic()
        self.strikes.strike(fault, self._entries[fault], step)

    def _strike_in_step(self, fault: Fault, name: str) -> None:
        try:
            step = self.machine.in_step(fault.week, name, limit_s=_LOST_S)
        except YearError as error:
            self._entries[fault].evidence["missed"] = str(error)
            self._missed.append(fault)
            return
        try:
            self._strike(fault, step)
        except (YearError, OSError, AssertionError, subprocess.SubprocessError, pytest.fail.Exception) as error:
            self._struck_wrong.append(f"{fault.name} of {fault.week}: {error}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(step.pid, signal.SIGCONT)

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
        # What a sensor starts is there before it asks again.
        wait(lambda: self.source.position > position + 2, "more questions")
        self._wait_until_idle()
        started = {run.run_id for run in self.machine.runs_of(week, "weekly_refresh")} - runs
        entry.hit(answers=self.source.counted(position))
        if started:
            self.tally.duplicate.append(f"{week}: the same values in other bytes started {', '.join(started)}")
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
            self.machine.take_image(BAD_TRAINING)
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
            if answered:
                entry.hit(answers=answered)
            self.source.behave()
        if entry.struck and not entry.healed_by:
            runs = [run for run in self.machine.runs_of(week) if run.job_name == "weekly_refresh"]
            entry.healed(f"the week was made in run {runs[0].run_id[:8]}, the {len(runs)}. of it" if runs else "-")
        for key in entry.alerts:
            in_time(partial(self._times_told, key, week), 60)
            entry.alerts[key] = self._times_told(key, week)
        self.ledger.write(entry)
