"""Delivery: every alert once to every channel; a channel that is down delays itself only.

A message is marked as taken after the channel has taken it. A process that dies between the two sends it again: that
is the only way in which a channel hears something twice.

    <lake>/_alerts/channels/<channel>.json      since when it fails, why, and when it is asked again
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from resources.alerts.alert import Alert
from resources.alerts.channels import LOG, Channel
from resources.alerts.errors import ChannelAddressError, ChannelError, DamagedAlertError
from resources.alerts.outbox import Alerts, Occurrence, Part
from resources.alerts.text import message
from resources.lake import Lake

FOLDER = "_alerts/channels"
LASTING = 3
"""After so many failures in a row a channel counts as down, and others are told."""

_PREFIX = "channel:"
_BUDGET_S = 30  # of a tick, which Dagster ends after a minute
_LONGEST_WAIT = 60  # times the first wait between two attempts


@dataclass(frozen=True)
class Failing:
    """A channel that did not take the last message.

    Attributes:
        channel: Its name.
        failures: How many attempts in a row.
        since: When the first of them was, real time.
        reason: Of the last one.
        next_at: When it is asked again, in seconds since 1970.
        lost_address: Whether its address leads nowhere, so that only a person can mend it.
    """

    channel: str
    failures: int
    since: str
    reason: str
    next_at: float
    lost_address: bool = False

    @property
    def lasts(self) -> bool:
        """Whether a person should look."""
        return self.lost_address or self.failures >= LASTING


@dataclass
class Delivery:
    """What one round of delivery came to.

    Attributes:
        sent: What was taken, as `channel: title`.
        waiting: Occurrences that wait, by channel.
        failing: The channels that fail, by name.
        damaged: What could not be read.
    """

    sent: list[str] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)
    failing: dict[str, Failing] = field(default_factory=dict)
    damaged: list[DamagedAlertError] = field(default_factory=list)


def deliver(alerts: Alerts, channels: Sequence[Channel], *, ui: str, wait_s: float) -> Delivery:
    """Send what is not said yet.

    Args:
        alerts: The outbox.
        channels: All that there are; the log is one of them.
        ui: Where people reach Dagster's UI.
        wait_s: How long a channel that failed is left alone; doubles with every failure, up to sixty times.

    Raises:
        LakeError: The outbox cannot be read or written.
    """
    began = time.monotonic()
    names = tuple(channel.name for channel in channels)
    for key in alerts.open_keys(_PREFIX):
        if key.removeprefix(_PREFIX) not in names:
            alerts.close(key, recovery=f"The channel {key.removeprefix(_PREFIX)} is no longer asked for.")
    occurrences, damaged = alerts.unsettled()
    done = Delivery(failing=failing_channels(alerts.lake, names), damaged=damaged)
    told = {_id(one): {part: set(one.told[part]) for part in one.told} for one in occurrences}
    occurrences = [_addressed(alerts, one, names) for one in occurrences]
    for channel in channels:
        due = [one for one in occurrences if channel.name in (one.audience or ()) and _due(one, channel.name, told)]
        for number, one in enumerate(due):
            was = done.failing.get(channel.name)
            if (was is not None and was.next_at > time.time()) or time.monotonic() - began > _BUDGET_S:
                done.waiting[channel.name] = len(due) - number
                break
            part: Part = "opened" if one.closed_at is None else "closed"
            said = message(one, part, ui=ui)
            try:
                channel.send(said)
            except ChannelError as error:
                done.failing[channel.name] = _note_failure(alerts, channel.name, error, was, wait_s=wait_s, names=names)
                done.waiting[channel.name] = len(due) - number
                break
            alerts.told(one, part, channel.name)
            told[_id(one)][part].add(channel.name)
            done.sent.append(f"{channel.name}: {said.title}")
            if was is not None:
                _note_success(alerts, done.failing.pop(channel.name))
    for one in occurrences:
        audience = set(one.audience or ()) & set(names)
        if one.closed_at is not None and audience <= told[_id(one)]["closed"]:
            alerts.settle(one)
    return done


def failing_channels(lake: Lake, names: Sequence[str]) -> dict[str, Failing]:
    """Of these channels those that did not take the last message, by name."""
    found = {}
    for name in names:
        try:
            held = json.loads(lake.read_bytes(f"{FOLDER}/{name}.json"))
            failing = Failing(**held)
        except FileNotFoundError:
            continue
        except (TypeError, ValueError):  # it is asked now, and the file is written anew
            continue
        if failing.failures:
            found[name] = failing
    return found


def _id(occurrence: Occurrence) -> tuple[str, int]:
    return occurrence.alert.key, occurrence.number


def _due(one: Occurrence, channel: str, told: dict[tuple[str, int], dict[Part, set[str]]]) -> bool:
    """Whether a channel has to hear of something: that it is wrong, or, once it is over, that alone."""
    return channel not in told[_id(one)]["opened" if one.closed_at is None else "closed"]


def _addressed(alerts: Alerts, one: Occurrence, names: tuple[str, ...]) -> Occurrence:
    """With its audience: the channels there are when it is seen first; later ones are spared old news.

    Where none of them is left, and none has heard of it, it goes to those there are now.
    """
    if one.audience is not None:
        people = set(one.audience) - {LOG}
        if not people or people & set(names) or people & (one.told["opened"] | one.told["closed"]):
            return one
    alerts.address(one, names)
    return replace(one, audience=names)


def _note_failure(
    alerts: Alerts, channel: str, error: ChannelError, was: Failing | None, *, wait_s: float, names: Sequence[str]
) -> Failing:
    failures = 1 if was is None else was.failures + 1
    failing = Failing(
        channel=channel,
        failures=failures,
        since=datetime.now(UTC).isoformat(timespec="seconds") if was is None else was.since,
        reason=str(error),
        next_at=time.time() + wait_s * min(2 ** min(failures - 1, 30), _LONGEST_WAIT),
        lost_address=isinstance(error, ChannelAddressError),
    )
    _write(alerts, failing)
    said = Alert(
        key=f"{_PREFIX}{channel}",
        title=f"Alerts do not reach {channel}",
        what=f"The channel {channel} has taken no message since {failing.since}.",
        why=failing.reason,
        consequence="Those who listen there hear nothing. What they should have heard waits, and is sent when the "
        "channel takes it.",
    )
    if failing.lasts and alerts.open(said) and (opened := alerts.find(said.key)) is not None:
        alerts.address(opened, [name for name in names if name != channel])  # it cannot tell of itself
    return failing


def _note_success(alerts: Alerts, was: Failing) -> None:
    _write(alerts, Failing(was.channel, failures=0, since="", reason="", next_at=0))
    alerts.close(f"{_PREFIX}{was.channel}", recovery=f"The channel {was.channel} takes messages again.")


def _write(alerts: Alerts, failing: Failing) -> None:
    alerts.lake.write_bytes(f"{FOLDER}/{failing.channel}.json", json.dumps(asdict(failing)).encode())
