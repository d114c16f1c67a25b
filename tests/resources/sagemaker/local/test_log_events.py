"""CloudWatch Logs over the files that containers' output goes to."""

import json
from io import BytesIO

import pytest
from botocore.exceptions import ClientError

from resources.sagemaker.local.logs import LogWriter, events, streams

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def logged(twin):
    """Two streams whose events have known times: 100, 200, ... and 150."""
    for stream, times in (("a/algo-1-1", range(100, 600, 100)), ("b/algo-1-1", [150])):
        path = twin.root / "logs/TrainingJobs" / f"{stream}.jsonl"
        path.parent.mkdir(parents=True)
        lines = [{"timestamp": time, "message": f"at {time}", "ingestionTime": time} for time in times]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"timestamp": 6')  # one is being written
    return twin.logs


def messages(answer):
    return [event["message"] for event in answer["events"]]


def test_streams_are_found_by_prefix(logged):
    streams = logged.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["a/algo-1-1", "b/algo-1-1"]
    assert (streams[0]["firstEventTimestamp"], streams[0]["lastEventTimestamp"]) == (100, 500)
    (one,) = logged.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="b/")["logStreams"]
    assert one["logStreamName"] == "b/algo-1-1"
    newest = logged.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True, limit=1)
    assert [stream["logStreamName"] for stream in newest["logStreams"]] == ["a/algo-1-1"]
    assert newest["nextToken"]
    assert logged.describe_log_groups(logGroupNamePrefix="/aws/sage")["logGroups"][0]["logGroupName"] == GROUP


def test_a_stream_is_followed_by_its_forward_token(logged, twin):
    asked = {"logGroupName": GROUP, "logStreamName": "a/algo-1-1", "startFromHead": True}
    first = logged.get_log_events(**asked, limit=3)
    assert messages(first) == ["at 100", "at 200", "at 300"]
    second = logged.get_log_events(**asked, nextToken=first["nextForwardToken"])
    assert messages(second) == ["at 400", "at 500"]
    nothing = logged.get_log_events(**asked, nextToken=second["nextForwardToken"])
    assert (nothing["events"], nothing["nextForwardToken"]) == ([], second["nextForwardToken"])
    with (twin.root / "logs/TrainingJobs/a/algo-1-1.jsonl").open("a") as file:
        file.write('00, "message": "at 600"}\n')
    assert messages(logged.get_log_events(**asked, nextToken=second["nextForwardToken"])) == ["at 600"]


def test_a_stream_is_read_from_its_end_backwards(logged):
    asked = {"logGroupName": GROUP, "logStreamName": "a/algo-1-1"}
    last = logged.get_log_events(**asked, limit=2)
    assert messages(last) == ["at 400", "at 500"]
    before = logged.get_log_events(**asked, limit=2, nextToken=last["nextBackwardToken"])
    assert messages(before) == ["at 200", "at 300"]
    assert messages(logged.get_log_events(**asked, nextToken=before["nextForwardToken"])) == ["at 400", "at 500"]


def test_events_are_chosen_by_time(logged):
    asked = {"logGroupName": GROUP, "logStreamName": "a/algo-1-1", "startTime": 200, "endTime": 400}
    assert messages(logged.get_log_events(**asked, startFromHead=True)) == ["at 200", "at 300"]
    assert messages(logged.get_log_events(**asked, limit=1)) == ["at 300"]


def test_streams_are_merged_in_the_order_of_time(logged):
    pages = logged.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, endTime=300, PaginationConfig={"PageSize": 2}
    )
    events = [event for page in pages for event in page["events"]]
    assert [(event["timestamp"], event["logStreamName"][0]) for event in events] == [(100, "a"), (150, "b"), (200, "a")]
    assert len({event["eventId"] for event in events}) == 3
    only = logged.filter_log_events(logGroupName=GROUP, logStreamNames=["b/algo-1-1"])
    assert messages(only) == ["at 150"]


@pytest.mark.parametrize(
    ("operation", "changes", "code"),
    [
        ("get_log_events", {"logStreamName": "none"}, "ResourceNotFoundException"),
        ("get_log_events", {"logStreamName": "../../images"}, "ResourceNotFoundException"),
        ("get_log_events", {"logStreamName": "a/algo-1-1", "nextToken": "x"}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupName": "/aws/sagemaker/../.."}, "ResourceNotFoundException"),
        ("describe_log_streams", {"logGroupName": "/aws/lambda/f"}, "ResourceNotFoundException"),
        ("filter_log_events", {"filterPattern": "ERROR"}, "InvalidParameterException"),
    ],
    ids=["no stream", "stream elsewhere", "token", "group elsewhere", "other group", "pattern"],
)
def test_what_is_not_there_is_refused(logged, operation, changes, code):
    with pytest.raises(ClientError) as caught:
        getattr(logged, operation)(**({"logGroupName": GROUP} | changes))
    assert caught.value.response["Error"]["Code"] == code


def test_output_that_is_no_text_and_has_no_end_becomes_events(local):
    local.command(
        train="import sys\nsys.stdout.buffer.write(b'\\xff\\n\\n' + b'x' * 300_000 + b'\\nlast\\r\\nno newline')\n"
    )
    local.train("job")
    lines = local.lines("TrainingJobs", "job/")
    assert [len(line) for line in lines] == [1, 256 * 1024, 300_000 - 256 * 1024, 4, 10]
    assert lines[0] == "\N{REPLACEMENT CHARACTER}"


def test_a_stream_can_be_deleted(logged):
    logged.delete_log_stream(logGroupName=GROUP, logStreamName="a/algo-1-1")
    assert [stream["logStreamName"] for stream in logged.describe_log_streams(logGroupName=GROUP)["logStreams"]] == [
        "b/algo-1-1"
    ]
    with pytest.raises(logged.exceptions.ResourceNotFoundException):
        logged.delete_log_stream(logGroupName=GROUP, logStreamName="a/algo-1-1")


def test_the_log_of_a_process_that_never_ends_has_an_end(tmp_path):
    output = BytesIO(b"".join(b"line %04d\n" % number for number in range(1000)))
    writer = LogWriter(tmp_path, "Endpoints/demand", "AllTraffic/i-1", room_bytes=10_000)
    assert len(list(writer.copy(output))) == 1000
    found = streams(tmp_path, "Endpoints/demand")
    assert len(found) == 2
    assert all(stream.path.stat().st_size < 11_000 for stream in found)
    told = [event["message"] for stream in sorted(found, key=_number) for _, event in events(stream.path)]
    assert told == [f"line {number:04d}" for number in range(1000 - len(told), 1000)]
    writer._file.close()


def _number(stream):
    return int(stream.name.rpartition("-")[2])
