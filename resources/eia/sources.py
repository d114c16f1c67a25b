"""Where figures come from, by the name a user gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from resources.eia.api import API_URL, Api
from resources.eia.calendar import newest_due
from resources.eia.errors import MissingApiKeyError, SourceSpecError
from resources.eia.fetch import LIMITS, Limits
from resources.eia.files import open_files
from resources.eia.live import LIVE_URL, Live
from resources.eia.published import Newest, NotModified, Published, Source, Validators
from resources.eia.sample import sample_csv


@dataclass(frozen=True)
class Sample:
    """Simulated figures, "released" by EIA's calendar. See `sample`.

    Attributes:
        now: The clock.
    """

    now: Callable[[], datetime]

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The simulated series up to the newest week due, as a CSV that says it is simulated."""
        now = self.now()
        tag = self._tag(unique_id, now)
        url = f"sample:{unique_id}"
        if validators and validators.etag == tag:
            return NotModified(url)
        content = sample_csv(unique_id, last=newest_due(now))
        return Published(unique_id, content, format="csv", source="sample", url=url, fetched_at=now, etag=tag)

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The newest week due by the calendar."""
        now = self.now()
        tag = self._tag(unique_id, now)
        if validators and validators.etag == tag:
            return NotModified(f"sample:{unique_id}")
        return Newest(newest_due(now), Validators(etag=tag))

    def _tag(self, unique_id: str, now: datetime) -> str:
        return f'"{unique_id}-{newest_due(now)}"'


def open_source(
    spec: str,
    *,
    now: Callable[[], datetime],
    series: Sequence[str] = (),
    api_key: str | None = None,
    limits: Limits = LIMITS,
    live_url: str = LIVE_URL,
    api_url: str = API_URL,
) -> Source:
    """The source a user names.

    Args:
        spec: `live`, `api`, `sample`, or a path or address of an `.xls`, a `.csv` or a folder. `auto` is no source: who
            asks for it chooses between live and sample.
        now: The clock; its times are aware.
        series: The configured series: a single file whose name does not tell is taken for the only one.
        api_key: The key of the API.
        limits: Bounds of a download.
        live_url: Where the official workbooks are.
        api_url: The root of the API's version 2.

    Raises:
        SourceSpecError: `spec` names none of these.
        MissingApiKeyError: The API is asked for without a key.
    """
    match spec.strip():
        case "live":
            return Live(now=now, base_url=live_url, limits=limits)
        case "api":
            if not (api_key and api_key.strip()):
                raise MissingApiKeyError
            return Api(now=now, api_key=api_key.strip(), base_url=api_url, limits=limits)
        case "sample":
            return Sample(now=now)
        case "" | "auto":
            raise SourceSpecError(spec, "it does not say which source")
        case path:
            return open_files(path, now=now, series=tuple(series), limits=limits)
