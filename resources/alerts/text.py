"""An occurrence in words: plain text, for mail, chat and telephone alike."""

from dataclasses import dataclass
from datetime import UTC, datetime

from resources.alerts.outbox import Occurrence, Part

_LONGEST = 1500  # characters of a line: chats refuse long messages, and the link leads to the rest


@dataclass(frozen=True)
class Message:
    """What a channel is given.

    Attributes:
        title: One line.
        body: Lines of the form `Why: ...`.
        good: Whether it is good news.
    """

    title: str
    body: str
    good: bool = False


def message(occurrence: Occurrence, part: Part, *, ui: str) -> Message:
    """What is said when something is wrong, and when it is over.

    Args:
        occurrence: What.
        part: Which of the two.
        ui: Where people reach Dagster's UI.
    """
    alert = occurrence.alert
    link = f"{ui.rstrip('/')}/{alert.link.lstrip('/')}"
    week = str(alert.week) if alert.week else ""
    if part == "opened":
        lines = {
            "Week": week,
            "What": alert.what,
            "Why": alert.why,
            "Consequence": alert.consequence,
            "Since": _time(occurrence.opened_at),
            "Look at": link,
        }
        return Message(_line(alert.title), _text(lines))
    lasted = _time(occurrence.opened_at) + (f" to {_time(occurrence.closed_at)}" if occurrence.closed_at else "")
    lines = {"Week": week, "Now": occurrence.recovery, "It was": alert.what, "From": lasted, "Look at": link}
    return Message(f"Over: {_line(alert.title)}", _text(lines), good=True)


def _text(lines: dict[str, str]) -> str:
    return "\n".join(f"{name}: {_line(said)}" for name, said in lines.items() if said)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
