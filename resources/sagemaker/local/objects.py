"""What the twin reads and writes by ``s3://bucket/key``: folders of this machine, or S3 itself (`s3.S3Objects`).

As a folder ``s3://bucket/key`` is ``<root>/s3/bucket/key``; a bucket may be a link to a folder elsewhere.

Standard library only: supervisors import this without the site packages, unless S3 is real.
"""

import os
import re
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

PART = ".tmp-"
"""How the name of a file begins that is not whole yet."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IN_S3 = "objects-in-s3"
_HOLDINGS = ("s3", "train", "process", "model", "package", "endpoint")


class ObjectError(ValueError):
    """An address that is not an object of this machine's store."""


class RefusedError(Exception):
    """S3 does not do what a job or an endpoint needs of it."""

    def __init__(self, uri: str, code: str, said: str) -> None:
        super().__init__(f"{uri} ({code}: {said})")


class SettledError(Exception):
    """A twin keeps its objects where it began to."""

    def __init__(self, root: Path) -> None:
        super().__init__(
            f"{root} is in use and keeps its objects in folders: jobs and models there could not be found in S3. "
            "Give a folder of its own for S3"
        )


class Objects(Protocol):
    """The objects that jobs and endpoints read and write. A reader sees an object whole or not at all.

    Every method raises `ObjectError` for what is no address, and `RefusedError` where S3 refuses.
    """

    def check(self, uri: str) -> None:
        """Raise `ObjectError` for what is not an ``s3://bucket/key`` address."""

    def names(self, uri: str) -> list[str]:
        """The names of the objects whose key starts with that of ``uri``, in the order of their keys.

        As in S3 a prefix is text, not a folder: ``data/train`` covers ``data/train2`` too.

        Returns:
            Each relative to the prefix; the file name where the prefix is the whole key.
        """

    def download(self, uri: str, folder: Path) -> int:
        """Copy the objects under a prefix into a folder, which is made. Returns how many there were."""

    def upload(self, folder: Path, uri: str) -> None:
        """Copy the files of a folder under a prefix."""

    def upload_archive(self, folder: Path, uri: str) -> None:
        """Pack what is in a folder as the ``.tar.gz`` at ``uri``."""

    def extract(self, uri: str, folder: Path) -> None:
        """Unpack the ``.tar.gz`` at ``uri`` into a folder, which is made.

        Raises:
            FileNotFoundError: There is no such object in the folder; `RefusedError` in S3.
            tarfile.TarError: It is no archive, or has a member that would be written outside the folder.
        """

    def kept(self, uri: str, folder: Path) -> AbstractContextManager[None]:
        """Fill a folder from a prefix, and keep the prefix as the folder is while the block runs: checkpoints."""


def objects_of(root: Path) -> Objects:
    """The objects of the twin in a folder."""
    if in_s3(root):
        from resources.sagemaker.local.s3 import S3Objects

        return S3Objects()
    return ObjectStore(root)


def in_s3(root: Path) -> bool:
    """Whether the twin in a folder reads and writes S3 itself."""
    return (root / _IN_S3).exists()


def keep_in_s3(root: Path) -> None:
    """Have the twin in a folder read and write S3 itself, from its first job on.

    Raises:
        SettledError: It has begun with folders.
    """
    if not in_s3(root) and any((root / name).exists() for name in _HOLDINGS):
        raise SettledError(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _IN_S3).touch()


class ObjectStore:
    """The buckets below one root folder."""

    def __init__(self, root: Path) -> None:
        self._buckets = root / "s3"

    def check(self, uri: str) -> None:
        """Raise `ObjectError` for an address that is none, or leads out of its bucket."""
        self.path(uri)

    def path(self, uri: str) -> Path:
        """The file or folder of an ``s3://bucket/key`` address, whether or not it exists.

        Raises:
            ObjectError: Not an S3 address, not a bucket name, or a key that leads out of its bucket.
        """
        bucket, key = split(uri)
        home = self._buckets / bucket
        path = home / key
        if ".." in key.split("/") or not path.resolve().is_relative_to(home.resolve()):
            raise ObjectError(f"the key of {uri!r} leads out of its bucket")
        return path

    def names(self, uri: str) -> list[str]:
        """The names of the objects under a prefix."""
        return [name for name, _ in self._found(uri)]

    def _found(self, uri: str) -> list[tuple[str, Path]]:
        bucket, prefix = split(uri)
        home = self._buckets / bucket
        folder = self.path(f"s3://{bucket}/{prefix.rpartition('/')[0]}")
        found = []
        for parent, _, files in os.walk(folder):
            for name in files:
                file = Path(parent, name)
                key = file.relative_to(home).as_posix()
                if key.startswith(prefix) and not name.startswith(PART):
                    found.append((key, file))
        return [(key[len(prefix) :].lstrip("/") or file.name, file) for key, file in sorted(found)]

    def download(self, uri: str, folder: Path) -> int:
        """Copy the objects under a prefix into a folder, which is made. Returns how many there were."""
        folder.mkdir(parents=True, exist_ok=True)
        found = self._found(uri)
        for name, file in found:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        return len(found)

    def upload(self, folder: Path, uri: str) -> None:
        """Copy the files of a folder under a prefix, each written beside its place and moved there."""
        for parent, _, files in os.walk(folder):
            for name in files:
                file = Path(parent, name)
                target = self.path(f"{uri.rstrip('/')}/{file.relative_to(folder).as_posix()}")
                part = _part_of(target)
                shutil.copyfile(file, part)
                part.replace(target)

    def upload_archive(self, folder: Path, uri: str) -> None:
        """Pack what is in a folder as the ``.tar.gz`` at ``uri``, written beside its place and moved there."""
        target = self.path(uri)
        part = _part_of(target)
        pack(folder, part)
        part.replace(target)

    def extract(self, uri: str, folder: Path) -> None:
        """Unpack the ``.tar.gz`` at ``uri`` into a folder, which is made."""
        unpack(self.path(uri), folder)

    @contextmanager
    def kept(self, uri: str, folder: Path) -> Iterator[None]:
        """Make a folder one with a prefix; it stays so, however the job dies."""
        saved = self.path(uri)
        saved.mkdir(parents=True, exist_ok=True)
        if not folder.is_symlink():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(saved.resolve(), target_is_directory=True)
        yield


def pack(folder: Path, archive: Path) -> None:
    """Write what is in a folder as a ``.tar.gz``."""
    with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
        for item in sorted(folder.iterdir()):
            packed.add(item, arcname=item.name)


def unpack(path: Path, folder: Path) -> None:
    """Unpack a ``.tar.gz`` into a folder, which is made.

    Raises:
        FileNotFoundError: There is no such file.
        tarfile.TarError: It is no archive, or has a member that would be written outside the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(path, "r:gz") as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(folder, filter="data")
            else:  # Python before 3.11.4
                archive.extractall(folder, members=_plain_members(archive, folder))  # noqa: S202 - they are looked at
    except (EOFError, ValueError, RecursionError, zlib.error) as error:  # of damage, not all errors are tarfile's
        raise tarfile.ReadError(f"it is damaged: {error}") from error


def _plain_members(archive: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    """Files and folders that stay below a folder, as this user's own; anything else, links too, is refused."""
    for member in archive:
        member.name = member.name.lstrip("/")  # as tar does
        inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not (inside and (member.isfile() or member.isdir())):
            raise tarfile.ExtractError(f"{member.name!r} is no file or folder below the one it is unpacked to")
        member.mode = (member.mode & 0o755) | (0o700 if member.isdir() else 0o600)
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        yield member


def split(uri: str) -> tuple[str, str]:
    """The bucket and the key of an address.

    Raises:
        ObjectError: Not an S3 address, or not a bucket name.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3":
        raise ObjectError(f"{uri!r} is not an s3://bucket/key address")
    if not _BUCKET.fullmatch(bucket):
        raise ObjectError(f"{bucket!r} in {uri!r} is not a bucket name: 3 to 63 of a-z, 0-9, dots and hyphens")
    return bucket, key


def _part_of(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f"{PART}{uuid.uuid4().hex}")
