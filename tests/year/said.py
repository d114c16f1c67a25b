"""What the platform said was wrong, read off its outbox, and kept: settled alerts are cleared away in time."""

import contextlib
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

FOLDER = "_alerts/said"


@dataclass
class Said:
    """One time that something was wrong.

    Attributes:
        key: What is wrong.
        number: Which time.
        title: In a few words.
        week: The week it is about; None where it is about none.
        closed: Whether it is over.
    """

    key: str
    number: int
    title: str
    week: date | None
    closed: bool = False


class Outbox:
    """The alerts of a lake, those that are cleared away included, as far as they were looked at before.

    Args:
        lake: Its folder.
    """

    def __init__(self, lake: Path) -> None:
        self._folder = lake / FOLDER
        self._found: dict[tuple[str, str], Said] = {}

    def look(self) -> list[Said]:
        """All of them, the oldest of a key first."""
        for path in sorted(self._folder.glob("*/*.opened")):
            place = (path.parent.name, path.stem)
            with contextlib.suppress(OSError, ValueError):  # it is being written, or was just cleared away
                if place not in self._found:
                    alert = json.loads(path.read_text())["alert"]
                    week = date.fromisoformat(alert["week"]) if alert["week"] else None
                    self._found[place] = Said(alert["key"], int(path.stem), alert["title"], week)
                self._found[place].closed = self._found[place].closed or path.with_suffix(".closed").exists()
        return list(self._found.values())

    def of(self, week: date) -> list[Said]:
        """Those about a week."""
        return [each for each in self.look() if each.week == week]
