"""The clock, as a resource: time is handed in, so that a test or a simulated year can hand in another."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg


class ClockError(ValueError):
    """What should say the time does not."""


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The time now.

    Attributes:
        fixed: ISO time with an offset at which this clock stands, or the path of a file that holds one, which is read
            at every look; by default it runs.
    """

    fixed: str | None = None

    def now(self) -> datetime:
        """The time now, aware.

        Raises:
            ClockError: `fixed` is neither a time with an offset nor a file with one.
        """
        if not self.fixed:
            return datetime.now(UTC)
        try:
            return _aware(self.fixed)
        except ValueError:
            return self._read(Path(self.fixed))

    def _read(self, path: Path) -> datetime:
        try:
            return _aware(path.read_text().strip())
        except (OSError, ValueError) as error:
            raise ClockError(
                f"the clock is set to {self.fixed!r}, which is neither a time such as 2023-11-15T10:30:00-05:00 nor a "
                f"file that holds one ({error}): set FORECAST_NOW to either, or unset it for the real time"
            ) from error


def _aware(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return time
