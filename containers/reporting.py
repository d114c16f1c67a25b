"""What a container tells its caller: lines on stdout always, and Dagster through Pipes where Dagster started it."""

import base64
import datetime as dt
import io
import itertools
import json
import sys
import threading
from collections import deque
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
    """A reporter for the block; an error that leaves the block reaches Dagster too.

    Dagster is reached through files, or through S3 where the bootstrap parameters name a bucket.
    """
    loader = _Bootstrap(environment)
    if not loader.is_dagster_pipes_process():
        yield Reporter()
        return
    if "bucket" in loader.load_messages_params():
        client = _s3_client(environment)
        pipes = dagster_pipes.open_dagster_pipes(
            params_loader=loader,
            context_loader=dagster_pipes.PipesS3ContextLoader(client),
            message_writer=S3MessageWriter(client),
        )
    else:
        pipes = dagster_pipes.open_dagster_pipes(params_loader=loader)
    with pipes:
        yield Reporter(pipes)


class _Bootstrap(dagster_pipes.PipesParamsLoader):
    """The bootstrap parameters, put together where they were too long for one variable.

    A processing job allows 256 characters a variable. Where bucket and key do not fit, the variable of the context
    holds the bucket and that of the messages their key; the context lies beside the messages.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._loader = dagster_pipes.PipesMappingParamsLoader(environment)

    def is_dagster_pipes_process(self) -> bool:
        return self._loader.is_dagster_pipes_process()

    def load_context_params(self) -> dagster_pipes.PipesParams:
        context, messages = self._loader.load_context_params(), self._loader.load_messages_params()
        if "bucket" in context and "key" not in context:
            return {**context, "key": f"{messages['key_prefix'].rpartition('/')[0]}/context.json"}
        return context

    def load_messages_params(self) -> dagster_pipes.PipesParams:
        context, messages = self._loader.load_context_params(), self._loader.load_messages_params()
        return {"bucket": context["bucket"], **messages} if "bucket" in context else messages


class S3MessageWriter(dagster_pipes.PipesS3MessageWriter):
    """Writes each message into S3 before it goes on, so that none is lost when the process is killed.

    Dagster's own gathers messages for ten seconds, in a thread that a refused write ends for good; and it counts from
    one in every process, so that a spot job that is resumed overwrites what it said before.
    """

    @contextmanager
    def open(self, params: dagster_pipes.PipesParams) -> Iterator["S3MessageChannel"]:
        """A channel for the block; an error that leaves it means that S3 did not take the messages to the end."""
        began = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
        channel = S3MessageChannel(self._client, params["bucket"], f"{params['key_prefix']}/{began}")
        try:
            yield channel
        finally:
            channel.flush()


class S3MessageChannel(dagster_pipes.PipesS3MessageWriterChannel):
    """One message an object, in a folder of this process: 0.json, 1.json, ..."""

    def __init__(self, client: Any, bucket: str, folder: str) -> None:  # noqa: ANN401 - a boto3 client
        super().__init__(client, bucket, folder)
        self._waiting: deque[tuple[int, str]] = deque()
        self._numbers = itertools.count()
        self._lock = threading.RLock()

    def write_message(self, message: dagster_pipes.PipesMessage) -> None:
        """Write a message, and those before it that S3 did not take.

        A job is worth more than a line of its progress: what S3 does not take now waits for the next message.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        with self._lock:
            self._waiting.append((next(self._numbers), json.dumps(message)))
        try:
            self.flush()
        except (BotoCoreError, ClientError) as error:
            say(f"a message for Dagster waits, S3 does not take it: {error}")

    def flush(self) -> None:
        """Write what waits; an error of boto3 if S3 does not take it."""
        with self._lock:
            while self._waiting:
                number, content = self._waiting[0]
                # A stop may come in the middle of this: written again under the same name, it is the same message.
                self.upload_messages_chunk(io.StringIO(content), number)
                self._waiting.popleft()


def _s3_client(environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    import boto3
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=20)
    return boto3.client("s3", region_name=environment.get("AWS_REGION"), config=config)


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
