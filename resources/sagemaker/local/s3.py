"""S3 itself as what the twin reads and writes: any service that boto3 can reach.

Credentials, region and address come from the environment of the process that started the job or the endpoint, as
boto3 reads it (``AWS_ENDPOINT_URL_S3``); none of it is stored. Where it holds keys that expire, an endpoint cannot
fetch a new model after that: give such a twin a profile.
"""

import functools
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from resources.aws import client, error_code
from resources.sagemaker.local.objects import PART, RefusedError, pack, split, unpack
from resources.sagemaker.local.store import REGION

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SYNC_S = 5.0
_GENERIC = {"403": "AccessDenied", "404": "NoSuchKey"}
"""What S3 means by an answer without a body, as HeadObject has."""

_State = dict[Path, tuple[int, int]]


class S3Objects:
    """Objects in S3."""

    def check(self, uri: str) -> None:
        """Raise `ObjectError` for what is not an ``s3://bucket/key`` address."""
        split(uri)

    def names(self, uri: str) -> list[str]:
        """The names of the objects whose key starts with that of ``uri``, in the order of their keys."""
        return [name for name, _ in self._found(uri)]

    def download(self, uri: str, folder: Path) -> int:
        """Copy the objects under a prefix into a folder, which is made. Returns how many there were."""
        folder.mkdir(parents=True, exist_ok=True)
        bucket, _ = split(uri)
        found = self._found(uri)
        for name, key in found:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch(bucket, key, target)
        return len(found)

    def upload(self, folder: Path, uri: str) -> None:
        """Copy the files of a folder under a prefix."""
        self._send(folder, uri, _files(folder))

    def upload_archive(self, folder: Path, uri: str) -> None:
        """Pack what is in a folder as the ``.tar.gz`` at ``uri``."""
        bucket, key = split(uri)
        archive = folder.with_name(f"{PART}{uuid.uuid4().hex}")
        try:
            pack(folder, archive)
            self._put(archive, bucket, key)
        finally:
            archive.unlink(missing_ok=True)

    def extract(self, uri: str, folder: Path) -> None:
        """Unpack the ``.tar.gz`` at ``uri`` into a folder, which is made."""
        bucket, key = split(uri)
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder.with_name(f"{PART}{uuid.uuid4().hex}")
        try:
            self._fetch(bucket, key, archive)
            unpack(archive, folder)
        finally:
            archive.unlink(missing_ok=True)

    @contextmanager
    def kept(self, uri: str, folder: Path) -> Iterator[None]:
        """Fill a folder from a prefix; what changes in it while the block runs is copied there, every few seconds."""
        self.download(uri, folder)
        before, ended = _files(folder), threading.Event()

        def follow() -> None:
            nonlocal before
            while not ended.wait(_SYNC_S):
                with suppress(RefusedError, OSError):  # a file may go while it is read; the last copy tells
                    before = self._sync(folder, uri, before)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
            self._sync(folder, uri, before)

    def _sync(self, folder: Path, uri: str, before: _State) -> _State:
        now = _files(folder)
        self._send(folder, uri, [file for file in now if now[file] != before.get(file)])
        return now

    def _found(self, uri: str) -> list[tuple[str, str]]:
        """Names and keys; the empty objects that stand for folders in the console are none."""
        bucket, prefix = split(uri)
        found = []
        with _refusals(uri):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    key = item["Key"]
                    if not key.endswith("/"):
                        found.append((key[len(prefix) :].lstrip("/") or PurePosixPath(key).name, key))
        for name, key in found:
            if {"", ".", ".."} & set(name.split("/")):
                raise RefusedError(f"s3://{bucket}/{key}", "InvalidKey", "it is no path below a folder")
        return sorted(found, key=lambda pair: pair[1])

    def _send(self, folder: Path, uri: str, files: Iterator[Path] | list[Path] | _State) -> None:
        bucket, prefix = split(uri)
        for file in sorted(files):
            name = file.relative_to(folder).as_posix()
            self._put(file, bucket, f"{prefix.rstrip('/')}/{name}".lstrip("/"))

    def _put(self, file: Path, bucket: str, key: str) -> None:
        with _refusals(f"s3://{bucket}/{key}"), file.open("rb") as content:
            self._client.upload_fileobj(content, bucket, key)

    def _fetch(self, bucket: str, key: str, target: Path) -> None:
        with _refusals(f"s3://{bucket}/{key}"), target.open("wb") as content:
            self._client.download_fileobj(bucket, key, content)

    @functools.cached_property
    def _client(self) -> "S3Client":
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
        found: S3Client = client("s3", region)
        return found


def _files(folder: Path) -> _State:
    """The files below a folder, and what tells that one was written again."""
    found = {}
    for parent, _, files in os.walk(folder):
        for name in files:
            file = Path(parent, name)
            state = file.stat()
            found[file] = (state.st_mtime_ns, state.st_size)
    return found


@contextmanager
def _refusals(uri: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = _GENERIC.get(error_code(error), error_code(error))
        raise RefusedError(uri, code, error.response["Error"].get("Message", "")) from error
    except BotoCoreError as error:
        raise RefusedError(uri, type(error).__name__, str(error)) from error
