"""Dagster's webserver, asked in GraphQL as its UI asks it."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from resources.tags import PARTITION_TAG
from tests.refreshes import until

LOCATION = "petroleum_demand"
ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
_EVERY_S = 0.3

_LAUNCH = """mutation ($parameters: ExecutionParams!) {
    launchPipelineExecution(executionParams: $parameters) {
        __typename
        ... on LaunchRunSuccess { run { runId } }
        ... on PythonError { message }
    }
}"""

_WATCHERS = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    sensors { name sensorState { id status } }
    schedules { name scheduleState { id status } }
} } } }"""


class UnansweredError(Exception):
    """The webserver answers with an error."""


def patiently(ask: Callable[[], Any]) -> Any:
    """An answer, in spite of the errors that each connection gives once after its database was restarted."""

    def answer() -> list[Any]:
        try:
            return [ask()]
        except UnansweredError:
            return []

    return until(answer, "answer", every_s=_EVERY_S)[0]


class Webserver:
    """A webserver that somebody has started, or something that has one.

    Attributes:
        url: Where it listens.
    """

    url: str

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            with urllib.request.urlopen(f"{self.url}/server_info", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask in GraphQL.

        Raises:
            UnansweredError: The answer is an error.
        """
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = json.load(answer)
        except urllib.error.HTTPError as error:
            raise UnansweredError(str(error)) from error
        if "errors" in content:
            raise UnansweredError(str(content["errors"]))
        return dict(content["data"])

    def launch(self, job: str, *, week: str | None = None, **tags: str) -> str:
        """Queue a job, as a person does in the UI; gives the id of its run."""
        tags |= {PARTITION_TAG: week} if week else {}
        selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "pipelineName": job}
        launched = self.ask(
            _LAUNCH,
            parameters={
                "selector": selector,
                "runConfigData": {},
                "mode": "default",
                "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
            },
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def status(self, run_id: str) -> str:
        """Where a run is."""
        asked = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        return str(self.ask(asked, id=run_id)["runOrError"]["status"])

    def starts(self, run_id: str) -> None:
        """Wait until a run has left the queue and its process has begun."""
        until(lambda: self.status(run_id) == "STARTED", f"start of run {run_id}", every_s=_EVERY_S)

    def ended(self, run_id: str, *, limit_s: float = 400) -> str:
        """Wait until a run has ended, and say how."""

        def look() -> str | None:
            status = patiently(lambda: self.status(run_id))
            return status if status in ENDED else None

        return str(until(look, f"end of run {run_id}", limit_s, every_s=_EVERY_S))

    def repositories(self) -> list[dict[str, Any]]:
        """What is loaded, with the states of its sensors and schedules."""
        return list(self.ask(_WATCHERS)["repositoriesOrError"]["nodes"])

    def daemons_are_well(self) -> None:
        """Wait until every daemon that is needed says that it is."""

        def look() -> bool:
            asked = self.ask("{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }")
            statuses = asked["instance"]["daemonHealth"]["allDaemonStatuses"]
            return all(status["healthy"] for status in statuses if status["required"])

        until(lambda: patiently(look), "daemon that is well", every_s=_EVERY_S)
