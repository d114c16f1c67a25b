"""What must hold after every week and at the end, and what is counted where it does not."""

from dataclasses import dataclass, field
from datetime import date

import dagster as dg
from rich.console import Console

from forecast_assets import accuracy, changes
from tests.refreshes import ENDPOINT
from tests.year.approvals import ApprovedModels
from tests.year.client import Client
from tests.year.inbox import Inbox
from tests.year.ledger import Ledger
from tests.year.machine import SERIES, YearMachine, in_time, wait
from tests.year.plan import Plan
from tests.year.said import Outbox
from tests.year.undisturbed import Undisturbed, numbers_of


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


class Accounts:
    """Holds a year to account.

    Args:
        plan: What was to go wrong.
        machine: The platform.
        client: Who asked its endpoint.
        inbox: Who was told of alerts.
        outbox: What was to be told.
        ledger: What struck.
        undisturbed: What makes the same weeks undisturbed.
        console: Told of sizes.
    """

    def __init__(
        self,
        plan: Plan,
        machine: YearMachine,
        *,
        client: Client,
        inbox: Inbox,
        outbox: Outbox,
        ledger: Ledger,
        undisturbed: Undisturbed,
        console: Console,
    ) -> None:
        self._plan, self._machine, self._lake = plan, machine, machine.platform.lake
        self._client, self._inbox, self._outbox, self._ledger = client, inbox, outbox, ledger
        self._undisturbed, self._console = undisturbed, console
        self._compared: set[date] = set()
        self._approved = ApprovedModels(machine.platform, SERIES)
        self.sizes: list[tuple[date, dict[str, int]]] = []
        self.tally = Tally()

    def after(self, week: date, *, made: int) -> None:
        """What must hold after every week.

        Args:
            week: Which.
            made: How often it was to be made: once for each of its releases with other figures.
        """
        there = [day for day in self._lake.weeks("forecast") if day in self._plan.weeks]
        expected = [day for day in self._plan.weeks if day <= week]
        if there != expected or self._lake.weeks("forecast") != expected:
            self.tally.lost.append(f"after {week} there are forecasts of {', '.join(map(str, there))}")
        table = self._lake.read("forecast", week)
        if list(table["horizon"]) != list(range(1, len(table) + 1)) or table["ds"].duplicated().any():
            self.tally.duplicate.append(
                f"the forecast of {week} has {len(table)} rows of {table['ds'].nunique()} weeks"
            )
        runs = [
            run for run in self._machine.runs_of(week, "weekly_refresh") if run.status == dg.DagsterRunStatus.SUCCESS
        ]
        if len(runs) != made:
            self.tally.duplicate.append(f"{week} was made {len(runs)} times, not {made}")
        unfinished = [path for path in self._machine.unfinished() if path.parent.name == f"week={week}"]
        if unfinished:
            self.tally.other.append(f"{week} has half-written files: {unfinished}")
        self._compare()
        self._approved.note()
        self._outbox.look()
        self.sizes.append((week, dict(self._machine.sizes())))

    def _compare(self) -> None:
        """Hold the weeks against the undisturbed ones, as far as those are made."""
        finished = self._undisturbed.weeks
        for week in self._lake.weeks("forecast"):
            if week in self._compared or week not in finished:
                continue
            expected, found = numbers_of(self._undisturbed.lake, week), numbers_of(self._lake, week)
            self._compared.add(week)
            if expected != found:
                names = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
                self.tally.lost.append(f"{week} differs from the undisturbed week in {', '.join(names)}")

    def at_the_end(self) -> None:
        """What must hold at the end."""
        wait(
            lambda: self._compare() or self._compared >= set(self._plan.weeks) or self._undisturbed.has_ended,
            "end of the undisturbed year",
            3600,
        )
        self._compare()
        if missing := set(self._plan.weeks) - self._compared:
            self.tally.other.append(f"the undisturbed year lacks {', '.join(map(str, sorted(missing)))}")
        stale = {*accuracy.stale_weeks(self._lake), *changes.stale_weeks(self._lake)}
        if stale:
            self.tally.other.append(f"not every forecast is scored in {', '.join(map(str, sorted(stale)))}")
        self._client.stop()
        self._services_stop()
        self._account_for_answers()
        self._account_for_alerts()
        self._account_for_sizes()
        self.tally.failed += [why for _, why in self._client.failed]
        if never := self._ledger.never_struck(self._plan):
            self.tally.other.append(f"never struck: {', '.join(never)}")
        self.tally.silent += [
            f"{entry.kind} of {entry.week}: {entry.alerts or 'not healed'}" for entry in self._ledger.silent
        ]

    def _services_stop(self) -> None:
        """Without Dagster's services nothing runs but what serves: the endpoint and the API."""
        for service in self._machine.services:
            service.stop()
        serving = {self._machine.supervisor("endpoint", ENDPOINT), self._machine.child("endpoint", ENDPOINT)}
        serving.add(self._machine.gateway())
        in_time(lambda: set(self._machine.processes()) <= serving, 90)
        for pid, command in self._machine.processes().items():
            if pid not in serving:
                self.tally.other.append(f"process {pid} is an orphan: {command[:120]}")

    def _account_for_answers(self) -> None:
        """The endpoint answered with the newest approved model, soon after each approval, and with no other."""
        answers = self._client.answers
        self.tally.other += self._approved.wrong(answers)
        cutoffs = {answer.cutoff for answer in answers}
        if missing := sorted(set(map(str, self._plan.weeks)) - cutoffs):
            self.tally.other.append(f"the endpoint never answered for {', '.join(missing)}")
        self._console.print(self._approved.shown(answers))

    def _account_for_alerts(self) -> None:
        """Everything that was said came once, whatever it was of, and so did its end; nothing else came."""
        in_time(lambda: all(each.times == 1 for each in self._outbox.accounts(self._inbox.messages)), 90)
        accounts, messages = self._outbox.accounts(self._inbox.messages), self._inbox.messages
        self.tally.silent += [f"{each}" for each in accounts if each.times == 0]
        self.tally.duplicate += [f"{each}" for each in accounts if each.times > 1]
        if (explained := sum(each.opened + each.over for each in accounts)) != len(messages):
            self.tally.other.append(f"{len(messages)} messages came, of which the outbox explains {explained}")
        lasting = ", ".join(f"{each.key} of {each.week}" for each in self._outbox.look() if not each.closed)
        self._console.print(f"{len(messages)} messages came; still open: {lasting or 'nothing'}", markup=False)

    def _account_for_sizes(self) -> None:
        """State on the way levels off; tables grow by as much every week."""
        self._console.print("Bytes after each week, in MB:")
        for week, sizes in self.sizes[:: max(1, len(self.sizes) // 12)]:
            shown = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
            self._console.print(f"  {week}: {shown}", markup=False)
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
