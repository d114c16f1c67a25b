"""A lake in a bucket.

What a reader sees: a write is one PutObject, which S3 does at once or not at all, and whoever reads or lists after it
sees it. So of a week that is being made anew each table is the former one or the new one; the tables change one by
one, in the order in which they are made, the forecast after all that it is made from. Of a week made for the first
time there is no forecast before it is whole.

What a writer may do: writes of a week that a run holds (`lease.Lease`) are conditional. The lease is known to be held
when the request is sent, and each object carries the token of the lease that it was written under: an object of a
later lease is never replaced. So a run that lost its week cannot mix its tables with its successor's.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import mimetypes
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from resources.aws import client, error_code
from resources.lake.errors import LakeAccessError, WeekLostError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WEEK = re.compile(r"(?:^|/)week=(\d{4}-\d{2}-\d{2})(?:/|\.)")
_TOKEN, _WRITTEN = "lease", "written-ns"
_MISSING = {"NoSuchKey", "404"}
_NANOSECONDS = 1_000_000_000
_ATTEMPTS = 5


class Guard(Protocol):
    """What a run holds a week by."""

    @property
    def token(self) -> int:
        """Counts up from holder to holder."""

    @property
    def overdue(self) -> bool:
        """Whether S3 has not confirmed it for so long that it may soon be somebody else's."""

    def check(self) -> None:
        """Have it confirmed if that is overdue; raise `WeekLostError` if the week is somebody else's by now."""


class _OverdueError(Exception):
    """The guard has to be checked again before anything is sent."""


_GUARD: ContextVar[Guard | None] = ContextVar("guard", default=None)


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
        self._seen = False

    def where(self, key: str) -> str:
        """The URI of a key."""
        return self.uri(key)

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return f"s3://{self.name}/{self._full(key)}"

    def console(self, key: str) -> str:
        """The URL at which people look at a key; they sign in there."""
        page = f"https://{self._region}.console.aws.amazon.com/s3/object/{self.name}"
        return f"{page}?region={self._region}&prefix={quote(self._full(key))}"

    def read(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            FileNotFoundError: There are none.
            LakeAccessError: The bucket cannot be read.
        """
        return self.version(key).content

    def version(self, key: str) -> Version:
        """The bytes of a key, and which version of them that is; raises as `read` does."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        for attempt in range(_ATTEMPTS):
            with self._asking("read", key):
                found = self._client.get_object(Bucket=self.name, Key=self._full(key))
                try:
                    content = found["Body"].read()
                except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):  # boto3 tries again until here
                    if attempt + 1 < _ATTEMPTS:
                        continue
                    raise
            break
        # Both times are of S3's clock, the second one in whole seconds.
        answered = found["ResponseMetadata"]["HTTPHeaders"].get("date")
        age = (parsedate_to_datetime(answered) - found["LastModified"]).total_seconds() if answered else 0.0
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
            self._put(key, content, {})
        else:
            self._put_guarded(key, content, guard)

    def create(self, key: str, content: bytes) -> bool:
        """Put bytes where nothing is; False where something is, for one of several creators it is true."""
        return self.replace(key, content, etag=None) is not None

    def replace(self, key: str, content: bytes, *, etag: str | None) -> str | None:
        """Put bytes in place of one version and no other.

        The answer may get lost on its way and the request be sent again: a refusal can mean that it was done before.

        Args:
            key: Of the object.
            content: Its bytes from now on.
            etag: The version; None for nothing.

        Returns:
            The new version's etag; None where another one, or none, was there.
        """
        return self._put(key, content, {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag})

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none.

        Raises:
            LakeAccessError: The bucket cannot be written.
        """
        with self._asking("delete", key):
            self._client.delete_object(Bucket=self.name, Key=self._full(key))

    def written_at(self, key: str) -> int | None:
        """When a key was put in place, in nanoseconds since 1970; None where there is nothing.

        S3's clock says the second, which is the same for all writers. The writer's own clock tells apart what it wrote
        within a second.
        """
        found = self._head(key)
        if found is None:
            return None
        second = int(found["LastModified"].timestamp()) * _NANOSECONDS
        written = int(found["Metadata"].get(_WRITTEN, second))
        return min(max(written, second), second + _NANOSECONDS - 1)

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
            if found is not None and int(found["Metadata"].get(_TOKEN, 0)) > guard.token:
                raise WeekLostError(self.where(key))
            condition = {"IfNoneMatch": "*"} if found is None else {"IfMatch": found["ETag"]}
            under = _GUARD.set(guard)
            try:
                if self._put(key, content, condition, token=guard.token) is not None:
                    return
            except _OverdueError:
                continue
            finally:
                _GUARD.reset(under)

    def _put(self, key: str, content: bytes, condition: Mapping[str, str], *, token: int = 0) -> str | None:
        """The new version's etag; None where the condition did not hold."""
        from botocore.exceptions import ClientError

        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"  # a browser shows a page that says it is one
        request: Any = {"Bucket": self.name, "Key": self._full(key), "Body": content, "ContentType": kind, **condition}
        for attempt in range(_ATTEMPTS):
            request["Metadata"] = {_WRITTEN: str(time.time_ns())} | ({_TOKEN: str(token)} if token else {})
            with self._asking("write", key):
                try:
                    answer = self._client.put_object(**request)
                except ClientError as error:
                    if error_code(error) == "ConditionalRequestConflict" and attempt + 1 < _ATTEMPTS:
                        continue  # a write or deletion at the same moment: S3 wants to be asked again
                    # NoSuchKey: the version that was to be replaced is gone.
                    if condition and error_code(error) in {"PreconditionFailed", "NoSuchKey"}:
                        return None
                    raise
            break
        self._seen = True
        return answer["ETag"]

    def _head(self, key: str) -> Any:  # noqa: ANN401 - botocore's answer
        """What S3 says about an object; None where there is none."""
        from botocore.exceptions import ClientError

        with self._asking("read", key):
            try:
                found = self._client.head_object(Bucket=self.name, Key=self._full(key))
            except ClientError as error:
                if error_code(error) in _MISSING:
                    self._look(key)
                    return None
                # An answer to HEAD has no body, so it does not say what is wrong; the one to GET does.
                self._client.get_object(Bucket=self.name, Key=self._full(key), Range="bytes=0-0")
                raise
        self._seen = True
        return found

    def _look(self, key: str) -> None:
        """Tell a bucket without an object from no bucket: HEAD answers both alike."""
        if not self._seen:
            with self._asking("read", key):
                self._client.list_objects_v2(Bucket=self.name, Prefix=self._full(key), MaxKeys=1)
            self._seen = True

    @property
    def _client(self) -> "S3Client":
        found: S3Client = client("s3", self._region)
        found.meta.events.register("before-send.s3.PutObject", _stop_if_overdue, unique_id="week-guard")
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


def _stop_if_overdue(**_: object) -> None:
    """Of boto3's own attempts, which may go on for minutes, none is made under a guard that has to be checked."""
    guard = _GUARD.get()
    if guard is not None and guard.overdue:
        raise _OverdueError
