"""A lake in a bucket: conditional writes, answers lost on the way, refusals by name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from resources.aws import client
from resources.lake import Lake, LakeAccessError, WeekLostError
from resources.lake.s3 import Bucket
from tests.refusing import refusing
from tests.s3 import REGION, S3, reached
from tests.served import free_port

WEEK = date(2023, 11, 10)
KEY = "forecast/week=2023-11-10/data.parquet"


@dataclass
class Held:
    """A guard as a test wants it."""

    token: int
    overdue: bool = False
    lost: bool = False
    checks: int = 0

    def check(self) -> None:
        self.checks += 1
        self.overdue = False
        if self.lost:
            raise WeekLostError("somewhere")


@contextmanager
def sending(operation: str, act: Callable[[int], None]) -> Iterator[None]:
    """Within the block something happens before each attempt of an operation; it is told how many there were."""
    s3, count = client("s3", REGION), iter(range(100))

    def before(**_: object) -> None:
        act(next(count))

    s3.meta.events.register_last(f"before-send.s3.{operation}", before)
    try:
        yield
    finally:
        s3.meta.events.unregister(f"before-send.s3.{operation}", before)


def test_of_two_creators_one_wins(bucket: Bucket) -> None:
    assert bucket.create(KEY, b"first")
    assert not bucket.create(KEY, b"second")
    assert bucket.read(KEY) == b"first"


def test_a_version_is_replaced_once(bucket: Bucket) -> None:
    bucket.write(KEY, b"first")
    etag = bucket.version(KEY).etag
    new = bucket.replace(KEY, b"second", etag=etag)
    assert new == bucket.version(KEY).etag
    assert bucket.replace(KEY, b"third", etag=etag) is None
    assert bucket.replace("gone", b"third", etag=etag) is None
    assert bucket.read(KEY) == b"second"


def test_keys_are_those_of_the_lake_and_no_other(bucket: Bucket, s3: S3) -> None:
    for key in ("forecast/week=2023-11-10/data.parquet", "forecast_accuracy/week=2023-11-10/data.parquet"):
        bucket.write(key, b"")
    s3.client().put_object(Bucket=bucket.name, Key="forecast/week=2023-11-03/data.parquet", Body=b"of another lake")
    assert list(bucket.keys("forecast")) == ["forecast/week=2023-11-10/data.parquet"]
    assert [str(week) for week in Lake(uri=bucket.uri("")).weeks("forecast")] == ["2023-11-10"]


def test_a_page_says_that_it_is_one(bucket: Bucket, s3: S3) -> None:
    key = f"dashboard/week={WEEK}/index.html"
    bucket.write(key, b"<!doctype html>")
    assert s3.client().head_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{key}")["ContentType"] == "text/html"
    where = f"{bucket.name}?region={REGION}&prefix=of/tests/dashboard/week%3D2023-11-10/index.html"
    assert bucket.console(key) == f"https://{REGION}.console.aws.amazon.com/s3/object/{where}"


def test_more_keys_than_one_answer_holds_are_listed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {f"blobs/{number}" for number in range(7)}
    for key in keys:
        bucket.write(key, b"")
    pages: list[int] = []
    with sending("ListObjectsV2", pages.append):
        listed = client("s3", REGION).get_paginator("list_objects_v2")
        monkeypatch.setattr(client("s3", REGION), "get_paginator", lambda _: _Small(listed))
        assert set(bucket.keys("blobs")) == keys
    assert len(pages) == 4


class _Small:
    """A paginator that asks for two keys at a time."""

    def __init__(self, paginator: object) -> None:
        self._paginator = paginator

    def paginate(self, **request: object) -> object:
        return self._paginator.paginate(**request, PaginationConfig={"PageSize": 2})  # type: ignore[attr-defined]


# -- when it was written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off_s", [-600, 600], ids=["ten minutes slow", "ten minutes fast"])
def test_the_clock_of_a_writer_does_not_matter(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, off_s: int) -> None:
    from resources.lake import s3 as module

    real = module.time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: real() + off_s * 10**9)
    bucket.write(KEY, b"")
    monkeypatch.undo()
    written = bucket.written_at(KEY)
    assert written is not None
    assert abs(written / 1e9 - datetime.now(UTC).timestamp()) < 60


def test_writes_within_a_second_are_told_apart(bucket: Bucket) -> None:
    for number in range(3):
        bucket.write(f"table{number}", b"")
    times = [bucket.written_at(f"table{number}") or 0 for number in range(3)]
    assert times == sorted(times)
    assert len(set(times)) == 3


# -- under a guard --------------------------------------------------------------------------------------------------


def test_a_later_lease_is_not_written_over(bucket: Bucket) -> None:
    with bucket.guarded("2023-11-10", Held(2)):
        bucket.write(KEY, b"of the second run")
    with bucket.guarded("2023-11-10", Held(1)), pytest.raises(WeekLostError, match=f"{KEY} was not written"):
        bucket.write(KEY, b"of the first run")
    assert bucket.read(KEY) == b"of the second run"
    with bucket.guarded("2023-11-10", Held(3)):
        bucket.write(KEY, b"of the third run")
    assert bucket.read(KEY) == b"of the third run"


def test_a_lost_lease_writes_nothing_of_its_week_and_all_else(bucket: Bucket) -> None:
    with bucket.guarded("2023-11-10", Held(1, lost=True)):
        with pytest.raises(WeekLostError):
            bucket.write(KEY, b"")
        bucket.write("blobs/ab", b"")
        bucket.write("forecast/week=2023-11-03/data.parquet", b"")
    assert bucket.written_at(KEY) is None


def test_what_comes_between_is_looked_at_again(bucket: Bucket, s3: S3) -> None:
    """Another run writes after ours has looked at the object and before its own write arrives."""

    def overtake(attempt: int) -> None:
        if attempt == 0:
            metadata = {"lease": "2"}
            s3.client().put_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{KEY}", Body=b"theirs", Metadata=metadata)

    with bucket.guarded("2023-11-10", Held(1)), sending("PutObject", overtake), pytest.raises(WeekLostError):
        bucket.write(KEY, b"ours")
    assert bucket.read(KEY) == b"theirs"


def test_a_lease_that_runs_out_between_two_attempts_is_checked_before_the_next(bucket: Bucket, s3: S3) -> None:
    """boto3 sends a request again for minutes: long enough to lose the week."""
    from botocore.exceptions import ReadTimeoutError

    held = Held(1)

    def cut_off(attempt: int) -> None:
        if attempt == 0:
            held.overdue = held.lost = True
            raise ReadTimeoutError(endpoint_url=s3.url)

    with bucket.guarded("2023-11-10", held), sending("PutObject", cut_off), pytest.raises(WeekLostError):
        bucket.write(KEY, b"late")
    assert bucket.written_at(KEY) is None
    assert held.checks == 2


# -- answers that are lost ------------------------------------------------------------------------------------------


def test_a_write_whose_answer_is_lost_is_done_once(bucket: Bucket, s3: S3) -> None:
    from botocore.exceptions import ConnectionClosedError

    def lost(attempt: int) -> None:
        if attempt == 0:
            metadata = {"lease": "1"}
            s3.client().put_object(Bucket=bucket.name, Key=f"{bucket.prefix}/{KEY}", Body=b"ours", Metadata=metadata)
            raise ConnectionClosedError(endpoint_url=s3.url)

    with bucket.guarded("2023-11-10", Held(1)), sending("PutObject", lost):
        bucket.write(KEY, b"ours")
    assert bucket.read(KEY) == b"ours"


def test_a_conflict_is_no_refusal(bucket: Bucket) -> None:
    """S3 answers 409 where it cannot tell yet: nothing may be there all the same."""
    from botocore.awsrequest import AWSResponse

    class Raw:
        def stream(self, **_: object) -> Iterator[bytes]:
            yield b"<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>"

    s3, answers = client("s3", REGION), iter([AWSResponse("", 409, {}, Raw())])

    def conflict(**_: object) -> object:
        return next(answers, None)

    s3.meta.events.register_last("before-send.s3.PutObject", conflict)
    try:
        assert bucket.create(KEY, b"ours")
    finally:
        s3.meta.events.unregister("before-send.s3.PutObject", conflict)
    assert bucket.read(KEY) == b"ours"


def test_a_body_that_breaks_off_is_read_again(bucket: Bucket) -> None:
    from botocore.exceptions import ResponseStreamingError
    from botocore.response import StreamingBody

    bucket.write(KEY, b"whole")
    read, breaks = StreamingBody.read, iter([True])

    def breaking(body: StreamingBody, amt: int | None = None) -> bytes:
        if next(breaks, False):
            raise ResponseStreamingError(error="the connection broke")
        return read(body, amt)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamingBody, "read", breaking)
        assert bucket.read(KEY) == b"whole"


# -- refusals -------------------------------------------------------------------------------------------------------

ASKED: dict[str, Callable[[Lake], object]] = {
    "read": lambda lake: lake.kind,
    "list": lambda lake: lake.weeks("forecast"),
    "look": lambda lake: lake.written_at("forecast", WEEK),
    "write": lambda lake: lake.claim("real"),
}
REFUSALS = {
    "NoSuchBucket": (404, "no such bucket: make it with `forecast aws bootstrap`, or mend FORECAST_LAKE_URI"),
    "AccessDenied": (403, "these credentials may not do that"),
    "ExpiredToken": (400, "the credentials have expired: sign in again"),
    "InvalidAccessKeyId": (403, "AWS does not know this access key"),
    "SignatureDoesNotMatch": (403, "the secret key is not that of the access key"),
    "PermanentRedirect": (301, "the bucket is in another region: set FORECAST_REGION"),
    "RequestTimeTooSkewed": (403, "the clock of this machine is wrong: set it"),
}


def refused(lake: Lake) -> dict[str, LakeAccessError]:
    """What each kind of question is answered by."""
    found = {}
    for name, ask in ASKED.items():
        with pytest.raises(LakeAccessError) as caught:
            ask(lake)
        assert caught.value.where.startswith(f"{lake.uri}/")
        assert str(caught.value).endswith("What was stored is as it was")
        found[name] = caught.value
    return found


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_says_what_is_wrong_and_what_to_do(s3: S3, code: str) -> None:
    status, words = REFUSALS[code]
    with refusing(code, status) as url, reached(s3.environment | {"AWS_ENDPOINT_URL": url}):
        for error in refused(Lake(uri="s3://some-bucket/lake")).values():
            assert error.code == code
            assert words in str(error)


def test_a_bucket_that_is_not_there_is_no_empty_lake(s3: S3) -> None:
    for error in refused(Lake(uri="s3://never-made/lake")).values():
        assert "there is no such bucket" in str(error)


def test_no_credentials(s3: S3) -> None:
    none = {name: value for name, value in s3.environment.items() if "KEY" not in name}
    with reached(none):
        for error in refused(Lake(uri="s3://some-bucket/lake")).values():
            assert "(NoCredentialsError): there are no AWS credentials: sign in" in str(error)


def test_nobody_answers(s3: S3) -> None:
    with reached(s3.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}):
        for error in refused(Lake(uri="s3://some-bucket/lake")).values():
            assert "(EndpointConnectionError): AWS cannot be reached from here" in str(error)
