"""What sensors wrote down in the lake for themselves."""

from collections.abc import Iterator

from resources.lake import Lake
from resources.retention.removal import Ages, Removal


def old_notes(lake: Lake, ages: Ages, *, folder: str, weeks: int) -> Iterator[Removal]:
    """The files of a folder that were written so many weeks ago."""
    for key in sorted(lake.storage.keys(folder)):
        written = lake.storage.written_at(key)
        if written is not None and ages.exceeds(written / 1e9, weeks):
            yield Removal("notes of sensors", key, 0, lambda key=key: lake.storage.delete(key))  # type: ignore[misc]
