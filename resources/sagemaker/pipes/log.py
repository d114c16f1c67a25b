"""The log of a job, followed as it grows."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from resources.aws import REMEDIES, error_code
from resources.sagemaker.pipes.patience import passes

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient


class LogFollower:
    """Follow a job's log streams and copy new lines to standard output, which Dagster keeps with the run.

    A log that cannot be read is no reason to lose the job: it says so once, and reads on where that may help.

    Args:
        logs: boto3 client of CloudWatch Logs.
        group: The job's log group; None where it has no log.
        job: The job.
        warn: Told why a log is not read.
    """

    def __init__(
        self, logs: "CloudWatchLogsClient", group: str | None, job: str, *, warn: Callable[[str], object]
    ) -> None:
        self._logs, self._group, self._job, self._warn = logs, group, job, warn
        self._tokens: dict[str, str] = {}
        self._told = False

    def follow(self) -> None:
        """Copy what has come since the last call."""
        from botocore.exceptions import BotoCoreError, ClientError

        if self._group is None:
            return
        try:
            pages = self._logs.get_paginator("describe_log_streams").paginate(
                logGroupName=self._group, logStreamNamePrefix=f"{self._job}/"
            )
            for stream in (stream for page in pages for stream in page["logStreams"]):
                self._copy(self._group, stream["logStreamName"])
        except self._logs.exceptions.ResourceNotFoundException:
            return  # the group or the stream appears with the first line
        except (ClientError, BotoCoreError) as error:
            if passes(error):
                self._say(f"its log comes late: {error}")
            else:
                code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
                self._say(f"its log cannot be read here ({code}): {REMEDIES.get(code, error)}")
                self._group = None

    def _say(self, what: str) -> None:
        if not self._told:
            self._warn(f"SageMaker job {self._job} goes on, but {what}")
            self._told = True

    def _copy(self, group: str, stream: str) -> None:
        while True:
            token = self._tokens.get(stream)
            page = self._logs.get_log_events(
                logGroupName=group,
                logStreamName=stream,
                startFromHead=True,
                **cast(dict[str, Any], {"nextToken": token} if token else {}),
            )
            for event in page["events"]:
                sys.stdout.write(event["message"].rstrip("\n") + "\n")
            sys.stdout.flush()
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token:  # a page may be empty before the end, at the end the token stays
                return
