"""Refresh and replay: the jobs, run in this process one after the other, and when there is nothing to run."""

import contextlib
import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings import Settings
from resources.clock import Clock
from resources.eia.client import EiaClient
from resources.eia.release import TABLE, current_release
from resources.eia.resource import Eia
from resources.lake import Lake
from resources.sagemaker.pipes import FORCE_TAG
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        succeeded: Whether it did.
        reasons: Why not: the first error, and every check that failed, in words.
    """

    succeeded: bool
    reasons: tuple[str, ...] = ()


class Platform:
    """The resources of a code location, used outside of a run.

    Args:
        defs: The code location.
    """

    def __init__(self, defs: dg.Definitions) -> None:
        self.defs = defs
        found = defs.resources or {}
        self.settings: Settings = found["settings"]
        self.lake: Lake = found["lake"]
        self.eia: Eia = found["eia"]
        self.clock: Clock = found["clock"]
        self.sagemaker: SageMaker = found["sagemaker"]

    @functools.cached_property
    def source(self) -> EiaClient:
        """The source of this lake's figures, opened once: it remembers what makes its questions cheap."""
        return self.eia.open(self.settings.series_ids, now=self.clock.now())

    def newest_week(self) -> date:
        """The newest week that the source has of every series."""
        return self.source.newest_week(self.settings.series_ids)

    def is_fresh(self, week: date) -> bool:
        """Whether a week was refreshed to its end, from what the source still publishes."""
        if not (self.lake.has("forecast", week) and self.lake.has(TABLE, week)):
            return False
        registry = ModelRegistry(self.sagemaker.client(), group=self.settings.model_group)
        if not any(model.week == week for model in registry.models()):
            return False  # the week was replayed by a backfill, or its refresh ended half way
        records = self.lake.read(TABLE, week).set_index("unique_id")
        current = {name: current_release(self.source, self.lake, name).sha256 for name in self.settings.series_ids}
        return current == records["sha256"].to_dict()

    def awaits_approval(self) -> bool:
        """Whether no model has been approved yet, so that nothing can be served."""
        return newest_approved(self.settings, self.sagemaker) is None

    def is_deployed(self) -> bool:
        """Whether the endpoint serves the newest approved model, or there is none to serve."""
        model = newest_approved(self.settings, self.sagemaker)
        return model is None or model_endpoint(self.settings, self.sagemaker).serves(model)

    def run(self, job: str, instance: dg.DagsterInstance, *, week: date | None = None, force: bool = False) -> Outcome:
        """Run a job in this process.

        Args:
            job: Its name.
            instance: Where Dagster records the run.
            week: The partition, if the job has partitions.
            force: Whether SageMaker jobs of earlier runs are not taken up but run anew.
        """
        # The raw logs of jobs go to standard output, for Dagster to keep; a terminal gets them through the logger.
        with contextlib.redirect_stdout(io.StringIO()):
            result = self.defs.resolve_job_def(job).execute_in_process(
                partition_key=week.isoformat() if week else None,
                instance=instance,
                tags={FORCE_TAG: "true"} if force else None,
                run_config={"loggers": {"progress": {}}},
                raise_on_error=False,
            )
        return Outcome(result.success, tuple(_reasons(result)))


def weeks_between(first: date, last: date) -> Iterator[date]:
    """Every week from one to another, both included."""
    week = first
    while week <= last:
        yield week
        week += timedelta(weeks=1)


def _reasons(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            yield f"{evaluation.severity.value} {evaluation.check_name}: {evaluation.description}"
    for event in result.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        text = failure.description if failure and failure.description else _cause(event.step_failure_data.error)
        if "DagsterAssetCheckFailedError" not in text:  # the check itself was named above
            yield f"{event.step_key}: {text}"
    for event in result.all_events:
        if event.is_run_failure and not result.get_failed_step_keys():
            yield f"{event.message or 'the run failed'} {_cause(event.job_failure_data.error)}"


def _cause(error: SerializableErrorInfo | None) -> str:
    """What went wrong in the first place."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "no reason is known"
