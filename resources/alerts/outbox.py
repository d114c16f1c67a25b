"""The outbox: what was and is wrong, and who has heard of it.

An alert is opened once for as long as it lasts, whoever finds it and however often, and closed once. What comes back
after it was closed is another occurrence, and is said again. Everything that happens to an occurrence is a file of its
own that is made once and never changed: of two processes that do the same at once one does it, and none undoes what
another did.

    <lake>/_alerts/said/<key>/000001.opened             the alert
    <lake>/_alerts/said/<key>/000001.closed             when it was over, and what of
    <lake>/_alerts/said/<key>/000001.audience           the channels that are to hear of it
    <lake>/_alerts/said/<key>/000001.opened.slack       the channel has taken that it is wrong
    <lake>/_alerts/said/<key>/000001.closed.slack       the channel has taken that it is over
    <lake>/_alerts/said/<key>/000001.settled            nothing is left to say
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal, Self
from urllib.parse import quote, unquote

import dagster as dg

from resources.alerts.alert import Alert
from resources.alerts.errors import DamagedAlertError
from resources.clock import Clock
from resources.lake import Lake

FOLDER = "_alerts/said"
Part = Literal["opened", "closed"]

_NAME = re.compile(r"(\d{6})\.(opened|closed|audience|settled)(?:\.([a-z0-9-]+))?")
_LONGEST = 180  # bytes of a folder's name: file systems take 255


@dataclass(frozen=True)
class Occurrence:
    """One time that something was wrong.

    Attributes:
        alert: What was said.
        number: Which time, of this key.
        opened_at: When, by the platform's clock.
        closed_at: When it was over; None while it lasts.
        recovery: What of.
        audience: The channels that are to hear of it; None where that is not settled yet.
        told: The channels that have taken that it is wrong, and that it is over.
    """

    alert: Alert
    number: int
    opened_at: datetime
    closed_at: datetime | None
    recovery: str
    audience: tuple[str, ...] | None
    told: Mapping[Part, frozenset[str]]


@dataclass(frozen=True)
class _Files:
    """What is there of the occurrences of one key: by number, the names after it."""

    folder: str
    by_number: Mapping[int, frozenset[str]]

    @classmethod
    def of(cls, folder: str, names: Iterable[str]) -> Self:
        found: defaultdict[int, set[str]] = defaultdict(set)
        for name in names:
            if (match := _NAME.fullmatch(name)) is not None:
                found[int(match[1])].add(name.partition(".")[2])
        return cls(folder, {number: frozenset(found[number]) for number in sorted(found)})

    @property
    def last(self) -> int:
        return max(self.by_number, default=0)

    def lasts(self, number: int) -> bool:
        there = self.by_number.get(number, frozenset())
        return "opened" in there and "closed" not in there

    def path(self, number: int, name: str) -> str:
        return f"{FOLDER}/{self.folder}/{number:06d}.{name}"


class Alerts(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The alerts of a lake. What the lake refuses is a `LakeError`, and changes nothing.

    Attributes:
        lake: Where they are kept.
        clock: What time it is.
    """

    lake: dg.ResourceDependency[Lake]
    clock: dg.ResourceDependency[Clock]

    def open(self, alert: Alert) -> bool:
        """Say that something is wrong; whether nobody had said so before."""
        files = self._of(alert.key)
        if files.lasts(files.last):
            return False
        return self._make(files.path(files.last + 1, "opened"), {"at": self._now(), "alert": asdict(alert)})

    def close(self, key: str, *, recovery: str) -> bool:
        """Say that it is over, and what of; whether it was open."""
        files = self._of(key)
        if not files.lasts(files.last):
            return False
        return self._make(files.path(files.last, "closed"), {"at": self._now(), "recovery": recovery})

    def open_keys(self, prefix: str = "") -> list[str]:
        """The keys of the alerts that are open, in order."""
        keys = (_key(files.folder) for files in self._all() if files.lasts(files.last))
        return sorted(key for key in keys if key.startswith(prefix))

    def find(self, key: str) -> Occurrence | None:
        """The alert of a key if it is open.

        Raises:
            DamagedAlertError: A file of it is not what was written.
        """
        files = self._of(key)
        return self._read(files, files.last) if files.lasts(files.last) else None

    # -- for those who deliver -------------------------------------------------------------------------------------

    def unsettled(self) -> tuple[list[Occurrence], list[DamagedAlertError]]:
        """The occurrences that are open or of which somebody may still have to hear, oldest first; what is damaged."""
        found, damaged = [], []
        for files in self._all():
            for number, there in files.by_number.items():
                if "opened" in there and "settled" not in there:
                    try:
                        found.append(self._read(files, number))
                    except DamagedAlertError as error:
                        damaged.append(error)
        return sorted(found, key=lambda one: (one.opened_at, one.alert.key, one.number)), damaged

    def address(self, occurrence: Occurrence, audience: Iterable[str]) -> None:
        """Settle which channels are to hear of an occurrence."""
        self.lake.write_bytes(_path(occurrence, "audience"), _bytes({"channels": list(audience)}))

    def told(self, occurrence: Occurrence, part: Part, channel: str) -> None:
        """Note that a channel has taken that something is wrong, or that it is over."""
        self._make(_path(occurrence, f"{part}.{channel}"), {"at": self._now()})

    def settle(self, occurrence: Occurrence) -> None:
        """Note that an occurrence is over and everybody has heard of it."""
        self._make(_path(occurrence, "settled"), {"at": self._now()})

    # -- for those who clear up ------------------------------------------------------------------------------------

    def forgettable(self, before: datetime) -> Iterator[str]:
        """The files, in the order in which to delete them, of what was settled before a time.

        Args:
            before: Aware.

        Yields:
            Keys of the lake. Wherever a deletion ends half way, no alert looks open that is not.
        """
        for files in self._all():
            for number, there in files.by_number.items():
                orphaned = "opened" not in there  # a deletion that ended half way
                if orphaned or ("settled" in there and self._settled_before(files, number, before)):
                    for name in sorted(there, key=lambda name: (name != "opened", name == "closed", name)):
                        yield files.path(number, name)

    # --------------------------------------------------------------------------------------------------------------

    def _read(self, files: _Files, number: int) -> Occurrence:
        there = files.by_number[number]
        opened = self._held(files.path(number, "opened"))
        closed = self._held(files.path(number, "closed")) if "closed" in there else {}
        audience = self._held(files.path(number, "audience")) if "audience" in there else {}
        told: dict[Part, frozenset[str]] = {
            part: frozenset(name.partition(".")[2] for name in there if name.startswith(f"{part}."))
            for part in ("opened", "closed")
        }
        try:
            said = dict(opened["alert"])
            week = date.fromisoformat(said["week"]) if said["week"] else None
            return Occurrence(
                alert=Alert(**said | {"week": week, "key": _key(files.folder)}),
                number=number,
                opened_at=datetime.fromisoformat(opened["at"]),
                closed_at=datetime.fromisoformat(closed["at"]) if closed else None,
                recovery=str(closed["recovery"]) if closed else "",
                audience=tuple(map(str, audience["channels"])) if audience else None,
                told=told,
            )
        except (KeyError, TypeError, ValueError) as error:
            where = self.lake.where(files.path(number, "*"))
            raise DamagedAlertError(where, f"{type(error).__name__}: {error}") from error

    def _settled_before(self, files: _Files, number: int, time: datetime) -> bool:
        try:
            return datetime.fromisoformat(self._held(files.path(number, "settled"))["at"]) < time
        except (
            DamagedAlertError,
            KeyError,
            TypeError,
            ValueError,
        ):  # that everybody has heard of it is all that counts
            return True

    def _held(self, path: str) -> dict[str, Any]:
        try:
            held = json.loads(self.lake.read_bytes(path))
        except (FileNotFoundError, ValueError) as error:
            raise DamagedAlertError(self.lake.where(path), str(error)) from error
        if not isinstance(held, dict):
            raise DamagedAlertError(self.lake.where(path), "it holds no object")
        return held

    def _of(self, key: str) -> _Files:
        folder = _folder(key)
        below = f"{FOLDER}/{folder}/"
        return _Files.of(folder, (path.removeprefix(below) for path in self.lake.storage.keys(below)))

    def _all(self) -> list[_Files]:
        names: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.lake.storage.keys(FOLDER):
            folder, _, name = path.removeprefix(f"{FOLDER}/").partition("/")
            names[folder].append(name)
        return [_Files.of(folder, names[folder]) for folder in sorted(names)]

    def _make(self, path: str, content: dict[str, Any]) -> bool:
        return self.lake.storage.create(path, _bytes(content))

    def _now(self) -> str:
        return self.clock.now().isoformat(timespec="seconds")


def _path(occurrence: Occurrence, name: str) -> str:
    return f"{FOLDER}/{_folder(occurrence.alert.key)}/{occurrence.number:06d}.{name}"


def _folder(key: str) -> str:
    """The name of a key's folder; a key that is too long for one is cut, and from then on is the cut one."""
    folder = quote(key, safe=":")
    if len(folder) > _LONGEST:
        digest = hashlib.sha256(key.encode()).hexdigest()[:16]
        folder = quote(f"{unquote(folder[: _LONGEST - 40], errors='ignore')}~{digest}", safe=":")
    return folder


def _key(folder: str) -> str:
    return unquote(folder)


def _bytes(content: dict[str, Any]) -> bytes:
    return json.dumps(content, default=date.isoformat, indent=1).encode() + b"\n"
