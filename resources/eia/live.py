"""The official workbook, as anybody may download it: one file a series, no key."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from resources.eia.errors import EiaResponseError, UnknownSeriesError
from resources.eia.fetch import LIMITS, Limits, describe, download
from resources.eia.parse import parse
from resources.eia.published import Newest, NotModified, Published, Validators
from resources.eia.workbook import OLE2

LIVE_URL = "https://www.eia.gov/dnav/pet/hist_xls/"


@dataclass(frozen=True)
class Live:
    """Official workbooks under one address.

    Attributes:
        now: The clock.
        base_url: Where `<SERIES>w.xls` are.
        limits: Bounds of a download.
    """

    now: Callable[[], datetime]
    base_url: str = LIVE_URL
    limits: Limits = LIMITS

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The workbook of a series, or `NotModified`.

        Raises:
            UnknownSeriesError: EIA has no such workbook.
            EiaResponseError: What came is no workbook, such as a page that says sorry.
            EiaUnreachableError: Nobody answered.
            ReleaseTooLargeError: The answer is larger than the limit.
        """
        url = f"{self.base_url.rstrip('/')}/{unique_id}w.xls"
        try:
            got = download(url, validators=validators, limits=self.limits)
        except EiaResponseError as error:
            if error.status == 404:
                raise UnknownSeriesError(unique_id, error.url) from error
            raise
        if isinstance(got, NotModified):
            return got
        if not got.content.startswith(OLE2):
            advice = "Check the series id; if the page says EIA is down, try again later"
            raise EiaResponseError(got.url, 200, f"instead of a workbook, {describe(got.content)}", advice=advice)
        return Published(
            unique_id=unique_id,
            content=got.content,
            format="xls",
            source="live",
            url=got.url,
            fetched_at=self.now(),
            etag=got.etag,
            last_modified=got.last_modified,
        )

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The newest week in the workbook.

        EIA offers no cheaper question: with validators it is a conditional request, which costs a few hundred bytes
        until the next release; without them, or where the server gives none, one download (about 100 kB).

        Raises:
            EiaError: As `published` and `parse`.
        """
        got = self.published(unique_id, validators=validators)
        if isinstance(got, NotModified):
            return got
        return Newest(parse(got)["ds"].max().date(), got.validators)
