"""What a container tells its caller: lines on stdout always, and Dagster through Pipes where Dagster started it."""

import base64
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster_pipes
import pandas as pd

from forecasting import markdown as tables


@dataclass(frozen=True)
class Reporter:
    """Reports to stdout and, in a Pipes process, to Dagster.

    Attributes:
        pipes: The open Pipes context; None without Dagster.
    """

    pipes: dagster_pipes.PipesContext | None = None

    def log(self, message: str) -> None:
        """One line of progress."""
        say(message)
        if self.pipes is not None:
            self.pipes.log.info(message)

    def materialized(
        self, metadata: Mapping[str, Any], *, data_version: str, plots: Mapping[str, Callable[[], bytes]] | None = None
    ) -> None:
        """Reports the asset of this step as materialized.

        Args:
            metadata: Numbers and text by name, or values typed for Pipes.
            data_version: The digest of what was made.
            plots: PNG images by name; they are drawn only for Dagster.
        """
        say(f"data version {data_version}")
        if self.pipes is not None:
            images = {name: image(draw()) for name, draw in (plots or {}).items()}
            # Dagster shows them in this order.
            self.pipes.report_asset_materialization(metadata={**images, **metadata}, data_version=data_version)


class Throttle:
    """Progress lines, at most one in so many seconds.

    Args:
        reporter: Where they go.
        clock: Seconds from any fixed moment.
        interval_s: The shortest time between two lines.
    """

    def __init__(self, reporter: Reporter, clock: Callable[[], float], *, interval_s: float = 5.0) -> None:
        self._reporter, self._clock, self._interval_s = reporter, clock, interval_s
        self._said_at: float | None = None

    def say(self, message: str, *, last: bool = False) -> None:
        """Says it unless something was said just before; the last message is always said."""
        now = self._clock()
        if last or self._said_at is None or now - self._said_at >= self._interval_s:
            self._said_at = now
            self._reporter.log(message)


@contextmanager
def open_reporter(environment: Mapping[str, str]) -> Iterator[Reporter]:
    """A reporter for the block; an error that leaves the block reaches Dagster too."""
    loader = dagster_pipes.PipesMappingParamsLoader(environment)
    if not loader.is_dagster_pipes_process():
        yield Reporter()
        return
    with dagster_pipes.open_dagster_pipes(params_loader=loader) as pipes:
        yield Reporter(pipes)


def say(message: str) -> None:
    """Writes a line to stdout at once: SageMaker reads metrics and progress from there."""
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def markdown(text: str) -> dict[str, str]:
    """Markdown as a Pipes metadata value."""
    return {"raw_value": text, "type": "md"}


def image(png: bytes) -> dict[str, str]:
    """A PNG image as a Pipes metadata value."""
    return markdown(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")


def markdown_table(table: pd.DataFrame) -> dict[str, str]:
    """A frame as a Markdown table in a Pipes metadata value."""
    return markdown(tables.markdown_table(table))
