"""The operations of CloudWatch Logs on the groups of ``/aws/sagemaker/``."""

import hashlib
from typing import Any

from resources.sagemaker.local.base import Base
from resources.sagemaker.local.logs import GROUPS, Stream, events, groups, streams
from resources.sagemaker.local.store import ACCOUNT, REGION, Wire
from resources.sagemaker.local.wire import AwsError

_MOST_EVENTS = 10_000


class LogEvents(Base):
    """Log groups, streams and events."""

    def describe_log_groups(self, request: Wire) -> Wire:
        """DescribeLogGroups."""
        prefix, pattern = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
        names = [f"{GROUPS}{group}" for group in groups(self.root)]
        kept = [name for name in names if name.startswith(prefix) and pattern in name]
        shown, more = _slice(kept, request, 50)
        return {"logGroups": [{"logGroupName": name, "arn": _arn(name)} for name in shown]} | more

    def describe_log_streams(self, request: Wire) -> Wire:
        """DescribeLogStreams."""
        group = _group(request)
        found = [_described(group, stream) for stream in self._streams(request, request.get("logStreamNamePrefix", ""))]
        if request.get("orderBy") == "LastEventTime":
            found.sort(key=lambda stream: stream.get("lastEventTimestamp", 0))
        if request.get("descending", False):
            found.reverse()
        shown, more = _slice(found, request, 50)
        return {"logStreams": shown} | more

    def delete_log_stream(self, request: Wire) -> Wire:
        """DeleteLogStream."""
        self._stream(request).path.unlink(missing_ok=True)
        return {}

    def get_log_events(self, request: Wire) -> Wire:
        """GetLogEvents. The tokens are places in the stream; at its end the forward one stays the same."""
        stream = self._stream(request)
        limit = request.get("limit", _MOST_EVENTS)
        direction, place = _token(request.get("nextToken"))
        if direction == "f" or (direction == "" and request.get("startFromHead", False)):
            first = end = place
            shown: list[Wire] = []
            for after, event in events(stream.path, place):
                if len(shown) == limit:
                    break
                end = after
                if _within(event, request):
                    shown.append(event)
        else:
            starts, kept = [0], []
            for after, event in events(stream.path):
                if direction == "b" and after > place:
                    break
                starts.append(after)
                kept.append(event)
            end = starts[-1]
            chosen = [i for i, event in enumerate(kept) if _within(event, request)][-limit:]
            first = starts[chosen[0]] if chosen else starts[0]
            shown = [kept[i] for i in chosen]
        return {"events": shown, "nextForwardToken": f"f/{end}", "nextBackwardToken": f"b/{first}"}

    def filter_log_events(self, request: Wire) -> Wire:
        """FilterLogEvents, without a filter pattern: the events of several streams in the order of their times."""
        if request.get("filterPattern"):
            raise AwsError("InvalidParameterException", "filterPattern is not supported by the logs of this machine.")
        names = request.get("logStreamNames")
        found = []
        for stream in self._streams(request, request.get("logStreamNamePrefix", "")):
            if names is None or stream.name in names:
                kept = [event for _, event in events(stream.path) if _within(event, request)]
                found += [_filtered(stream, number, event) for number, event in enumerate(kept)]
        found.sort(key=lambda event: event["eventId"])
        shown, more = _slice(found, request, _MOST_EVENTS)
        return {"events": shown, "searchedLogStreams": []} | more

    def _stream(self, request: Wire) -> Stream:
        named = self._streams(request, request["logStreamName"])
        stream = next((one for one in named if one.name == request["logStreamName"]), None)
        if stream is None:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        return stream

    def _streams(self, request: Wire, prefix: str) -> list[Stream]:
        group = _group(request)
        missing = AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        if not group.startswith(GROUPS) or ".." in group.split("/") or ".." in prefix.split("/"):
            raise missing
        try:
            return streams(self.root, group.removeprefix(GROUPS), prefix)
        except FileNotFoundError as error:
            raise missing from error


def _group(request: Wire) -> str:
    name: str = request.get("logGroupName") or request.get("logGroupIdentifier", "").rpartition(":")[2]
    if not name:
        raise AwsError("InvalidParameterException", "A logGroupName or a logGroupIdentifier is needed.")
    return name


def _arn(group: str) -> str:
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"


def _described(group: str, stream: Stream) -> Wire:
    times = [event["timestamp"] for _, event in events(stream.path)]
    seen = {"firstEventTimestamp": times[0], "lastEventTimestamp": times[-1]} if times else {}
    return {
        "logStreamName": stream.name,
        "creationTime": int(stream.created * 1000),
        "arn": f"{_arn(group)[:-1]}log-stream:{stream.name}",
        **seen,
    }


def _filtered(stream: Stream, number: int, event: Wire) -> Wire:
    # Digits alone, ordered by time, then stream, then place: what AWS gives is opaque, and as long.
    which = int.from_bytes(hashlib.blake2b(stream.name.encode(), digest_size=8).digest()) % 10**20
    return event | {
        "logStreamName": stream.name,
        "eventId": f"{event['timestamp']:016d}{which:020d}{number:020d}",
    }


def _within(event: Wire, request: Wire) -> bool:
    return bool(request.get("startTime", 0) <= event["timestamp"] < request.get("endTime", float("inf")))


def _token(token: str | None) -> tuple[str, int]:
    if token is None:
        return "", 0
    direction, _, place = token.partition("/")
    if direction not in {"f", "b"} or not place.isdecimal():
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    return direction, int(place)


def _slice(items: list[Any], request: Wire, most: int) -> tuple[list[Any], Wire]:
    direction, start = _token(request.get("nextToken"))
    if direction == "b":
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    end = start + min(request.get("limit", most), most)
    return items[start:end], {"nextToken": f"f/{end}"} if end < len(items) else {}
