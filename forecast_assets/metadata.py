"""What every asset says about itself: definition-time facts and materialization metadata of one style."""

import base64
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.partitions import WEEKS
from forecast_assets.tables import Columns, schema
from forecasting import markdown
from resources.lake import Lake, content_digest
from resources.week_lock import WeekLock

OWNERS = ["team:forecasting"]


def weekly_asset(
    *,
    description: str,
    group: str,
    kinds: set[str],
    code_version: str,
    deps: Sequence[str | dg.AssetDep] = (),
    columns: Columns | None = None,
    pool: str | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what every weekly asset shares.

    Assets name what they depend on and read it from the lake: an IO manager would load partitions that do not exist.
    A run that makes one holds the lock of its week.
    """
    asset = dg.asset(
        description=description,
        deps=deps,
        partitions_def=WEEKS,
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        code_version=code_version,
        metadata={"dagster/column_schema": schema(columns)} if columns else {},
        pool=pool,
        check_specs=check_specs,
    )
    return lambda function: asset(_in_its_week(function))


def _in_its_week(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of an asset, with the lock of the week among the resources that Dagster reads off its arguments.

    Its metadata are told once: see `_told_once`.
    """
    signature = inspect.signature(function)
    lock = inspect.Parameter("week_lock", inspect.Parameter.KEYWORD_ONLY, annotation=WeekLock)

    @functools.wraps(function)
    def locked(context: dg.AssetExecutionContext, *, week_lock: WeekLock, **resources: Any) -> Any:  # noqa: ANN401
        del week_lock  # held, not used
        return _told_once(context, function(context, **resources))

    @functools.wraps(function)
    def yielding(context: dg.AssetExecutionContext, *, week_lock: WeekLock, **resources: Any) -> Iterator[Any]:
        del week_lock
        for each in function(context, **resources):
            yield _told_once(context, each)

    if inspect.isgeneratorfunction(function):  # Dagster asks the function, not what it returns
        locked = yielding
    locked.__signature__ = signature.replace(parameters=[*signature.parameters.values(), lock])  # type: ignore[attr-defined]
    locked.__annotations__ = {**function.__annotations__, "week_lock": WeekLock}
    return locked


def _told_once(context: dg.AssetExecutionContext, result: Any) -> Any:  # noqa: ANN401 - whatever an asset gives
    """A result whose metadata, pictures too, are kept with its materialization alone.

    Of what an asset returns Dagster writes the metadata down a second time, with the output, where nobody looks.
    """
    if not isinstance(result, dg.MaterializeResult) or not result.metadata:
        return result
    context.add_asset_metadata(result.metadata)
    return result._replace(metadata=None)


def stored(
    lake: Lake, table: str, week: date, frame: pd.DataFrame, *, metadata: Mapping[str, Any] | None = None
) -> dg.MaterializeResult[None]:
    """Write a table of a week and say so: where, how many rows, and a data version by content."""
    uri = lake.write(table, week, frame)
    return dg.MaterializeResult(
        metadata={
            "dagster/partition_row_count": len(frame),
            "dagster/uri": uri,
            **(metadata or {}),
        },
        data_version=dg.DataVersion(content_digest(frame)),
    )


def opened(lake: Lake, key: str) -> dg.PathMetadataValue | dg.UrlMetadataValue:
    """Where people open a file of the lake: its path on this machine, or its page in the console of S3."""
    if lake.folder is not None:
        return dg.MetadataValue.path(lake.where(key))
    return dg.MetadataValue.url(lake.bucket.console(key))


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
