"""Read what SageMaker jobs leave behind: small tar archives, in memory, as data."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from resources import parquet


class ArchiveError(Exception):
    """An archive is not what a job leaves behind."""


def members(archived: bytes, *, where: str, limit_bytes: int = 256_000_000) -> dict[str, bytes]:
    """The regular files of a `.tar.gz`, by name; nothing is written to disk, so a hostile path has nowhere to go.

    Args:
        archived: The archive.
        where: What to call it in messages.
        limit_bytes: How much it may unpack to.

    Raises:
        ArchiveError: It is damaged, or unpacks to more than the limit.
    """
    try:
        # Unpacked up to the limit and no further, before anything in it is believed.
        with gzip.open(io.BytesIO(archived)) as file:
            content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise _too_large(where, limit_bytes)
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            files = [member for member in archive if member.isfile()]
            if sum(member.size for member in files) > limit_bytes:  # a sparse file says what size it is
                raise _too_large(where, limit_bytes)
            return {member.name.removeprefix("./"): _read(archive, member) for member in files}
    except (OSError, tarfile.TarError, EOFError, ValueError, zlib.error, RecursionError) as error:
        raise ArchiveError(f"cannot read {where}: {error}; run the week again with --force") from error


@dataclass(frozen=True)
class JobFiles:
    """The files that a job left behind, by name.

    Attributes:
        where: The archive, for messages.
        contents: What each file holds.
    """

    where: str
    contents: Mapping[str, bytes]

    def content(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            ArchiveError: There is no such file.
        """
        try:
            return self.contents[name]
        except KeyError:
            held = ", ".join(sorted(self.contents)) or "nothing"
            raise ArchiveError(f"{self.where} lacks {name}, it holds {held}; run the week again with --force") from None

    def table(self, name: str) -> pd.DataFrame:
        """The table in a Parquet file.

        Raises:
            ArchiveError: There is no such file, or it is damaged.
        """
        content = self.content(name)
        try:
            return parquet.loaded(content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArchiveError(
                f"{name} in {self.where} is no Parquet file: {error}; run the week again with --force"
            ) from error


def _too_large(where: str, limit_bytes: int) -> ArchiveError:
    return ArchiveError(f"{where} unpacks to more than {limit_bytes:,} bytes; look at what the job wrote")


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""
