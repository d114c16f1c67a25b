"""How much room everything takes on this machine."""

from collections.abc import Mapping
from pathlib import Path

from resources.lake import Lake
from resources.retention.removal import size_of

_KINDS = {"jobs": "jobs", "models": "models"}


def state_sizes(lake: Lake, home: Path) -> Mapping[str, int]:
    """Bytes on this machine by what they are of.

    `tables`, releases and candidates among them, grow for ever, a week at a time; all the rest is bounded by the
    settings of retention.

    Args:
        lake: Its tables, its SageMaker and the outputs of its jobs count where they are on this machine.
        home: Dagster's home; a history in PostgreSQL is not in it.
    """
    sizes = {"tables": 0, "history": size_of(home), "jobs": 0, "models": 0, "logs": 0, "other": 0}
    if lake.folder is None or not lake.root.is_dir():
        return sizes
    for path in lake.root.iterdir():
        if path == home:
            continue
        if path.name == "_sagemaker":
            logs = size_of(path / "logs")
            sizes["logs"] += logs
            sizes["jobs"] += size_of(path) - logs
        else:
            sizes[_KINDS.get(path.name, "other" if path.name.startswith(("_", ".")) else "tables")] += size_of(path)
    return sizes
