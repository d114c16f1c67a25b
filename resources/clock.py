"""The clock, as a resource: time is handed in, so that a test or a simulated year can hand in another."""

from datetime import UTC, datetime

import dagster as dg


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The time now.

    Attributes:
        fixed: ISO time with an offset at which this clock stands still; by default it runs.
    """

    fixed: str | None = None

    def now(self) -> datetime:
        """The time now, aware."""
        return datetime.fromisoformat(self.fixed) if self.fixed else datetime.now(UTC)
