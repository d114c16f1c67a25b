"""The ledger: of each fault whether it really struck, and what became of it. A line of JSON each, and a table."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.year.plan import Fault, Plan


@dataclass
class Entry:
    """What is known of a fault.

    Attributes:
        kind: Which.
        week: When.
        evidence: That it struck: the process that is gone, the status codes that were answered, ...
        struck: Whether it did.
        healed_by: What made up for it.
        healed_after_s: Seconds from its begin to that.
        alerts: The alerts that were to be said of it, with how often they came: 1 each.
    """

    kind: str
    week: str
    evidence: dict[str, Any] = field(default_factory=dict)
    struck: bool = False
    healed_by: str = ""
    healed_after_s: float | None = None
    alerts: dict[str, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def hit(self, **evidence: Any) -> None:
        """It struck, as this shows."""
        self.struck = True
        self.evidence |= evidence

    def healed(self, what: str) -> None:
        self.healed_by = what
        self.healed_after_s = round(time.monotonic() - self.began, 1)

    @property
    def settled(self) -> bool:
        """Whether it was made up for, and whatever was to be said of it was said once."""
        return bool(self.healed_by) and all(times == 1 for times in self.alerts.values())


class Ledger:
    """The entries of a year.

    Args:
        path: Of its lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        path.write_text("")

    def open(self, fault: Fault) -> Entry:
        """A fault begins."""
        entry = Entry(fault.name, fault.week.isoformat())
        self.entries.append(entry)
        return entry

    def write(self, entry: Entry) -> None:
        """All is known of it."""
        line = {name: value for name, value in asdict(entry).items() if name != "began"}
        with self.path.open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def never_struck(self, plan: Plan) -> list[str]:
        """The kinds of the plan that did not strike once."""
        struck = {entry.kind.partition(" (")[0] for entry in self.entries if entry.struck}
        return sorted(plan.kinds - struck)

    @property
    def silent(self) -> list[Entry]:
        """The faults that struck, and were neither made up for nor said once."""
        return [entry for entry in self.entries if entry.struck and not entry.settled]

    def show(self, console: Console) -> None:
        """The table of them all."""
        table = Table("Week", "Fault", "Struck", "Healed by", "After", "Alerts", box=None, header_style="bold")
        for row in self._rows():
            table.add_row(*row)
        console.print(table)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for entry in self.entries:
            evidence = ", ".join(f"{name} {value}" for name, value in entry.evidence.items())
            after = "" if entry.healed_after_s is None else f"{entry.healed_after_s:.0f} s"
            alerts = ", ".join(f"{key} x{times}" for key, times in entry.alerts.items())
            yield entry.week, entry.kind, evidence if entry.struck else "NO", entry.healed_by or "-", after, alerts
