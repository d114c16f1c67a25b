"""What can go wrong with files that others bring."""

from resources.eia.errors import shown


class LandingError(Exception):
    """Root of what taking in files raises on purpose."""


class LandingPlaceError(LandingError):
    """The place where files land cannot be looked at.

    Attributes:
        where: The folder or queue.
        reason: Why.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, shown(reason)
        super().__init__(
            f"cannot look at {where}, where releases land: {self.reason}. Nothing that lies there is lost; mend that, "
            "or set FORECAST_WATCH__LANDING to a folder or to the URL of the SQS queue that tells of a bucket"
        )


class LandingReadError(LandingError):
    """A file is there and cannot be read, which may pass: it is left where it is and read again.

    Attributes:
        where: The file or object.
        reason: Why.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, shown(reason)
        super().__init__(f"cannot read {where}: {self.reason}. It stays where it is and is tried again")


class LandingRefusedError(LandingError):
    """What landed is no release, whatever is in it: its name is of no configured series, or it is no file.

    Attributes:
        name: Of the file, as it may be shown.
        reason: Why.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = shown(name), shown(reason)
        super().__init__(
            f"{self.name} is not taken in: {self.reason}. A release is <SERIES>.csv or <SERIES>w.xls, of a series in "
            "the settings"
        )
