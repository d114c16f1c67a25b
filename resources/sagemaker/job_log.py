"""The log of a job, followed as it grows."""

import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient


class LogFollower:
    """Follow a job's log streams and copy new lines to standard output, which Dagster keeps with the run."""

    def __init__(self, logs: "CloudWatchLogsClient", group: str, job: str) -> None:
        self._logs, self._group, self._prefix = logs, group, f"{job}/"
        self._tokens: dict[str, str] = {}

    def follow(self) -> None:
        """Copy what has come since the last call."""
        try:
            streams = self._logs.describe_log_streams(logGroupName=self._group, logStreamNamePrefix=self._prefix)
            for stream in streams["logStreams"]:
                self._copy(stream["logStreamName"])
        except self._logs.exceptions.ResourceNotFoundException:
            return  # the group or the stream appears with the first line

    def _copy(self, stream: str) -> None:
        while True:
            token = self._tokens.get(stream)
            page = self._logs.get_log_events(
                logGroupName=self._group,
                logStreamName=stream,
                startFromHead=True,
                **cast(dict[str, Any], {"nextToken": token} if token else {}),
            )
            for event in page["events"]:
                sys.stdout.write(event["message"].rstrip("\n") + "\n")
            sys.stdout.flush()
            self._tokens[stream] = page["nextForwardToken"]
            if not page["events"]:
                return
