"""Numbers of every series under names of their own, as Dagster draws them over the weeks."""

import numpy as np
import pandas as pd


def by_series(what: str, values: pd.Series) -> dict[str, int | float]:
    """A number a series, named `<what>_<series>`.

    Args:
        what: The first part of the names.
        values: Numbers by series; one that is missing or infinite is left out, and six digits are kept.

    >>> by_series("mase", pd.Series({"A": 0.987654321, "B": float("nan")}))
    {'mase_A': 0.987654}
    """
    finite = values[np.isfinite(values.to_numpy(dtype=np.float64))]
    return {
        f"{what}_{name}": value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in zip(finite.index, finite.tolist(), strict=True)
    }
