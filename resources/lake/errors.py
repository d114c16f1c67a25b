"""What can go wrong with a lake, by name."""

import errno
import os
from datetime import date

from resources.aws import REMEDIES

_REMEDIES = {
    errno.ENOSPC: "free space on its volume",
    errno.EDQUOT: "free space within the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.EROFS: "give this user the right to write there",
}


class LakeError(Exception):
    """The lake cannot do what was asked."""


class UnsupportedLakeError(LakeError):
    """The URI names a kind of lake that this version cannot read or write."""

    def __init__(self, uri: str):
        super().__init__(f"lake_uri {uri!r} is not supported: give a folder, file:///path or s3://bucket/prefix")


class MissingTableError(LakeError):
    """A table has no such week."""

    def __init__(self, table: str, week: date, *, remedy: str | None = None):
        self.table, self.week = table, week
        remedy = remedy or f"materialize the asset that makes it, or run `forecast refresh --week {week}`"
        super().__init__(f"the lake has no {table} of week {week}: {remedy}")


class MixedLakeError(LakeError):
    """Simulated figures were about to enter a lake of real ones, or the reverse."""

    def __init__(self, uri: str, *, held: str, offered: str):
        self.held, self.offered = held, offered
        super().__init__(
            f"the lake at {uri} holds {held} figures and these are {offered}: a lake is one or the other for ever; "
            "set FORECAST_LAKE_URI to a new folder for them"
        )


class LakeWriteError(LakeError):
    """A file of the lake could not be written.

    Attributes:
        where: The file or object. What was there before is there still.
        reason: What the system said.
    """

    def __init__(self, where: object, error: OSError):
        self.where, self.reason = str(where), os.strerror(error.errno) if error.errno else str(error)
        remedy = _REMEDIES.get(error.errno or 0, "mend that")
        super().__init__(
            f"cannot write {where}: {self.reason}. Nothing is half-written; {remedy}, then run `forecast refresh` again"
        )


class LakeMissingError(LakeError):
    """A folder that held a lake holds none.

    Attributes:
        where: The folder.
        run_id: A run that has made a week of it.
    """

    def __init__(self, where: object, run_id: str) -> None:
        self.where, self.run_id = str(where), run_id
        super().__init__(
            f"there is no lake in {where}, though run {run_id} has made a week of it: a volume that is not mounted? "
            "Nothing was written. Bring it back, then run `forecast refresh` again; if it was removed on purpose, give "
            "the new one a new DAGSTER_HOME"
        )


class LakeAccessError(LakeError):
    """A bucket cannot be read or written.

    Attributes:
        where: The object.
        code: What S3 or boto3 calls the reason.
    """

    def __init__(self, what: str, where: str, code: str, said: str) -> None:
        self.where, self.code = where, code
        remedy = REMEDIES.get(code, said)
        super().__init__(f"cannot {what} {where} ({code}): {remedy}. What was stored is as it was")


class WeekLostError(LakeError):
    """A run lost its week to another one: it was not heard of for longer than its lease.

    Attributes:
        where: What it was about to write.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(
            f"{where} was not written: another run has taken over the week, because this one was not heard of for "
            "too long (suspended, or cut off from S3). The other run makes the week; nothing is mixed"
        )


class DamagedTableError(LakeError):
    """A file of the lake is there and is not what was written.

    Attributes:
        where: The file or object.
        reason: What is wrong with it.
    """

    def __init__(self, where: object, reason: str, *, remedy: str):
        self.where, self.reason = str(where), reason
        super().__init__(f"{where} is damaged ({reason}): {remedy}")
