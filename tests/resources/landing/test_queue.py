"""The queue that S3 tells of files: S3 and SQS by moto, whose bucket tells its queue as AWS's does."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends

from resources.aws import client
from resources.lake import Lake, LakeWriteError
from resources.landing import LandingPlaceError
from resources.landing.queue import Queue
from tests.resources.landing.conftest import NEWEST, OLDER, Site
from tests.s3 import REGION, S3

Csv = Callable[..., bytes]


class Bucket:
    """A bucket that tells a queue of what lands, and the looks at that queue."""

    def __init__(self, server: S3, site: Site) -> None:
        self.site, self._s3, self._sqs = site, server.client(), client("sqs", REGION)
        self.name = f"landing-{uuid.uuid4().hex}"
        self.url = self._sqs.create_queue(QueueName=self.name, Attributes={"VisibilityTimeout": "300"})["QueueUrl"]
        self._s3.create_bucket(Bucket=self.name)
        arn = f"arn:aws:sqs:{REGION}:{DEFAULT_ACCOUNT_ID}:{self.name}"
        rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
        self._s3.put_bucket_notification_configuration(
            Bucket=self.name, NotificationConfiguration={"QueueConfigurations": [rule]}
        )

    def look(self) -> int:
        return self.site.intake.take(Queue(self.url, region=REGION, lake=self.site.lake))

    def put(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self.name, Key=key, Body=content)

    def remove(self, key: str) -> None:
        self._s3.delete_object(Bucket=self.name, Key=key)

    def tell(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self.url, MessageBody=body)

    @property
    def messages(self) -> list[Any]:
        """Those in the queue, out of sight or not."""
        return list(sqs_backends[DEFAULT_ACCOUNT_ID][REGION].queues[self.name]._messages)

    def time_passes(self) -> None:
        """What was handed out and not deleted is seen again."""
        for message in self.messages:
            message.change_visibility(-1)

    def rejected(self) -> dict[str, bytes]:
        there = "landings/rejected"
        return {
            key.removeprefix(f"{there}/"): self.site.lake.read_bytes(key) for key in self.site.lake.storage.keys(there)
        }


@pytest.fixture
def bucket(s3: S3, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr("resources.landing.queue.WAIT_S", 0)
    return Bucket(s3, site)


def test_what_lands_is_taken_and_its_message_deleted_the_test_of_s3_without_a_word(bucket: Bucket, csv: Csv) -> None:
    assert "s3:TestEvent" in bucket.messages[0].body
    bucket.put("landing/a folder+more/WGFUPUS2.csv", csv())
    bucket.put("landing/folder/", b"")
    bucket.put("landing/_SUCCESS", b"")
    assert bucket.look() == 1
    assert bucket.messages == []
    assert bucket.site.said == ["WGFUPUS2.csv: WGFUPUS2 to 2024-06-28, taken in"]
    assert bucket.site.landings.release("WGFUPUS2", NEWEST).url.startswith(
        f"s3://{bucket.name}/landing/a folder+more/WGFUPUS2.csv#"
    )


def test_duplicates_and_disorder_change_nothing(bucket: Bucket, csv: Csv) -> None:
    for last, value in ((NEWEST, 4000), (OLDER, 4100), (NEWEST, 4200)):
        bucket.put("landing/WGFUPUS2.csv", csv(last, value=value))
    told = [message.body for message in bucket.messages]
    for body in reversed(told):  # at least once, in any order
        bucket.tell(body)
    assert bucket.look() == 1
    assert (bucket.site.holds(), bucket.site.newest()) == ({"WGFUPUS2": [NEWEST]}, csv(value=4200))
    assert bucket.messages == []


def test_an_older_week_of_another_folder_comes_after_the_newer_one(bucket: Bucket, csv: Csv) -> None:
    for last in (NEWEST, OLDER):
        bucket.put(f"landing/{last}/WGFUPUS2.csv", csv(last))
    assert bucket.look() == 2
    assert bucket.site.holds() == {"WGFUPUS2": [OLDER, NEWEST]}


def test_poison_goes_into_the_lake_with_its_reason_and_blocks_nothing(bucket: Bucket, csv: Csv) -> None:
    bucket.put("landing/WGFUPUS2w.xls", b"<html>")
    bucket.put("landing/WKJUPUS2.csv", csv())
    bucket.tell("no JSON")
    bucket.tell(json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": {}}]}))
    bucket.tell(json.dumps({"Records": [{"eventName": "ObjectRemoved:Delete"}]}))
    bucket.put("landing/WDIUPUS2.csv", csv())
    assert bucket.look() == 1
    assert bucket.messages == []
    rejected = bucket.rejected()
    assert [content for name, content in rejected.items() if name.endswith("-WGFUPUS2w.xls")] == [b"<html>"]
    reasons = b"".join(content for name, content in rejected.items() if name.endswith(".reason.txt")).decode()
    assert all(word in reasons for word in ("WorkbookError", "no series WKJUPUS2", "'no JSON'"))
    assert bucket.site.alerts.open_keys("landing:") == [
        "landing:WGFUPUS2w.xls",
        "landing:WKJUPUS2.csv",
        "landing:message",
    ]


def test_an_object_that_is_gone_is_passed_over(bucket: Bucket, csv: Csv) -> None:
    bucket.put("landing/WGFUPUS2.csv", csv())
    bucket.remove("landing/WGFUPUS2.csv")
    assert (bucket.look(), bucket.messages) == (0, [])
    assert bucket.site.said == ["WGFUPUS2.csv: it was gone before it was read"]


def test_what_cannot_be_read_now_stays_in_the_queue(bucket: Bucket, csv: Csv) -> None:
    bucket.put("landing/WGFUPUS2.csv", csv())
    bucket.tell(bucket.messages[-1].body.replace(bucket.name, "away-" + bucket.name))
    assert bucket.look() == 1
    [message] = bucket.messages
    assert "away-" in message.body
    assert bucket.site.alerts.open_keys("landing:") == ["landing:WGFUPUS2.csv"]


def test_too_large_an_object_is_not_read(bucket: Bucket, csv: Csv) -> None:
    bucket.put("landing/WGFUPUS2.csv", bytes(20_000_001))
    assert (bucket.look(), bucket.messages) == (0, [])
    [(name, reason)] = bucket.rejected().items()
    assert name.endswith("-WGFUPUS2.csv.reason.txt")
    assert b"ReleaseTooLargeError" in reason


@pytest.mark.parametrize("dies", ["before it is kept", "after it is kept"])
def test_a_message_is_deleted_only_once_its_file_is_kept(
    bucket: Bucket, csv: Csv, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    bucket.put("landing/WGFUPUS2.csv", csv())
    bucket.put("landing/WDIUPUS2.csv", csv())
    keep = bucket.site.landings.keep

    def cut(*arguments: Any, **named: Any) -> bool:
        if dies.startswith("after"):
            keep(*arguments, **named)
        raise LakeWriteError("lake", OSError(28, "No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(bucket.site.landings, "keep", cut)
        with pytest.raises(LakeWriteError):
            bucket.look()
    assert len(bucket.messages) == 2
    bucket.time_passes()
    assert bucket.look() == (1 if dies.startswith("after") else 2)
    assert (bucket.site.holds(), bucket.messages) == ({"WGFUPUS2": [NEWEST], "WDIUPUS2": [NEWEST]}, [])


def test_a_lake_in_a_bucket_takes_in_as_a_folder_does(bucket: Bucket, csv: Csv, s3: S3) -> None:
    s3.client().create_bucket(Bucket=f"lake-{bucket.name}")
    bucket.site = Site(Lake(uri=f"s3://lake-{bucket.name}/of/tests", region=REGION))
    bucket.put("landing/WGFUPUS2.csv", csv())
    bucket.put("landing/WDIUPUS2.csv", b"poison")
    assert (bucket.look(), bucket.messages) == (1, [])
    assert bucket.site.newest() == csv()
    assert len(bucket.rejected()) == 2


def test_a_queue_that_is_not_there_is_said(site: Site, bucket: Bucket) -> None:
    with pytest.raises(LandingPlaceError, match="NonExistentQueue|QueueDoesNotExist"):
        site.intake.take(Queue(f"{bucket.url}-of-nobody", region=REGION, lake=site.lake))
    assert len(site.alerts.open_keys("landing:")) == 1


def test_a_server_that_is_away_is_said_and_nothing_is_lost(bucket: Bucket, csv: Csv, s3: S3) -> None:
    bucket.put("landing/WGFUPUS2.csv", csv())
    with s3.away(), pytest.raises(LandingPlaceError):
        bucket.look()
    assert bucket.look() == 1
    assert bucket.site.alerts.open_keys() == []
