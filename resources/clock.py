"""The clock, as a resource: time is handed in, so that a test or a simulated year can hand in another."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg


class ClockError(ValueError):
    """What should say the time does not."""


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The time now.

    Attributes:
        fixed: ISO time with an offset at which this clock stands, or the path of a file that holds one, which is read
            at every look; by default it runs. `step` writes such a file, and keeps in it when the clock was moved.
    """

    fixed: str | None = None

    def now(self) -> datetime:
        """The time now, aware.

        Raises:
            ClockError: `fixed` is neither a time with an offset nor a file with one.
        """
        return self._steps()[-1][0] if self.fixed else datetime.now(UTC)

    def at(self, moment: datetime) -> datetime:
        """What this clock showed at a moment of the real time, by which files and runs are stamped.

        A clock that was stepped showed what it had been set to last. One that stands has always shown the same, so by
        it nothing ages.

        Raises:
            ClockError: As `now` does.
        """
        if not self.fixed:
            return moment
        steps = self._steps()
        shown = [time for time, since in steps if since is not None and since <= moment]
        return shown[-1] if shown else steps[0][0]

    def _steps(self) -> list[tuple[datetime, datetime | None]]:
        """What this clock was set to, and when in real time that was, as far as is known; never empty."""
        try:
            return [(_aware(str(self.fixed)), None)]
        except ValueError:
            return self._read(Path(str(self.fixed)))

    def _read(self, path: Path) -> list[tuple[datetime, datetime | None]]:
        try:
            return [_step(line) for line in path.read_text().strip().splitlines() or [""]]
        except (OSError, ValueError) as error:
            raise ClockError(
                f"the clock is set to {self.fixed!r}, which is neither a time such as 2023-11-15T10:30:00-05:00 nor a "
                f"file that holds one ({error}): set FORECAST_NOW to either, or unset it for the real time"
            ) from error


def step(path: Path, time: datetime) -> None:
    """Set a clock that reads its time from a file; what it showed before stays known."""
    before = path.read_text() if path.exists() else ""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    part.write_text(f"{before}{time.isoformat()} {datetime.now(UTC).isoformat()}\n")
    part.replace(path)


def _step(line: str) -> tuple[datetime, datetime | None]:
    time, _, since = line.partition(" ")
    return _aware(time), _aware(since) if since else None


def _aware(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return time
