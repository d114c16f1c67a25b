"""Amazon S3 as a folder: ``s3://bucket/key`` is ``<root>/s3/bucket/key``; a bucket may be a link to a folder elsewhere.

Standard library only: supervisors import this without the site packages.
"""

import os
import re
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PART = ".tmp-"


class ObjectError(ValueError):
    """An address that is not an object of this machine's store."""


class ObjectStore:
    """The buckets below one root folder."""

    def __init__(self, root: Path) -> None:
        self._buckets = root / "s3"

    def path(self, uri: str) -> Path:
        """The file or folder of an ``s3://bucket/key`` address, whether or not it exists.

        Raises:
            ObjectError: Not an S3 address, not a bucket name, or a key that leads out of its bucket.
        """
        bucket, key = _split(uri)
        home = self._buckets / bucket
        path = home / key
        if ".." in key.split("/") or not path.resolve().is_relative_to(home.resolve()):
            raise ObjectError(f"the key of {uri!r} leads out of its bucket")
        return path

    def objects(self, uri: str) -> list[tuple[str, Path]]:
        """The objects whose key starts with that of ``uri``, in the order of their keys.

        As in S3 a prefix is text, not a folder: ``data/train`` covers ``data/train2`` too.

        Returns:
            For each its name relative to the prefix (its file name where the prefix is the whole key) and its file.
        """
        bucket, prefix = _split(uri)
        home = self._buckets / bucket
        folder = self.path(f"s3://{bucket}/{prefix.rpartition('/')[0]}")
        found = []
        for parent, _, files in os.walk(folder):
            for name in files:
                file = Path(parent, name)
                key = file.relative_to(home).as_posix()
                if key.startswith(prefix) and not name.startswith(_PART):
                    found.append((key, file))
        return [(key[len(prefix) :].lstrip("/") or file.name, file) for key, file in sorted(found)]

    def download(self, uri: str, folder: Path) -> int:
        """Copy the objects under a prefix into a folder, which is made. Returns how many there were."""
        folder.mkdir(parents=True, exist_ok=True)
        found = self.objects(uri)
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
        with tarfile.open(part, "w:gz", compresslevel=6) as archive:
            for item in sorted(folder.iterdir()):
                archive.add(item, arcname=item.name)
        part.replace(target)

    def extract(self, uri: str, folder: Path) -> None:
        """Unpack the ``.tar.gz`` at ``uri`` into a folder, which is made.

        Raises:
            FileNotFoundError: There is no such object.
            tarfile.TarError: It is no archive, or has a member that would be written outside the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = self.path(uri)
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


def _split(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3":
        raise ObjectError(f"{uri!r} is not an s3://bucket/key address")
    if not _BUCKET.fullmatch(bucket):
        raise ObjectError(f"{bucket!r} in {uri!r} is not a bucket name: 3 to 63 of a-z, 0-9, dots and hyphens")
    return bucket, key


def _part_of(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f"{_PART}{uuid.uuid4().hex}")
