"""Resources as folders: created once, read by anyone, found dead or alive by a lock.

Every resource is one folder, ``<root>/<kind>/<name>``. Each file in it has one writer and is replaced atomically,
so readers need no transaction: the creator writes ``request.json``, a supervisor ``status.json``, a caller who wants
something ``stop`` or ``desired.json``. A supervisor holds ``lock`` for as long as it lives, and the kernel lets go of
it however it dies, so "is it alive?" needs neither pid files nor heartbeats. A job or an endpoint without its
supervisor is settled by whoever reads it; a tuning job's is started again: it only looks after jobs that live on. On a
full disk a supervisor cannot write
its status: it leaves its reason in the lock file, which has room for it, and whoever reads the resource settles it.

Standard library only: supervisors import this without the site packages. Local file systems only.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resources.sagemaker.local.processes import kill_group, launch_supervisor

ACCOUNT = "000000000000"
REGION = "us-east-1"
ENDED = frozenset({"Completed", "Failed", "Stopped"})
LOST = "InternalServerError: the process that supervised this resource was lost. Create it again."

LAST_WORDS_BYTES = 512
"""Room for the reason of a supervisor's end, in the lock file, after the number of its process."""

_NAME = re.compile(r"[a-zA-Z0-9-]+(/[0-9]+)?")
WAKE = signal.SIGUSR1
"""What tells a supervisor to look."""

Json = Any
"""A value in JSON form: timestamps are epoch seconds."""
Wire = dict[str, Json]
"""A request, an answer or a record in JSON form."""


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    Attributes:
        name: As the service names it in keys, such as ``TrainingJob`` in ``TrainingJobName``.
        folder: Its folder below the root.
        path: Its part of an ARN.
        words: What error messages call it.
    """

    name: str
    folder: str
    path: str
    words: str

    def arn(self, name: str) -> str:
        """The ARN of the resource of this kind with this name."""
        return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{self.path}/{name}"


TRAINING_JOB = Kind("TrainingJob", "train", "training-job", "training job")
PROCESSING_JOB = Kind("ProcessingJob", "process", "processing-job", "processing job")
TRANSFORM_JOB = Kind("TransformJob", "transform", "transform-job", "transform job")
TUNING_JOB = Kind("HyperParameterTuningJob", "tuning", "hyper-parameter-tuning-job", "hyperparameter tuning job")
MODEL = Kind("Model", "model", "model", "model")
MODEL_PACKAGE_GROUP = Kind("ModelPackageGroup", "group", "model-package-group", "model package group")
MODEL_PACKAGE = Kind("ModelPackage", "package", "model-package", "model package")
ENDPOINT_CONFIG = Kind("EndpointConfig", "config", "endpoint-config", "endpoint configuration")
ENDPOINT = Kind("Endpoint", "endpoint", "endpoint", "endpoint")
KINDS = (
    TRAINING_JOB,
    PROCESSING_JOB,
    TRANSFORM_JOB,
    TUNING_JOB,
    MODEL,
    MODEL_PACKAGE_GROUP,
    MODEL_PACKAGE,
    ENDPOINT_CONFIG,
    ENDPOINT,
)
SUPERVISED = frozenset({TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB, TUNING_JOB, ENDPOINT})


class ExistsError(Exception):
    """A resource of that kind and name exists already."""


def put_json(path: Path, value: Json) -> None:
    """Replace a JSON file atomically: a reader sees the old text or the new, never a part."""
    part = path.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        part.write_text(json.dumps(value))
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # a full disk should not fill with what it cannot hold
            part.unlink()
        raise


def get_json(path: Path) -> Json:
    """The JSON value in a file, or None where there is no such file."""
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return json.loads(text)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it. For a few writers of one small file."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Store:
    """The resources below one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, kind: Kind, name: str) -> Path:
        """Where a resource lives, or would live."""
        return self.root / kind.folder / name

    def names(self, kind: Kind) -> list[str]:
        """The names of the resources of one kind, in no particular order."""
        try:
            return [home.name for home in (self.root / kind.folder).iterdir()]
        except FileNotFoundError:
            return []

    def register(self, kind: Kind, name: str, request: Wire, status: Wire) -> None:
        """Create a resource with what all have: its name, its ARN, its times and its tags.

        Raises:
            ExistsError: The name is taken.
        """
        now = time.time()
        kept = {key: value for key, value in request.items() if key != "Tags"}
        born = {f"{kind.name}Name": name, f"{kind.name}Arn": kind.arn(name), "CreationTime": now}
        self.create(kind, name, kept | born, {"LastModifiedTime": now} | status, tags=request.get("Tags"))

    def create(self, kind: Kind, name: str, request: Wire, status: Wire, tags: list[Wire] | None = None) -> None:
        """Create a resource, and start its supervisor if its kind has one.

        The folder is prepared under another name and renamed into place, which the file system does for exactly one of
        several creators. A supervisor inherits the lock: it is held from before the folder can be seen.

        Raises:
            ExistsError: The name is taken.
        """
        home = self.folder(kind, name)
        home.parent.mkdir(parents=True, exist_ok=True)
        nascent = self.root / f".new-{uuid.uuid4().hex}"
        try:
            lock = _prepared(nascent, request, status, tags or [])
        except OSError:
            shutil.rmtree(nascent, ignore_errors=True)
            raise
        try:
            try:
                nascent.rename(home)
            except OSError as error:
                shutil.rmtree(nascent)
                if error.errno in {errno.EEXIST, errno.ENOTEMPTY}:
                    raise ExistsError(name) from error
                raise
            if kind in SUPERVISED:
                launch_supervisor(home, lock)
        finally:
            os.close(lock)

    def read(self, kind: Kind, name: str) -> Wire | None:
        """The record of a resource (request and status as one), or None where there is none.

        A resource whose supervisor died is settled first, by whoever reads it.
        """
        if not _NAME.fullmatch(name):  # an ARN of the request may hold anything, "../.." too
            return None
        home = self.folder(kind, name)
        lost: Wire = {}
        if kind in SUPERVISED and not self._ended(kind, home):
            lost = self._settle(kind, home)
        request, status = get_json(home / "request.json"), get_json(home / "status.json")
        if request is None or status is None:
            return None
        record: Wire = request | status | lost
        if (home / "stop").exists():
            if kind == ENDPOINT:
                record["EndpointStatus"] = "Deleting"
            elif record[f"{kind.name}Status"] not in ENDED:
                record[f"{kind.name}Status"] = "Stopping"
        return record

    def remove(self, kind: Kind, name: str) -> bool:
        """Remove a resource that no supervisor holds. False: it is held, or gone."""
        with self._claim(self.folder(kind, name)) as claimed:
            if claimed is not None:
                self.discard(self.folder(kind, name))
        return claimed is not None

    def wait(self, kind: Kind, name: str) -> None:
        """Wait for the supervisor of a resource that has ended: it lives for a moment after its last word."""
        with contextlib.suppress(FileNotFoundError), (self.folder(kind, name) / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)

    def stop(self, kind: Kind, name: str) -> None:
        """Ask a resource to stop."""
        put_json(self.folder(kind, name) / "stop", {"asked": time.time()})
        self.wake(kind, name)

    def wake(self, kind: Kind, name: str) -> None:
        """Have the supervisor of a resource look at once at what was asked of it; it would within half a second."""
        with (self.folder(kind, name) / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # it lives, so the number in the file is its own
                if pid := file.readline().strip():  # written once it can be woken
                    os.kill(int(pid), WAKE)

    def discard(self, home: Path) -> None:
        """Remove a folder whose lock is held by the caller; its name is free at once."""
        gone = self.root / f".gone-{uuid.uuid4().hex}"
        home.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)  # nobody finds it any more; what stays is swept with the lake

    def _ended(self, kind: Kind, home: Path) -> bool:
        status = get_json(home / "status.json")
        return status is None or (status.get(f"{kind.name}Status") in ENDED and not (home / "stop").exists())

    @contextmanager
    def _claim(self, home: Path, *, mode: int = os.O_RDONLY) -> Iterator[int | None]:
        """Take the lock of a resource if nobody holds it; the file must still be the one at that path.

        Gives its open file descriptor; None where it is held.
        """
        try:
            lock = os.open(home / "lock", mode | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                claimed = os.path.samestat(os.fstat(lock), (home / "lock").stat())
            except (BlockingIOError, FileNotFoundError):
                claimed = False
            yield lock if claimed else None
        finally:
            os.close(lock)

    def _settle(self, kind: Kind, home: Path) -> Wire:
        """Give a resource without a supervisor its last status, and end what the supervisor left running.

        A tuning job gets another supervisor.

        Returns:
            What changed; nothing where the resource is held, or had ended.
        """
        with self._claim(home, mode=os.O_RDWR if kind == TUNING_JOB else os.O_RDONLY) as claimed:
            if claimed is None:
                return {}
            status, changes = get_json(home / "status.json"), {}  # again: the supervisor may have ended it since
            if status.get(f"{kind.name}Status") not in ENDED:
                if kind == TUNING_JOB:
                    launch_supervisor(home, claimed)
                    return {}
                for child in status.get("children", []):
                    kill_group(child["pid"], child["started"])
                changes = _lost(kind, last_words(home / "lock") or LOST)
                with contextlib.suppress(OSError):  # this reader learns it all the same, and the next one tries again
                    put_json(home / "status.json", status | changes)
            if kind == ENDPOINT and (home / "stop").exists():
                self.discard(home)
        return changes


def introduce(lock: int) -> None:
    """Write the number of this process into its lock file: it can be woken from now on.

    Args:
        lock: Open file descriptor of the file, held.
    """
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def leave_words(lock: int, reason: str) -> None:
    """Leave the reason of this process's end where a full disk has room for it."""
    words = reason.replace("\n", " ").encode()[: LAST_WORDS_BYTES - 32]
    os.pwrite(lock, f"{os.getpid()}\n".encode() + words, 0)


def last_words(lock: Path) -> str:
    """What the supervisor of a lock file left as the reason of its end; mostly nothing."""
    return lock.read_text(errors="replace").partition("\n")[2].strip()


def _prepared(nascent: Path, request: Wire, status: Wire, tags: list[Wire]) -> int:
    """Fill the folder of a new resource; gives the open file descriptor of its lock, held."""
    nascent.mkdir()
    put_json(nascent / "request.json", request)
    put_json(nascent / "status.json", status)
    put_json(nascent / "tags.json", tags)
    lock = os.open(nascent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, b" " * LAST_WORDS_BYTES)
    return lock


def _lost(kind: Kind, reason: str) -> Wire:
    now = time.time()
    ended: Wire = {f"{kind.name}Status": "Failed", "FailureReason": reason, "children": [], "LastModifiedTime": now}
    if kind == TRAINING_JOB:
        ended |= {"SecondaryStatus": "Failed", "TrainingEndTime": now}
    if kind == PROCESSING_JOB:
        ended |= {"ProcessingEndTime": now}
    if kind == TRANSFORM_JOB:
        ended |= {"TransformEndTime": now}
    return ended
