"""Creating a job: its request completed, on the first instance type that is to be had."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from resources.sagemaker.pipes.control import JobControl, NotToBeHadError
from resources.sagemaker.pipes.instance_types import InstanceTypes
from resources.sagemaker.pipes.kinds import Request
from resources.sagemaker.pipes.messages import Messages

_NOT_IN_A_TAG = re.compile(r"[^\w\s.:/=+@-]")
_LONGEST_TAG = 256


@dataclass(frozen=True)
class Order:
    """A job as it was asked for.

    Attributes:
        context: Of the asset that it materializes.
        control: Creates it.
        request: Without name, Pipes and tags of Dagster.
        extras: Handed to it through Pipes.
        types: What it may run on.
        max_wait_s: Longest time from its creation to its end.
    """

    context: dg.AssetExecutionContext
    control: JobControl
    request: Request
    extras: Mapping[str, Any]
    types: InstanceTypes
    max_wait_s: float | None

    def launch(self, name: str, session: dg.PipesSession, messages: Messages) -> str | None:
        """Create the job; gives its ARN, or None where another run created it a moment ago.

        Raises:
            NoCapacityError: The account's quota allows no instance type.
            JobRequestError: SageMaker refuses the request.
        """
        kind = self.control.kind
        complete = self._complete(name, session, messages)
        while True:
            current = self.types.current
            try:
                return self.control.create(kind.on_instance_type(complete, current) if current else complete)
            except NotToBeHadError as error:
                self.types.refuse(current or kind.instance_type(complete), str(error), job=name)
                said = f"SageMaker job {name} was not created: {error}; {self.types.current} follows"
                self.context.log.warning(said)

    def _complete(self, name: str, session: dg.PipesSession, messages: Messages) -> dict[str, Any]:
        """The request with the job's name, the tags of the run and the way to context and messages."""
        kind, longest = self.control.kind, self.control.longest_value()
        tags = [
            {"Key": key, "Value": _NOT_IN_A_TAG.sub("_", value)[:_LONGEST_TAG]}
            for key, value in session.default_remote_invocation_info.items()
        ]
        complete = {**self.request, kind.name_field: name, "Tags": [*self.request.get("Tags", []), *tags]}
        if kind.reports and longest is not None:
            variables = messages.environment(session, longest=longest)
            complete["Environment"] = {**self.request.get("Environment", {}), **variables}
        return complete
