"""Refresh and replay: the jobs, run in this process one after the other, and when there is nothing to run."""

import contextlib
import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from forecast_assets.api import rest_api
from forecast_assets.dashboard import is_shown
from forecast_assets.gate import gated_artifact, verdict_of
from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings import Settings
from forecasting.forecaster import ForecasterError
from resources.api.spec import Api
from resources.clock import Clock
from resources.eia.client import EiaClient
from resources.eia.release import TABLE, current_release
from resources.eia.resource import Eia
from resources.lake import Lake, LakeError
from resources.sagemaker.pipes import FORCE_TAG
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry, RegisteredModel

# The tables of a week, each with one that it is made from.
_MADE_FROM = {
    "observations": TABLE,
    "outlier_flags": "observations",
    "structural_break": "outlier_flags",
    "counterfactual": "structural_break",
    "tuning_trials": "counterfactual",
    "model_scores": "tuning_trials",
    "model_diagnostics": "model_scores",
    "forecast": "model_scores",
    "forecast_accuracy": "observations",
    "forecast_changes": "forecast",
}


class HistoryWriteError(LakeError):
    """Dagster could not write down what it did.

    Attributes:
        home: Where its history is.
        reason: What its database said.
    """

    def __init__(self, home: Path, reason: str) -> None:
        self.home, self.reason = home, reason
        super().__init__(
            f"Dagster cannot keep its history in {home}: {reason}. Nothing is half-written; free space on its volume, "
            "then run `forecast refresh` again"
        )


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

    @functools.cached_property
    def api(self) -> Api:
        """The REST API."""
        return rest_api(self.settings, self.sagemaker, self.lake)

    def newest_week(self) -> date:
        """The newest week that the source has of every series."""
        return self.source.newest_week(self.settings.series_ids)

    def is_fresh(self, week: date) -> bool:
        """Whether a week was refreshed to its end, from what the source still publishes."""
        if not (self.is_replayed(week) and self._is_registered(week) and is_shown(self.lake, week)):
            return False
        records = self.lake.read(TABLE, week).set_index("unique_id")
        current = {name: current_release(self.source, self.lake, name).sha256 for name in self.settings.series_ids}
        return current == records["sha256"].to_dict()

    def is_replayed(self, week: date) -> bool:
        """Whether a week has all its tables, and none is older than what it is made from.

        A run that an error or the death of its process ended half way leaves tables of before beside new ones.
        """
        written = self.lake.written({*_MADE_FROM, *_MADE_FROM.values()}, week)
        times = {name: time for name, time in written.items() if time is not None}
        return len(times) == len(written) and all(times[source] <= times[name] for name, source in _MADE_FROM.items())

    @property
    def registry(self) -> ModelRegistry:
        """The registered models."""
        return ModelRegistry(self.sagemaker.client(), group=self.settings.model_group)

    def is_refused(self, week: date) -> bool:
        """Whether a week has a candidate that the gate refuses as a whole."""
        if not self.lake.has("model_scores", week):
            return False
        return not verdict_of(self.lake, week, tolerance=self.settings.gate_tolerance).passed

    def _is_registered(self, week: date) -> bool:
        """Whether the registry has the model that a week's forecast was made with; a backfill registers none."""
        verdict = verdict_of(self.lake, week, tolerance=self.settings.gate_tolerance)
        try:
            digest = gated_artifact(self.lake, verdict)["digest"]
        except (FileNotFoundError, ForecasterError):
            return False
        return self.registry.find(week=week, digest=digest) is not None

    def has_approved(self) -> bool:
        """Whether there is a model that may be served."""
        return self.registry.newest("Approved") is not None

    def waiting(self) -> RegisteredModel | None:
        """The newest model that waits for a person's word, unless a newer one is approved."""
        waiting, approved = self.registry.newest("PendingManualApproval"), self.registry.newest("Approved")
        if waiting is None or approved is None:
            return waiting
        return waiting if (waiting.week, waiting.version) > (approved.week, approved.version) else None

    def is_deployed(self) -> bool:
        """Whether endpoint and API serve the newest approved model, or there is none to serve."""
        model = newest_approved(self.settings, self.sagemaker)
        return model is None or (self.endpoint_serves(model) and self.api.is_deployed())

    def endpoint_serves(self, model: RegisteredModel) -> bool:
        """Whether the endpoint serves a model."""
        return model_endpoint(self.settings, self.sagemaker).serves(model)

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
                tags={FORCE_TAG: "true"} if force else None,
                run_config={"loggers": {"progress": {"config": {"quiet": quiet}}}},
                raise_on_error=False,
            )
        warnings = [
            evaluation.check_name
            for evaluation in result.get_asset_check_evaluations()
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN
        ]
        return Outcome(result.success, tuple(_reasons(result)), tuple(warnings))


def weeks_between(first: date, last: date) -> Iterator[date]:
    """Every week from one to another, both included."""
    week = first
    while week <= last:
        yield week
        week += timedelta(weeks=1)


def _reasons(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    told = set()
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            told.add(evaluation.description)
            yield f"{evaluation.severity.value} {evaluation.check_name}: {evaluation.description}"
    for event in result.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        text = failure.description if failure and failure.description else _cause(event.step_failure_data.error)
        if "DagsterAssetCheckFailedError" not in text and text not in told:  # the check itself was named above
            yield f"{event.step_key}: {text}"
    for event in result.all_events:
        if event.is_run_failure and not result.get_failed_step_keys():
            yield _cause(event.job_failure_data.error)


def _cause(error: SerializableErrorInfo | None) -> str:
    """What went wrong, without what Dagster says around it."""
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    if error is None:
        return "no reason is known"
    name, _, message = error.message.strip().partition(": ")
    return f"{name.rpartition('.')[2]}: {message}".removesuffix(": ")  # the name of its class, without the module
