"""Whether the folder of a lake still holds it: a volume that is not mounted leaves an empty folder behind.

A run that took it for a new lake would make a second one there, with a registry and an endpoint of its own. Dagster's
history is the witness: runs are tagged with the folder that they worked in.
"""

from pathlib import Path

import dagster as dg

from resources.lake.errors import LakeMissingError
from resources.tags import NO_RETRY, PARTITION_TAG

LAKE_TAG = "forecast/lake"
"""The folder that a run works in."""


def recognise(instance: dg.DagsterInstance, run: dg.DagsterRun, root: Path, *, mark: str) -> None:
    """Refuse a run that would begin a lake where there was one.

    Args:
        instance: The history.
        run: The run.
        root: The folder of the lake.
        mark: The file that every lake has.

    Raises:
        LakeMissingError: There is none, though runs of this history have worked in it.
    """
    tag, is_there = {LAKE_TAG: str(root)}, (root / mark).exists()
    if not is_there:
        made = instance.get_runs(dg.RunsFilter(tags=tag, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
        if made:
            instance.add_run_tags(run.run_id, NO_RETRY)  # Dagster would take it for a crash and try again at once
            raise LakeMissingError(root, made[0].run_id)
    if is_there or PARTITION_TAG in run.tags:  # of an empty folder only the run of a week makes a lake
        instance.add_run_tags(run.run_id, tag)
