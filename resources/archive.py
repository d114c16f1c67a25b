"""Read what SageMaker jobs leave behind: small tar archives, in memory, as data."""

import io
import tarfile
from pathlib import Path

import pandas as pd


class ArchiveError(Exception):
    """An archive is not what a job leaves behind."""


def members(path: Path, *, limit_bytes: int = 256_000_000) -> dict[str, bytes]:
    """The regular files of a `.tar.gz`, by name; nothing is written to disk, so a hostile path has nowhere to go.

    Raises:
        ArchiveError: It is missing, damaged, or unpacks to more than the limit.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = [member for member in archive if member.isfile()]
            if sum(member.size for member in files) > limit_bytes:
                raise ArchiveError(f"{path} unpacks to more than {limit_bytes} bytes")
            return {member.name.removeprefix("./"): _read(archive, member) for member in files}
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"cannot read {path}: {error}; run the week again with --force") from error


def table(content: bytes) -> pd.DataFrame:
    """A Parquet file's table."""
    return pd.read_parquet(io.BytesIO(content))


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""
