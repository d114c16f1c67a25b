"""A consumer that asks the endpoint all the time, as one of SageMaker would, and never asks twice."""

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAUSE_S = 0.15
GRACE_S = 2.0  # after the endpoint's process was killed, requests may fail


@dataclass(frozen=True)
class Answer:
    """What was answered from one time on, until something else was.

    Attributes:
        at: Monotonic seconds at which it was first given.
        cutoff: The last week that the model knows.
        mean: Its forecast of the week after.
    """

    at: float
    cutoff: str
    mean: float


class Client:
    """Asks for the next week's forecast six times a second, from the first answer on to its end.

    Args:
        root: The folder of SageMaker on this machine.
        endpoint: The endpoint's name.
        series: Which series.
    """

    def __init__(self, root: Path, endpoint: str, series: str) -> None:
        self._root, self._endpoint = root, endpoint
        self._question = json.dumps({"periods": 1, "levels": [90], "series": series}).encode()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._failed: list[tuple[float, str]] = []
        self._killed: list[float] = []
        self.asked = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(90)

    def endpoint_is_killed(self) -> None:
        """To be said just before."""
        with self._lock:
            self._killed.append(time.monotonic())

    @property
    def answers(self) -> list[Answer]:
        """The different answers, in their order."""
        with self._lock:
            return list(self._answers)

    @property
    def newest(self) -> Answer | None:
        with self._lock:
            return self._answers[-1] if self._answers else None

    @property
    def excused(self) -> list[tuple[float, str]]:
        """Requests that failed within the grace after a kill."""
        return [each for each in self._failures() if self._is_excused(each[0])]

    @property
    def failed(self) -> list[tuple[float, str]]:
        """The others: when they were sent, and why they failed."""
        return [each for each in self._failures() if not self._is_excused(each[0])]

    def _failures(self) -> list[tuple[float, str]]:
        with self._lock:
            return list(self._failed)

    def _is_excused(self, at: float) -> bool:
        return any(-1.0 <= at - killed <= GRACE_S for killed in self._killed)

    def _ask_on(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        from resources.sagemaker.local.clients import local_client

        client: Any = local_client("sagemaker-runtime", self._root)
        # A failure is to be seen, not made up for.
        client.meta.events.unregister("needs-retry.sagemaker-runtime", unique_id="retry-config-sagemaker-runtime")
        while not self._stopping.wait(PAUSE_S):
            began = time.monotonic()
            try:
                got = client.invoke_endpoint(
                    EndpointName=self._endpoint, ContentType="application/json", Body=self._question
                )
                [row] = json.loads(got["Body"].read())
            except (BotoCoreError, ClientError, OSError, ValueError) as error:
                with self._lock:
                    if self._answers:  # before the first model there is nothing to ask
                        self._failed.append((began, f"{type(error).__name__}: {error}"))
                        self.asked += 1
                continue
            answer = Answer(began, str(row["cutoff"]), float(row["mean"]))
            with self._lock:
                self.asked += 1
                last = self._answers[-1] if self._answers else None
                if last is None or (last.cutoff, last.mean) != (answer.cutoff, answer.mean):
                    self._answers.append(answer)
