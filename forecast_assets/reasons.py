"""Why a run failed, in words, from what Dagster recorded of it."""

from collections.abc import Iterable, Iterator

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster_shared.error import SerializableErrorInfo

TOLD_BY = frozenset(
    {dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
)
"""The events that reasons are read from."""


def reasons(events: Iterable[dg.DagsterEvent]) -> Iterator[str]:
    """Every check that failed, with its severity, then the first error of each step, or that of the run.

    Args:
        events: Of one run, in their order.
    """
    events = list(events)
    told = set()
    for evaluation in evaluations(events):
        if not evaluation.passed:
            told.add(evaluation.description)
            yield f"{evaluation.severity.value} {evaluation.check_name}: {evaluation.description}"
    failed = [event for event in events if event.is_step_failure]
    for event in failed:
        failure = event.step_failure_data.user_failure_data
        text = failure.description if failure and failure.description else cause(event.step_failure_data.error)
        if "DagsterAssetCheckFailedError" not in text and text not in told:  # the check itself was named above
            yield f"{event.step_key}: {text}"
    if not failed:
        for event in events:
            if event.is_run_failure:
                error = event.job_failure_data.error
                yield cause(error) if error is not None else event.message or "no reason is known"


def evaluations(events: Iterable[dg.DagsterEvent]) -> Iterator[AssetCheckEvaluation]:
    """What checks said in a run."""
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            yield event.asset_check_evaluation_data


def cause(error: SerializableErrorInfo | None) -> str:
    """What went wrong, without what Dagster says around it."""
    while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    if error is None:
        return "no reason is known"
    name, _, message = error.message.strip().partition(": ")
    return f"{name.rpartition('.')[2]}: {message}".removesuffix(": ")  # the name of its class, without the module
