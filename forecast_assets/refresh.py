"""Refresh and replay: the jobs, run in this process one after the other."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg

from forecast_assets.reasons import reasons
from forecast_assets.standing import Standing
from resources.alerts import Alerts
from resources.launcher import MACHINE_TAG
from resources.machine import machine
from resources.sagemaker.pipes import FORCE_TAG


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        succeeded: Whether it did.
        reasons: Why not: the first error, and every check that failed, in words.
        warnings: The names of the checks that failed and only warn; they are among the reasons too.
    """

    succeeded: bool
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Platform(Standing):
    """The resources of a code location, used outside of a run, and its jobs.

    Args:
        defs: The code location.
    """

    def __init__(self, defs: dg.Definitions) -> None:
        self.defs = defs
        found = defs.resources or {}
        super().__init__(**{name: found[name] for name in ("settings", "lake", "eia", "clock", "sagemaker")})
        self.alerts: Alerts = found["alerts"]

    def run(
        self,
        job: str,
        instance: dg.DagsterInstance,
        *,
        week: date | None = None,
        force: bool = False,
        quiet: bool = False,
    ) -> Outcome:
        """Run a job in this process.

        Args:
            job: Its name.
            instance: Where Dagster records the run.
            week: The partition, if the job has partitions.
            force: Whether SageMaker jobs of earlier runs are not taken up but run anew.
            quiet: Whether a terminal hears of warnings and errors only.
        """
        # The raw logs of jobs go to standard output, for Dagster to keep; a terminal gets them through the logger.
        with contextlib.redirect_stdout(io.StringIO()):
            result = self.defs.resolve_job_def(job).execute_in_process(
                partition_key=week.isoformat() if week else None,
                instance=instance,
                tags={MACHINE_TAG: machine()} | ({FORCE_TAG: "true"} if force else {}),
                run_config={"loggers": {"progress": {"config": {"quiet": quiet}}}},
                raise_on_error=False,
            )
        warnings = [
            evaluation.check_name
            for evaluation in result.get_asset_check_evaluations()
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN
        ]
        return Outcome(result.success, tuple(reasons(result.all_events)), tuple(warnings))


def weeks_between(first: date, last: date) -> Iterator[date]:
    """Every week from one to another, both included."""
    week = first
    while week <= last:
        yield week
        week += timedelta(weeks=1)
