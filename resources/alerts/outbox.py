"""The outbox: alerts that are open, and what was said of them.

An alert is opened once for as long as it lasts, whoever finds it and however often, and closed once; a sensor delivers
what is in here and was not delivered, so that a channel that is down loses nothing.

    <lake>/_alerts/<key>.json
"""

import hashlib
import json
from dataclasses import asdict
from datetime import date
from typing import Any

import dagster as dg

from resources.alerts.alert import Alert
from resources.clock import Clock
from resources.lake import Lake

FOLDER = "_alerts"


class Alerts(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The alerts of a lake.

    Attributes:
        lake: Where they are kept.
        clock: What time it is.
    """

    lake: dg.ResourceDependency[Lake]
    clock: dg.ResourceDependency[Clock]

    def open(self, alert: Alert) -> bool:
        """Say that something is wrong; whether nobody had said so before."""
        said = self._said(alert.key)
        if said is not None and said["closed_at"] is None:
            return False
        self._say(alert.key, {"alert": asdict(alert), "opened_at": self._now(), "closed_at": None, "recovery": None})
        return True

    def close(self, key: str, *, recovery: str) -> bool:
        """Say that it is over, and what of; whether it was open."""
        said = self._said(key)
        if said is None or said["closed_at"] is not None:
            return False
        self._say(key, said | {"closed_at": self._now(), "recovery": recovery})
        return True

    def open_keys(self, prefix: str = "") -> list[str]:
        """The keys of the alerts that are open, in order."""
        found = (json.loads(self.lake.read_bytes(key)) for key in self.lake.storage.keys(FOLDER))
        keys = (said["alert"]["key"] for said in found if said["closed_at"] is None)
        return sorted(key for key in keys if key.startswith(prefix))

    def _said(self, key: str) -> dict[str, Any] | None:
        try:
            said: dict[str, Any] = json.loads(self.lake.read_bytes(_place(key)))
        except FileNotFoundError:
            return None
        return said

    def _say(self, key: str, said: dict[str, Any]) -> None:
        self.lake.write_bytes(_place(key), json.dumps(said, default=date.isoformat).encode())

    def _now(self) -> str:
        return self.clock.now().isoformat(timespec="seconds")


def _place(key: str) -> str:
    return f"{FOLDER}/{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
