"""The SQS queue that S3 tells of files that land in a bucket.

A message is deleted when all files that it tells of are settled, so what dies in between is told of again: files are
read as they are now, and what is kept twice is kept once. What the platform refuses is copied into the lake with the
reason, and its message is deleted; a message is left to the dead-letter queue only where its file could never be read.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus

from resources.aws import REMEDIES, client, error_code
from resources.eia.errors import ReleaseTooLargeError
from resources.eia.fetch import LIMITS, Limits
from resources.lake import Lake
from resources.landing.arrival import LOOK_S, Arrival, Brought, is_for_others
from resources.landing.errors import LandingPlaceError, LandingReadError, LandingRefusedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

REJECTED = "landings/rejected"
WAIT_S = 1  # for a message, where there is none: waiting at all makes SQS ask all of its servers
_AT_ONCE = 10  # as many as SQS hands out
_GONE = {"NoSuchKey", "404"}


class Queue:
    """A queue that is asked for what is new.

    Args:
        url: Its URL.
        region: Of queue and bucket.
        lake: Where what is refused is copied to.
        limits: Bounds; only the size matters here.
    """

    def __init__(self, url: str, *, region: str, lake: Lake, limits: Limits = LIMITS) -> None:
        self.url, self.region, self.lake, self.limits = url, region, lake, limits

    @property
    def where(self) -> str:
        """The queue."""
        return self.url

    @property
    def cursor(self) -> None:
        """The queue itself knows what is settled."""

    def arrivals(self) -> Iterator[Arrival]:
        """What the queue tells of, ten messages at a time, until it is empty or 20 s are over.

        Raises:
            LandingPlaceError: The queue cannot be asked.
        """
        end = time.monotonic() + LOOK_S
        while messages := self._received():
            for message in messages:
                told = list(self._told(message))
                yield from told
                if all(arrival.settled for arrival in told):
                    self._delete(message)
            if time.monotonic() > end:
                return

    def _received(self) -> "list[MessageTypeDef]":
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=WAIT_S)
        except ClientError as error:
            reason = REMEDIES.get(error_code(error), str(error))
            raise LandingPlaceError(self.url, f"{reason} ({error_code(error)})") from error
        except BotoCoreError as error:
            raise LandingPlaceError(self.url, str(error)) from error
        return answer.get("Messages", [])

    def _delete(self, message: "MessageTypeDef") -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        except (ClientError, BotoCoreError) as error:
            raise LandingPlaceError(self.url, f"a message cannot be deleted, so it comes again: {error}") from error

    def _told(self, message: "MessageTypeDef") -> "Iterator[QueueArrival]":
        """What a message tells of: nothing where it is S3's test, or of files that are not for us."""
        try:
            for bucket, key in _created(json.loads(message["Body"])):
                name = PurePosixPath(key).name
                if not (key.endswith("/") or is_for_others(name)):
                    yield ObjectArrival(self, name, bucket, key)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            yield StrangeMessage(self, "message", message["Body"])

    @property
    def _sqs(self) -> "SQSClient":
        found: SQSClient = client("sqs", self.region, hurried=True)
        return found


@dataclass
class QueueArrival(ABC):
    """Something that a message tells of."""

    queue: Queue
    name: str
    settled: bool = field(default=False, init=False)

    @property
    def aside(self) -> str:
        """The folder of the lake for what is refused."""
        return self.queue.lake.where(REJECTED)

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it landed."""

    @abstractmethod
    def read(self) -> Brought:
        """What landed."""

    def settle(self) -> None:
        """Its message may go, as far as this is concerned."""
        self.settled = True

    def set_aside(self, reason: str, content: bytes | None) -> None:
        """Copy it into the lake, with its reason beside it; the object stays as it is, for it is not ours."""
        digest = hashlib.sha256(content or reason.encode("utf-8", "backslashreplace")).hexdigest()
        place = f"{REJECTED}/{digest[:12]}-{quote(self.name[-80:], safe='')}"
        if content is not None:
            self.queue.lake.write_bytes(place, content)
        self.queue.lake.write_bytes(f"{place}.reason.txt", f"{reason}\n".encode("utf-8", "backslashreplace"))
        self.settle()


@dataclass
class ObjectArrival(QueueArrival):
    """An object of a bucket."""

    bucket: str
    key: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key}"

    def read(self) -> Brought:
        """The object as it is now, which may be newer than the message."""
        from botocore.exceptions import BotoCoreError, ClientError

        most = self.queue.limits.max_bytes
        try:
            found = self._s3.get_object(Bucket=self.bucket, Key=self.key)
            if found["ContentLength"] > most:
                found["Body"].close()
                raise ReleaseTooLargeError(self.url, most)
            return Brought(found["Body"].read(), found["LastModified"])
        except ClientError as error:
            if error_code(error) in _GONE:
                raise FileNotFoundError(2, "no such object", self.url) from error
            reason = REMEDIES.get(error_code(error), str(error))
            raise LandingReadError(self.url, f"{reason} ({error_code(error)})") from error
        except BotoCoreError as error:
            raise LandingReadError(self.url, str(error)) from error

    @property
    def _s3(self) -> "S3Client":
        found: S3Client = client("s3", self.queue.region, hurried=True)
        return found


@dataclass
class StrangeMessage(QueueArrival):
    """A message that S3 has not written."""

    body: str

    @property
    def url(self) -> str:
        """The queue: the message has no address."""
        return self.queue.url

    def read(self) -> Brought:
        """Nothing can be read."""
        raise LandingRefusedError(f"a message of {self.queue.url}", f"it is no event of S3 but {self.body!r}")


def _created(said: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - whatever a message holds
    """Bucket and key of each object that an event of S3 says was created."""
    if said.get("Event") == "s3:TestEvent":  # S3 asks whether the queue is there
        return
    for record in said["Records"]:
        if record["eventName"].removeprefix("s3:").startswith("ObjectCreated:"):
            yield str(record["s3"]["bucket"]["name"]), unquote_plus(str(record["s3"]["object"]["key"]))
