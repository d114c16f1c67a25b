"""What an API is to be, wherever it runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ApiSpec:
    """An API, as settings ask for it.

    Attributes:
        endpoint: Name of the endpoint that answers.
        stage: First part of its path.
        rate_per_s: Requests a second of one key, in the long run.
        burst: Requests of one key that may come at once.
        quota_per_month: Requests of one key in a month.
    """

    endpoint: str
    stage: str
    rate_per_s: float
    burst: int
    quota_per_month: int


class Api(Protocol):
    """An API that can be brought up, asked and taken down."""

    def is_deployed(self) -> bool:
        """Whether it is there, as asked."""

    def deploy(self, progress: Progress) -> bool:
        """Bring it up, or to what is asked; False where it was so already."""

    def url(self) -> str:
        """Where forecasts are asked for."""

    def key(self) -> str:
        """A key that it takes: on AWS its own, on this machine a new one, which ends the one before."""

    def probe(self) -> AbstractContextManager[str]:
        """A key for the one who deploys, to see that it answers."""

    def delete(self, progress: Progress) -> bool:
        """Take it down; False where there was none."""
