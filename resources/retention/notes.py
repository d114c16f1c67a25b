"""What sensors wrote down in the lake: for themselves, and as alerts."""

from collections.abc import Iterator
from datetime import datetime

from resources.alerts import Alerts
from resources.lake import Lake
from resources.retention.removal import Ages, Removal


def old_notes(lake: Lake, ages: Ages, *, folder: str, weeks: int) -> Iterator[Removal]:
    """The files of a folder that were written so many weeks ago."""
    for key in sorted(lake.storage.keys(folder)):
        written = lake.storage.written_at(key)
        if written is not None and ages.exceeds(written / 1e9, weeks):
            yield Removal("notes of sensors", key, 0, lambda key=key: lake.storage.delete(key))  # type: ignore[misc]


def old_alerts(alerts: Alerts, *, before: datetime) -> Iterator[Removal]:
    """The files of alerts that were over, and heard of by everybody, before a time."""
    storage = alerts.lake.storage
    for key in alerts.forgettable(before):
        yield Removal("files of alerts", key, 0, lambda key=key: storage.delete(key))  # type: ignore[misc]
