"""A job that completed, as Dagster takes it."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_pipes import DagsterPipesError

from resources.sagemaker.pipes.errors import JobFailedError
from resources.sagemaker.pipes.kinds import KINDS, JobKind, Request

Result = dg.MaterializeResult[Any] | dg.AssetCheckResult


class CompletedJob(dg.PipesClientCompletedInvocation):
    """A job that completed: what it reported, and its final description.

    Attributes:
        name: The job.
        description: As its describe call gives it.
        kind: Its kind.
    """

    def __init__(
        self,
        session: dg.PipesSession,
        *,
        metadata: Mapping[str, Any],
        description: Request,
        kind: JobKind,
    ) -> None:
        super().__init__(session, metadata=metadata)
        self.name, self.description, self.kind = kind.name(description), description, kind

    @property
    def reported(self) -> bool:
        """Whether it did what it promised: to report a materialization, or to find a best trial."""
        if self.kind.reports:
            return any(isinstance(result, dg.MaterializeResult) for result in self._session.get_reported_results())
        return self.kind is not KINDS["tuning"] or "BestTrainingJob" in self.description

    def get_results(self, *, implicit_materializations: bool = True) -> Sequence[Result]:
        """What it reported; of what it reported again, after an interruption, the last.

        Args:
            implicit_materializations: Whether assets that it did not report are materialized all the same.
        """
        found = super().get_results(implicit_materializations=implicit_materializations)
        made = {result.asset_key: result for result in found if isinstance(result, dg.MaterializeResult)}
        checked = {(one.asset_key, one.check_name): one for one in found if isinstance(one, dg.AssetCheckResult)}
        return [*made.values(), *checked.values()]

    def materialization(self) -> dg.MaterializeResult[None]:
        """What the job reported for its asset, with the job's own facts added.

        Raises:
            JobFailedError: It completed without what it promised.
        """
        try:
            if not self.reported and not self.kind.reports:
                raise JobFailedError(name=self.name, status="Completed", reason="none of its training jobs succeeded")
            return self.get_materialize_result(implicit_materialization=not self.kind.reports)
        except DagsterPipesError as error:
            raise JobFailedError(
                name=self.name,
                status="Completed",
                reason=f"it reported no materialization through Pipes ({error})",
            ) from error
