"""EIA's API, version 2 (https://www.eia.gov/opendata/documentation.php), route petroleum/cons/wpsup.

At most 5,000 rows come in one answer, so a series is paged by `offset` until `total`. Values and total arrive as
strings. The key travels as a query parameter, and an answer may echo the request: only rows are kept, and messages are
scrubbed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from resources.eia.errors import EiaResponseError, UnknownSeriesError
from resources.eia.fetch import LIMITS, Download, Limits, describe, download, scrub
from resources.eia.published import Newest, NotModified, Published, Validators

API_URL = "https://api.eia.gov/v2/"
ROUTE = "petroleum/cons/wpsup"
PAGE_ROWS = 5000
MAX_PAGES = 20  # a weekly series since 1990 is one page

Row = dict[str, Any]


@dataclass(frozen=True)
class Api:
    """The API with a key.

    Attributes:
        now: The clock.
        api_key: The key; part of no message and no representation.
        base_url: The root of version 2.
        limits: Bounds of one request.
        page_rows: Rows asked for at once.
    """

    now: Callable[[], datetime]
    api_key: str = field(repr=False)
    base_url: str = API_URL
    limits: Limits = LIMITS
    page_rows: int = PAGE_ROWS

    @property
    def url(self) -> str:
        """The address of the rows, without query."""
        return f"{self.base_url.rstrip('/')}/{ROUTE}/data/"

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """All rows of a series, oldest first, as one canonical JSON document.

        The API gives no validators, so the answer is never `NotModified`; equal rows make equal bytes.

        Raises:
            UnknownSeriesError: The route has no such series.
            EiaResponseError: An error of the API (a wrong key, a wrong route), or pages that do not add up.
            EiaUnreachableError: Nobody answered.
            ReleaseTooLargeError: A page is larger than the limit.
        """
        del validators
        rows: list[Row] = []
        page, total = self._page(unique_id, offset=0, length=self.page_rows, direction="asc")
        for _ in range(MAX_PAGES):
            rows += page
            if not page or len(rows) >= total:
                break
            page, now_total = self._page(unique_id, offset=len(rows), length=self.page_rows, direction="asc")
            if now_total != total:
                raise self._wrong(f"the total changed from {total} to {now_total} rows between pages", "Try again")
        if len(rows) != total:
            raise self._wrong(
                f"{len(rows)} rows of {unique_id} came, {total} were announced: a page is missing", "Try again"
            )
        document = {"route": ROUTE, "frequency": "weekly", "series": unique_id, "rows": rows}
        return Published(
            unique_id=unique_id,
            content=json.dumps(document, sort_keys=True, separators=(",", ":")).encode(),
            format="json",
            source="api",
            url=f"{self.url}?frequency=weekly&data[0]=value&facets[series][]={unique_id}",
            fetched_at=self.now(),
        )

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The newest week, from one row.

        Raises:
            EiaError: As `published`.
        """
        del validators
        rows, _ = self._page(unique_id, offset=0, length=1, direction="desc")
        try:
            return Newest(date.fromisoformat(rows[0]["period"]))
        except (LookupError, TypeError, ValueError) as error:
            raise self._wrong("the newest row has no period") from error

    def _page(self, unique_id: str, *, offset: int, length: int, direction: str) -> tuple[list[Row], int]:
        params = [
            ("frequency", "weekly"),
            ("data[0]", "value"),
            ("facets[series][]", unique_id),
            ("sort[0][column]", "period"),
            ("sort[0][direction]", direction),
            ("offset", str(offset)),
            ("length", str(length)),
            ("api_key", self.api_key),
        ]
        try:
            got = download(self.url, params=params, limits=self.limits, secret=self.api_key)
        except EiaResponseError as error:
            if error.status in {401, 403}:
                raise EiaResponseError(error.url, error.status, error.detail, advice="Check EIA_API_KEY") from None
            raise
        rows, total = self._rows(got)
        if total == 0:
            raise UnknownSeriesError(unique_id, self.url)
        return rows, total

    def _rows(self, got: Download | NotModified) -> tuple[list[Row], int]:
        content = b"" if isinstance(got, NotModified) else got.content
        try:
            response = json.loads(content)["response"]
            rows, total = response["data"], int(response["total"])
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
            # No chain: the parser's own error may quote the answer, which may echo the key.
            said = scrub(describe(content), secret=self.api_key)
            raise self._wrong(f"no rows but {said}", "Check EIA_API_KEY and the address") from None
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            raise self._wrong("its data is not a list of rows")
        return rows, total

    def _wrong(self, detail: str, advice: str = "Check the address") -> EiaResponseError:
        return EiaResponseError(self.url, 200, detail, advice=advice)
