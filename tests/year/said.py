"""What the platform said was wrong, read off its outbox, and kept: settled alerts are cleared away in time."""

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.year.inbox import Message

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


@dataclass(frozen=True)
class Account:
    """What was said of one thing in one week, and what came of it.

    Attributes:
        key: What is wrong.
        title: It in a few words.
        week: Of which week.
        said: How often it began.
        ended: How often it was over.
        opened: Messages that it began.
        over: Messages that it was over; what nobody could be told of before is told with its end.
    """

    key: str
    title: str
    week: date | None
    said: int
    ended: int
    opened: int
    over: int

    @property
    def times(self) -> int:
        """How often each was heard: 1 is right, 0 where something was never heard, more where anything came twice."""
        if self.opened > self.said or self.over > self.ended:
            return max(self.opened - self.said, self.over - self.ended) + 1
        return int(self.over == self.ended and self.opened >= self.said - self.ended)

    def __str__(self) -> str:
        of = f" of {self.week}" if self.week else ""
        return f"{self.key}{of}: said {self.said} times and over {self.ended} times, {self.opened} and {self.over} came"


class Outbox:
    """The alerts of a lake, those that are cleared away included, as far as they were looked at before.

    What is cleared away is forgotten: the same wrong thing is then number 1 again, and told apart by its time.

    Args:
        lake: Its folder.
    """

    def __init__(self, lake: Path) -> None:
        self._folder = lake / FOLDER
        self._found: dict[tuple[str, str, str], Said] = {}

    def look(self) -> list[Said]:
        """All of them, the oldest of a key first."""
        for path in sorted(self._folder.glob("*/*.opened")):
            with contextlib.suppress(OSError, ValueError):  # it is being written, or was just cleared away
                opened = json.loads(path.read_text())
                place = (path.parent.name, path.stem, opened["at"])
                if place not in self._found:
                    alert = opened["alert"]
                    week = date.fromisoformat(alert["week"]) if alert["week"] else None
                    self._found[place] = Said(alert["key"], int(path.stem), " ".join(alert["title"].split()), week)
                self._found[place].closed = self._found[place].closed or path.with_suffix(".closed").exists()
        return list(self._found.values())

    def accounts(self, messages: Sequence[Message]) -> list[Account]:
        """What was said, held against what came. That a channel is down cannot reach that channel, and is left out."""
        groups: defaultdict[tuple[str, date | None], list[Said]] = defaultdict(list)
        for each in self.look():
            if not each.key.startswith("channel:"):
                groups[each.title, each.week].append(each)
        told = Counter((message.title, message.week) for message in messages)
        return [
            Account(
                said[0].key,
                title,
                week,
                len(said),
                sum(each.closed for each in said),
                told[title, str(week or "")],
                told[f"Over: {title}", str(week or "")],
            )
            for (title, week), said in groups.items()
        ]

    def of(self, week: date) -> list[Said]:
        """Those about a week."""
        return [each for each in self.look() if each.week == week]
