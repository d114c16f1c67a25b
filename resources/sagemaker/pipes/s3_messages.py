"""What Dagster and a job say to each other through Pipes, kept in a bucket.

    <prefix>/<job>/context.json         what the job is told
    <prefix>/<job>/messages/...         what it says: objects with a message a line, in the order of their names

Numbers in names count as numbers, so `PipesS3MessageWriter` of `dagster_pipes` (1.json, 2.json, ...) is understood. It
begins at 1.json again when a spot job is resumed, so what it said before is heard only by a reader that was there. Jobs
that are resumed should write as `containers.reporting` does: into a folder of its own for each process.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from dagster_pipes import (
    DAGSTER_PIPES_CONTEXT_ENV_VAR,
    DAGSTER_PIPES_MESSAGES_ENV_VAR,
    PipesContextData,
    PipesParams,
    encode_param,
)

from resources.sagemaker.pipes.messages import JobMessageReader
from resources.sagemaker.pipes.patience import Patience

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

R = TypeVar("R")


class S3Messages:
    """Contexts and messages below a prefix of a bucket.

    Args:
        client: boto3 client of S3.
        bucket: The bucket; the role of the jobs may read and write below the prefix.
        prefix: Of every job's place.
        patience: How long a call is tried again.
    """

    def __init__(
        self,
        client: "S3Client",
        *,
        bucket: str,
        prefix: str,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix.strip("/")
        self._patience, self._warn = patience, dg.get_dagster_logger().warning

    def injector(self, job: str) -> dg.PipesContextInjector:
        """Puts `context.json`."""
        return _S3ContextInjector(self, f"{self._place(job)}/context.json")

    def reader(self, job: str) -> JobMessageReader:
        """Reads what is below `messages`."""
        return _S3MessageReader(self, f"{self._place(job)}/messages")

    def kept(self, job: str) -> bool:
        """Whether something is below `messages`."""
        place = f"{self._place(job)}/messages/"
        found = self.ask(
            f"list {self.uri(place)}",
            lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=place, MaxKeys=1),
        )
        return bool(found.get("Contents"))

    def environment(self, session: dg.PipesSession, *, longest: int) -> Mapping[str, str]:
        """Bucket and keys, as `PipesS3ContextLoader` and `PipesS3MessageWriter` read them, if they are short enough.

        If not, the bucket stands in one variable and the key in the other, and the job has to put them together as
        `containers.reporting` does: 256 characters are few for what Pipes makes of a long bucket and prefix.
        """
        plain = session.get_bootstrap_env_vars()
        if max(map(len, plain.values())) <= longest:
            return plain
        where = session.message_reader_params
        return {
            DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"bucket": where["bucket"]}),
            DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"key_prefix": where["key_prefix"]}),
        }

    # -- for the injector and the reader -------------------------------------------------------------------------

    def uri(self, key: str) -> str:
        """What people call a key."""
        return f"s3://{self._bucket}/{key}"

    def params(self, **where: str) -> PipesParams:
        """How a job finds a key."""
        return {"bucket": self._bucket, **where}

    def put(self, key: str, content: bytes) -> None:
        """Put an object in place of what is there."""
        self.ask(
            f"write {self.uri(key)}",
            lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=content),
        )

    def get(self, key: str) -> bytes:
        """The bytes of an object."""

        def whole() -> bytes:  # reading the body is a part of it, which may fail as well
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

        return self.ask(f"read {self.uri(key)}", whole)

    def etags(self, folder: str) -> dict[str, str]:
        """The ETag of every object below a folder, by key."""

        def pages() -> list[Any]:
            return list(
                self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{folder}/")
            )

        found = self.ask(f"list {self.uri(folder)}", pages)
        return {item["Key"]: item["ETag"] for page in found for item in page.get("Contents", [])}

    def ask(self, what: str, call: Callable[[], R]) -> R:
        """The answer of a call; see `Patience.ask`."""
        return self._patience.ask(what, call, warn=self._warn)

    def _place(self, job: str) -> str:
        return f"{self._prefix}/{job}".lstrip("/")


class _S3ContextInjector(dg.PipesContextInjector):
    def __init__(self, store: S3Messages, key: str) -> None:
        self._store, self._key = store, key

    @contextmanager
    def inject_context(self, context: PipesContextData) -> Iterator[PipesParams]:
        """Put the object, and keep it."""
        self._store.put(self._key, json.dumps(context).encode())
        yield self._store.params(key=self._key)

    def no_messages_debug_text(self) -> str:
        """Where the context is."""
        return f"Attempted to inject context through {self._store.uri(self._key)}."


class _S3MessageReader(JobMessageReader):
    def __init__(self, store: S3Messages, folder: str) -> None:
        super().__init__()
        self._store, self._folder = store, folder
        self._etags: dict[str, str] = {}
        self._contents: set[tuple[str, str]] = set()

    @contextmanager
    def _opened(self) -> Iterator[PipesParams]:
        yield self._store.params(key_prefix=self._folder)

    def _lines(self) -> Iterator[str]:
        found = self._store.etags(self._folder)
        for key in sorted(found, key=_counted):
            if self._etags.get(key) == found[key]:
                continue
            content = self._store.get(key)
            self._etags[key] = found[key]
            # A write whose answer was lost is made again: another version perhaps, and no other message.
            digest = key, hashlib.sha256(content).hexdigest()
            if digest not in self._contents:
                self._contents.add(digest)
                yield from content.decode(errors="replace").splitlines()

    def no_messages_debug_text(self) -> str:
        """Where messages were expected."""
        return f"Attempted to read messages from {self._store.uri(self._folder)}."


def _counted(key: str) -> list[tuple[str, int]]:
    """A key to sort by, in which 10.json comes after 9.json."""
    parts = re.split(r"(\d+)", key)
    return [(text, int(number or 0)) for text, number in zip(parts[::2], [*parts[1::2], ""], strict=True)]
