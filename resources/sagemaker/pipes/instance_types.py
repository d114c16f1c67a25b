"""The instance types that a job may run on, in the order of preference."""

from collections.abc import Sequence

from resources.sagemaker.pipes.errors import NoCapacityError


class InstanceTypes:
    """Those of one job, and what SageMaker said of each that was not to be had.

    Args:
        types: In the order of preference; empty leaves the choice to the request.
    """

    def __init__(self, types: Sequence[str]) -> None:
        self._left: list[str | None] = list(dict.fromkeys(types)) or [None]
        self.refused: dict[str, str] = {}

    @property
    def current(self) -> str | None:
        """The one to try; None leaves the request as it is."""
        return self._left[0]

    def refuse(self, instance_type: str | None, said: str, *, job: str) -> None:
        """Go on to the next one, because one is not to be had.

        Args:
            instance_type: The one, which need not be the current: a job that was taken up has its own.
            said: What SageMaker said.
            job: The job.

        Raises:
            NoCapacityError: There is no next one.
        """
        self.refused[instance_type or "the request's own"] = said
        self._left = [left for left in self._left if left not in {instance_type, None}]
        if not self._left:
            raise NoCapacityError(name=job, said=self.refused)
