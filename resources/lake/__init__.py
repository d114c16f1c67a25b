"""The lake: where every table, release and model is kept, on this machine or on S3."""

from resources.lake.errors import (
    DamagedTableError,
    LakeAccessError,
    LakeError,
    LakeMissingError,
    LakeWriteError,
    MissingTableError,
    MixedLakeError,
    UnsupportedLakeError,
    WeekLostError,
)
from resources.lake.lake import Kind, Lake, content_digest

__all__ = [
    "DamagedTableError",
    "Kind",
    "Lake",
    "LakeAccessError",
    "LakeError",
    "LakeMissingError",
    "LakeWriteError",
    "MissingTableError",
    "MixedLakeError",
    "UnsupportedLakeError",
    "WeekLostError",
    "content_digest",
]
