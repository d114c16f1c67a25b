"""What has landed, in the lake: the bytes under their checksum, and for each series and week which of them it is.

    <lake>/landings/WGFUPUS2/2023-11-10.json   the newest file that ends with that week
    <lake>/blobs/<sha256>                      its bytes

A run takes its release from here where its tag says so, `Landed` being the source that it asks then.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from resources.eia.errors import UnknownSeriesError
from resources.eia.published import Newest, NotModified, Published, Validators
from resources.lake import DamagedTableError, Lake

FOLDER = "landings"
LANDED_TAG = "forecast/landed"
"""Of a run that takes its release from landed files: which."""

_RECORD = re.compile(rf"{FOLDER}/([A-Z0-9_]+)/(\d{{4}}-\d{{2}}-\d{{2}})\.json")


class Landings:
    """The landed files of a lake.

    Args:
        lake: Where they are kept.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._weeks: dict[str, list[date]] | None = None

    def weeks(self) -> dict[str, list[date]]:
        """The weeks with which the landed files of each series end, in order; listed once, and after each `keep`."""
        if self._weeks is None:
            found: dict[str, list[date]] = {}
            for key in self.lake.storage.keys(FOLDER):
                if match := _RECORD.fullmatch(key):
                    found.setdefault(match[1], []).append(date.fromisoformat(match[2]))
            self._weeks = {name: sorted(weeks) for name, weeks in found.items()}
        return self._weeks

    def keep(self, published: Published, *, newest: date, modified: datetime) -> bool:
        """Keep a file, the bytes first; keeping it again changes nothing.

        Of two files of the same series and week from different places the one that was changed later counts, in
        whatever order they come; what comes from the same place replaces what came from there before.

        Args:
            published: It.
            newest: The week with which it ends.
            modified: When it was last changed, aware.

        Returns:
            Whether it counts from now on, and did not before.
        """
        key = _key(published.unique_id, newest)
        before = self._record(key)
        if before is not None:
            elsewhere = before["landed"] != published.url
            if before["sha256"] == published.sha256:
                return False
            if elsewhere and modified < datetime.fromisoformat(before["modified"]):
                return False
        record = {
            "sha256": self.lake.put_blob(published.content),
            "format": published.format,
            "source": published.source,
            "landed": published.url,
            "landed_at": published.fetched_at.isoformat(timespec="seconds"),
            "modified": modified.isoformat(),
        }
        self.lake.write_bytes(key, json.dumps(record).encode() + b"\n")
        self._weeks = None
        return True

    def release(self, unique_id: str, week: date) -> Published:
        """The landed file of a series that ends with a week, or with the first one after it.

        Its URL has the checksum at its end: whatever lands under a name, each file is one of its own.

        Raises:
            UnknownSeriesError: None of the series reaches the week.
            DamagedTableError: Its record is damaged.
            LakeError: Its bytes are gone.
        """
        record = self._reaching(unique_id, week)
        return Published(
            unique_id=unique_id,
            content=self.lake.blob(record["sha256"]),
            format=record["format"],
            source=record["source"],
            url=f"{record['landed']}#{record['sha256'][:12]}",
            fetched_at=datetime.fromisoformat(record["landed_at"]),
        )

    def digest(self, series: Sequence[str], week: date) -> str:
        """A short digest of the files that `release` gives for a week; raises as it does."""
        files = "".join(self._reaching(unique_id, week)["sha256"] for unique_id in series)
        return hashlib.sha256(files.encode()).hexdigest()[:16]

    def _reaching(self, unique_id: str, week: date) -> dict[str, Any]:
        reaching = [each for each in self.weeks().get(unique_id, []) if each >= week]
        record = self._record(_key(unique_id, reaching[0])) if reaching else None
        if record is None:
            raise UnknownSeriesError(unique_id, f"{self.lake.where(FOLDER)}, in a file that reaches {week}")
        return record

    def _record(self, key: str) -> dict[str, Any] | None:
        try:
            record = json.loads(self.lake.read_bytes(key))
        except FileNotFoundError:
            return None
        except ValueError:
            record = None
        if not isinstance(record, dict) or not {"sha256", "format", "source", "landed"} <= record.keys():
            remedy = "delete it and bring the file again"
            raise DamagedTableError(self.lake.where(key), "it is no record of a landed file", remedy=remedy)
        return record


@dataclass(frozen=True)
class Landed:
    """The landed files as a source of releases.

    Attributes:
        landings: Where they are kept.
        week: The week that is refreshed; later files are cut off at it.
        now: The clock.
    """

    landings: Landings
    week: date
    now: Callable[[], datetime]

    def published(self, unique_id: str, *, validators: Validators | None = None) -> Published | NotModified:
        """The landed file of a series, as `Landings.release`."""
        del validators
        return self.landings.release(unique_id, self.week)

    def newest_week(self, unique_id: str, *, validators: Validators | None = None) -> Newest | NotModified:
        """The week, if the series has landed; raises as `published`."""
        del validators
        self.landings.release(unique_id, self.week)
        return Newest(self.week)


def _key(unique_id: str, week: date) -> str:
    return f"{FOLDER}/{unique_id}/{week}.json"
