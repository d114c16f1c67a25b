"""Columns that follow the levels of the intervals: `lo-80`, `coverage-90`, `inside-95`."""

import pandas as pd


def levels_in(frame: pd.DataFrame, prefix: str) -> list[str]:
    """The levels that a frame has columns of, in the order of its columns.

    >>> levels_in(pd.DataFrame(columns=["y", "lo-80", "lo-97.5"]), "lo-")
    ['80', '97.5']
    """
    return [str(name).removeprefix(prefix) for name in frame if str(name).startswith(prefix)]
