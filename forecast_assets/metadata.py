"""What every asset says about itself: definition-time facts and materialization metadata of one style."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pandas as pd

from forecast_assets.partitions import WEEKS
from forecast_assets.tables import Columns, schema
from forecasting import markdown
from resources.lake import Lake, content_digest

OWNERS = ["team:forecasting"]


def weekly_asset(
    *,
    description: str,
    group: str,
    kinds: set[str],
    code_version: str,
    deps: Sequence[str] = (),
    columns: Columns | None = None,
    pool: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what every weekly asset shares.

    Assets name what they depend on and read it from the lake: an IO manager would load partitions that do not exist.
    """
    return dg.asset(
        description=description,
        deps=deps,
        partitions_def=WEEKS,
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        code_version=code_version,
        metadata={"dagster/column_schema": schema(columns)} if columns else {},
        pool=pool,
    )


def stored(
    lake: Lake, table: str, week: date, frame: pd.DataFrame, *, metadata: Mapping[str, Any] | None = None
) -> dg.MaterializeResult[None]:
    """Write a table of a week and say so: where, how many rows, and a data version by content."""
    path = lake.write(table, week, frame)
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": len(frame),
            "dagster/uri": unquote(path.as_uri()),  # readable: `week=`, not `week%3D`
            **(metadata or {}),
        },
        data_version=dg.DataVersion(content_digest(frame)),
    )


def picture(png: bytes, *, text: str) -> dg.MarkdownMetadataValue:
    """A picture that the UI shows where the metadata stands."""
    return dg.MetadataValue.md(f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})")


def pictures(series: Iterable[str], draw: Callable[[str], bytes], *, what: str) -> dict[str, dg.MarkdownMetadataValue]:
    """A picture a series, under keys that sort together."""
    return {f"{what}_{name}": picture(draw(name), text=f"{what} of {name}") for name in series}


def of_series(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one series."""
    return frame[frame["unique_id"] == name]


def markdown_table(frame: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """A small table. Dagster's asset page shows some five columns of it, so the telling ones come first."""
    return dg.MetadataValue.md(markdown.markdown_table(frame))


def listed(names: Iterable[str]) -> str:
    """Names in one line."""
    return ", ".join(names) or "none"
