"""What can go wrong between EIA and a validated series: one small type each, carrying its facts as fields.

Messages name the series, the week or row, the (scrubbed) address, and what to do. No message ever holds an API key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

_SHOWN_CHARS = 300
_SHOWN_WEEKS = 5


class EiaError(Exception):
    """Root of everything this package raises on purpose."""


def shown(text: str) -> str:
    """Text of a release as a message may quote it: not much of it, and encodable whatever it holds."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}... ({len(text):,} characters)"


def weeks_shown(weeks: Sequence[date]) -> str:
    """The first few of some weeks, and how many more."""
    more = len(weeks) - _SHOWN_WEEKS
    return ", ".join(map(str, weeks[:_SHOWN_WEEKS])) + (f" and {more} more" if more > 0 else "")


class SourceSpecError(EiaError, ValueError):
    """`FORECAST_EIA_SOURCE` names no source that exists."""

    def __init__(self, spec: str, reason: str) -> None:
        self.spec = spec
        self.reason = reason
        super().__init__(
            f"EIA source {spec!r}: {reason}. Say live, api, sample, or name a .xls, a .csv or a folder of <SERIES>.csv "
            "by its path, file:// or http(s):// address"
        )


class MissingApiKeyError(EiaError):
    """The API was asked for without a key."""

    def __init__(self) -> None:
        super().__init__(
            "EIA's API needs a key: set EIA_API_KEY (free from https://www.eia.gov/opendata/register.php), "
            "or use the source live, which needs none"
        )


class EiaUnreachableError(EiaError):
    """Nobody answered, or only "not now": worth another try later.

    Attributes:
        url: The address, scrubbed.
        reason: What happened at the last attempt.
        attempts: How often it was tried.
        retry_after_s: Seconds to wait before another try: the server's own `Retry-After` where it gave one.
    """

    ADVICE = "Check the network"

    def __init__(self, url: str, reason: str, *, attempts: int = 1, retry_after_s: float = 300.0) -> None:
        self.url = url
        self.reason = reason
        self.attempts = attempts
        self.retry_after_s = retry_after_s
        super().__init__(
            f"cannot reach {url}: {reason} ({attempts} attempt{'s' if attempts > 1 else ''}). "
            f"{self.ADVICE}, and try again in {retry_after_s:.0f} s"
        )


class EiaBusyError(EiaUnreachableError):
    """The server answered "not now": too many requests, or a fault of its own."""

    ADVICE = "The server is there but refuses for now: wait"


class EiaTlsError(EiaUnreachableError):
    """Whoever answered could not prove to be the host asked for, or speaks no TLS; one attempt was enough."""

    ADVICE = (
        "Check the address and this machine's clock; if a proxy stands between, name its certificate in SSL_CERT_FILE"
    )


class EiaResponseError(EiaError):
    """An answer came, but not the one asked for; asking again will not change it.

    Attributes:
        url: The address, scrubbed.
        status: The HTTP status.
        detail: What the answer was or said.
    """

    def __init__(self, url: str, status: int, detail: str, *, advice: str = "Check the address") -> None:
        self.url = url
        self.status = status
        self.detail = detail
        super().__init__(f"{url} answered HTTP {status}: {detail}. {advice}")


class ReleaseTooLargeError(EiaError):
    """A release is larger than any real one."""

    def __init__(self, url: str, limit_bytes: int) -> None:
        self.url = url
        self.limit_bytes = limit_bytes
        super().__init__(
            f"{url} is larger than {limit_bytes:,} bytes, a real release is below 2,000,000. Check the address"
        )


class UnknownSeriesError(EiaError):
    """The source does not have the series."""

    def __init__(self, unique_id: str, where: str) -> None:
        self.unique_id = unique_id
        self.where = where
        super().__init__(f"series {unique_id} is not at {where}. Check its id, and that the source has it")


class ReleaseFormatError(EiaError):
    """A release cannot be read as what it claims to be.

    Attributes:
        unique_id: The series.
        where: Sheet, line or row.
        reason: What is wrong there.
    """

    def __init__(self, unique_id: str, where: str, reason: str) -> None:
        self.unique_id = unique_id
        self.where = where
        self.reason = shown(reason)
        super().__init__(f"release of {unique_id}, {where}: {self.reason}. Fetch it again, or mend the file")


class WorkbookError(ReleaseFormatError):
    """A workbook is truncated, encrypted, or not laid out as EIA lays it out."""


class UnitError(EiaError):
    """A series is not in thousand barrels per day."""

    def __init__(self, unique_id: str, found: str) -> None:
        self.unique_id = unique_id
        self.found = shown(found)
        super().__init__(
            f"series {unique_id} must be in thousand barrels per day, the release says {self.found!r}. "
            "Choose another series, or wait for EIA to correct the release"
        )


class SeriesMismatchError(EiaError):
    """A release holds another series than the one asked for."""

    def __init__(self, unique_id: str, found: str) -> None:
        self.unique_id = unique_id
        self.found = shown(found)
        super().__init__(
            f"asked for series {unique_id}, the release holds {self.found}. Point the source at the right file"
        )


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a series: where, what, and what to do."""

    week: date | None
    row: int | None
    problem: str
    remedy: str

    def __str__(self) -> str:
        """The finding on one line."""
        place = [f"week {self.week}" if self.week else "", f"row {self.row}" if self.row is not None else ""]
        return f"{', '.join(filter(None, place)) or 'the series'}: {self.problem} ({self.remedy})"


class ObservationsInvalidError(EiaError):
    """A series breaks what observations must be.

    Attributes:
        unique_id: The series.
        findings: Every violation, with week or row and what to do.
    """

    SHOWN = 5

    def __init__(self, unique_id: str, findings: Sequence[Finding]) -> None:
        self.unique_id = unique_id
        self.findings = tuple(findings)
        shown = "; ".join(str(finding) for finding in self.findings[: self.SHOWN])
        more = len(self.findings) - self.SHOWN
        super().__init__(f"series {unique_id} is not valid: {shown}" + (f"; and {more} more" if more > 0 else ""))


class WeekNotReleasedError(EiaError):
    """The source does not have the week yet, or never had it.

    Attributes:
        unique_id: The series.
        week: The Friday asked for.
        newest: The newest week the source has, if any.
        due: When the week is, or was, to be released.
    """

    def __init__(self, unique_id: str, week: date, *, newest: date | None, due: datetime) -> None:
        self.unique_id = unique_id
        self.week = week
        self.newest = newest
        self.due = due
        if newest is not None and newest > week:
            state = f"the source skips it, though it goes on to {newest}. Choose another week"
        else:
            state = f"the newest is {newest or 'none'}, {week} is due {due:%a %Y-%m-%d %H:%M %Z}. Try again after that"
        super().__init__(f"series {unique_id} has no figure for week {week}: {state}")


class FutureWeekError(EiaError):
    """A release holds figures of a week that EIA's calendar has not reached.

    Attributes:
        unique_id: The series.
        week: The latest day in it.
        newest_due: The newest week due.
    """

    def __init__(self, unique_id: str, week: date, *, newest_due: date, where: str) -> None:
        self.unique_id = unique_id
        self.week = week
        self.newest_due = newest_due
        super().__init__(
            f"series {unique_id} goes on to {week} at {where}, the newest week due by EIA's calendar is {newest_due}. "
            "Check the dates in the source, and this machine's clock"
        )


class MissingWeeksError(EiaError):
    """A series lacks weeks that a model needs.

    Attributes:
        unique_id: The series.
        weeks: The Fridays without a figure.
        needed_from: From which week on none may be missing.
    """

    def __init__(self, unique_id: str, weeks: Sequence[date], *, needed_from: date) -> None:
        self.unique_id = unique_id
        self.weeks = tuple(weeks)
        self.needed_from = needed_from
        super().__init__(
            f"series {unique_id} has no figure for {weeks_shown(weeks)}; a model needs every week from {needed_from} "
            "on. Look at the source and fetch it again; if EIA left them out, take the series out of FORECAST_SERIES "
            "until they are there"
        )


class HistoryShortenedError(EiaError):
    """A release lacks weeks that were known before.

    Attributes:
        unique_id: The series.
        weeks: The weeks that are gone.
        known: The week whose observations have them.
    """

    def __init__(self, unique_id: str, weeks: Sequence[date], *, known: date, where: str) -> None:
        self.unique_id = unique_id
        self.weeks = tuple(weeks)
        self.known = known
        super().__init__(
            f"series {unique_id} at {where} lacks {len(weeks)} week{'s' if len(weeks) > 1 else ''} that the "
            f"observations of {known} have: {weeks_shown(weeks)}. Fetch the whole history again; if EIA shortened it "
            "for good, point FORECAST_LAKE_URI at a new folder"
        )


class OlderReleaseError(EiaError):
    """A source gives an older release than it gave before.

    Attributes:
        unique_id: The series.
        url: The address.
        newest: The newest week in the release.
        kept: The newest week in one that was kept from the same address.
    """

    def __init__(self, unique_id: str, *, url: str, newest: date, kept: date) -> None:
        self.unique_id = unique_id
        self.url = url
        self.newest = newest
        self.kept = kept
        super().__init__(
            f"series {unique_id} ends {newest} at {url}, where it went on to {kept} before: an older release. "
            "Try again later; to replay an old release, point FORECAST_EIA_SOURCE at a file of its own"
        )


class ScaleChangedError(EiaError):
    """A series is a multiple of what it was: another unit or another definition under the same name.

    Attributes:
        unique_id: The series.
        factor: Median of new over old figures.
        weeks: How many weeks were compared.
        known: The week of the old figures.
    """

    def __init__(self, unique_id: str, *, factor: float, weeks: int, known: date, where: str) -> None:
        self.unique_id = unique_id
        self.factor = factor
        self.weeks = weeks
        self.known = known
        super().__init__(
            f"series {unique_id} at {where} is {factor:.4g} times what the observations of {known} say (median of "
            f"{weeks} weeks): another unit or definition. Look at the source; if EIA changed the series for good, "
            "point FORECAST_LAKE_URI at a new folder"
        )
