"""A lake in a bucket.

A write is one PutObject, which S3 does at once or not at all. Writes of a week that a run holds (`lease.Lease`) are
conditional: each object carries the token of the lease that it was written under, and an object of a later lease is
never replaced. So a run that lost its week, and does not know it yet, cannot mix its tables with its successor's.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import contextlib
import functools
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from resources.aws import client, error_code
from resources.lake.errors import LakeAccessError, WeekLostError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WEEK = re.compile(r"(?:^|/)week=(\d{4}-\d{2}-\d{2})(?:/|\.)")
_TOKEN, _WRITTEN = "lease", "written-ns"
_MISSING = {"NoSuchKey", "404", "NotFound"}
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class Guard(Protocol):
    """What a run holds a week by."""

    @property
    def token(self) -> int:
        """Counts up from holder to holder."""

    def check(self) -> None:
        """Raise `WeekLostError` if the week is somebody else's by now."""


@dataclass(frozen=True)
class Version:
    """One version of an object.

    Attributes:
        content: Its bytes.
        etag: What a conditional write compares.
        age_s: Seconds since it was written, by the clock of S3.
    """

    content: bytes
    etag: str
    age_s: float


class Bucket:
    """Bytes by key, as objects under a prefix.

    Args:
        name: The bucket.
        prefix: Of every key; may be empty.
        region: Of the bucket.
    """

    def __init__(self, name: str, *, prefix: str, region: str) -> None:
        self.name, self.prefix, self._region = name, prefix, region
        self._guards: dict[str, Guard] = {}

    def where(self, key: str) -> str:
        """The URI of a key."""
        return self.uri(key)

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return f"s3://{self.name}/{self._full(key)}"

    def read(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            FileNotFoundError: There are none.
            LakeAccessError: The bucket cannot be read.
        """
        return self.version(key).content

    def version(self, key: str) -> Version:
        """The bytes of a key, and which version of them that is; raises as `read` does."""
        with self._asking("read", key):
            found = self._client.get_object(Bucket=self.name, Key=self._full(key))
            content = found["Body"].read()
        answered = found["ResponseMetadata"]["HTTPHeaders"].get("date")
        age = 0.0
        if answered:
            from email.utils import parsedate_to_datetime

            age = (parsedate_to_datetime(answered) - found["LastModified"]).total_seconds()
        return Version(content, found["ETag"], age)

    def write(self, key: str, content: bytes) -> None:
        """Put bytes in place of what is there, at once or not at all.

        Raises:
            WeekLostError: The key is of a week that another run has taken meanwhile.
            LakeAccessError: The bucket cannot be written; the object is as it was.
        """
        week = _WEEK.search(key)
        guard = self._guards.get(week[1]) if week else None
        if guard is None:
            self._put(key, content)
        else:
            self._put_guarded(key, content, guard)

    def create(self, key: str, content: bytes) -> bool:
        """Put bytes where nothing is; False where something is, for one of several creators it is true."""
        return self._put(key, content, IfNoneMatch="*") is not None

    def replace(self, key: str, content: bytes, *, etag: str) -> str | None:
        """Put bytes in place of one version and no other; gives the new one's etag, None where it was not there."""
        return self._put(key, content, IfMatch=etag)

    def written_at(self, key: str) -> int | None:
        """When a key was put in place, in nanoseconds since 1970; None where there is nothing."""
        found = self._head(key)
        if found is None:
            return None
        modified: datetime = found["LastModified"]  # in whole seconds
        return int(found["Metadata"].get(_WRITTEN) or modified.timestamp() * 1e9)

    def keys(self, folder: str) -> Iterator[str]:
        """Every key below a folder, in no particular order."""
        below = self._full("")
        with self._asking("list", folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=self._full(f"{folder.rstrip('/')}/")
            )
            for page in pages:
                for found in page.get("Contents", []):
                    yield found["Key"].removeprefix(below)

    @contextmanager
    def guarded(self, week: str, guard: Guard) -> Iterator[None]:
        """Within the block, writes of a week are made under a guard only."""
        self._guards[week] = guard
        try:
            yield
        finally:
            del self._guards[week]

    def _put_guarded(self, key: str, content: bytes, guard: Guard) -> None:
        while True:
            guard.check()
            found = self._head(key)
            if found is None:
                condition = {"IfNoneMatch": "*"}
            elif int(found["Metadata"].get(_TOKEN, 0)) > guard.token:
                raise WeekLostError(self.where(key))
            else:
                condition = {"IfMatch": found["ETag"]}
            if self._put(key, content, token=guard.token, **condition) is not None:
                return

    def _put(self, key: str, content: bytes, *, token: int = 0, **condition: str) -> str | None:
        """The new version's etag; None where the condition did not hold."""
        from botocore.exceptions import ClientError

        metadata = {_WRITTEN: str(time.time_ns())} | ({_TOKEN: str(token)} if token else {})
        with self._asking("write", key):
            try:
                request: Any = {"Bucket": self.name, "Key": self._full(key), "Body": content, "Metadata": metadata}
                answer = self._client.put_object(**request | condition)
            except ClientError as error:
                # NoSuchKey: the version that was to be replaced is gone.
                if condition and error_code(error) in {*_CONFLICT, "NoSuchKey"}:
                    return None
                raise
        return answer["ETag"]

    def _head(self, key: str) -> Any:  # noqa: ANN401 - botocore's answer
        with contextlib.suppress(FileNotFoundError), self._asking("read", key):
            return self._client.head_object(Bucket=self.name, Key=self._full(key))
        return None

    @functools.cached_property
    def _client(self) -> "S3Client":
        found: S3Client = client("s3", self._region)
        return found

    def _full(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @contextmanager
    def _asking(self, what: str, key: str) -> Iterator[None]:
        """Say what boto3 says in the lake's words."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            if error_code(error) in _MISSING:
                raise FileNotFoundError(2, "no such object", self.where(key)) from error
            raise LakeAccessError(what, self.where(key), error_code(error), str(error)) from error
        except BotoCoreError as error:
            raise LakeAccessError(what, self.where(key), type(error).__name__, str(error)) from error
