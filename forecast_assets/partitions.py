"""The weeks: one partition per Friday that EIA calls a period.

A run of week W is the world as it was known when W was released. The window Dagster attaches to a key is a label only:
data is cut with `ds <= W`, never with the window.
"""

from datetime import date

import dagster as dg

# Windows start on Fridays; end_offset=1 makes the newest key the Friday that is released next, not the one before.
WEEKS = dg.WeeklyPartitionsDefinition(start_date="2010-01-01", day_offset=5, end_offset=1, timezone="America/New_York")


def week_of(partition_key: str) -> date:
    """The Friday that a partition key names."""
    return date.fromisoformat(partition_key)
