"""Ingestion: the release as published, and the observations in it as they were known in the week."""

import dagster as dg
import pandas as pd

from forecast_assets.metadata import markdown_table, stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecast_assets.tables import OBSERVATIONS, RELEASE
from resources.clock import Clock
from resources.eia.errors import EiaError
from resources.eia.resource import SIMULATED_WARNING, Eia
from resources.lake import Lake


@weekly_asset(
    description="The week's release of every series, byte for byte as published, with checksum, source and time.",
    group="ingestion",
    kinds={"python", "parquet"},
    columns=RELEASE,
    code_version="1",
)
def release(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: Lake,
    eia: Eia,
    clock: Clock,
) -> dg.MaterializeResult[None]:
    """Fetch and keep the release."""
    from resources.eia.release import keep_release

    week = week_of(context.partition_key)
    try:
        source = eia.open(settings.series_ids, now=clock.now())
        records = keep_release(source, lake, series=settings.series_ids, week=week)
    except EiaError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    if lake.kind == "simulated":
        context.log.warning(SIMULATED_WARNING)
    return stored(
        lake,
        "release",
        week,
        records,
        metadata={
            "figures": lake.kind,
            "reconstructed": bool(records["reconstructed"].any()),
            "releases": markdown_table(
                records[["unique_id", "source", "newest", "bytes"]].assign(sha256=records["sha256"].str[:12])
            ),
            "urls": dict(zip(records["unique_id"], records["url"], strict=True)),
        },
    )


@weekly_asset(
    deps=["release"],
    description="Weekly product supplied of every series, parsed and validated, up to the week and not a day further.",
    group="ingestion",
    kinds={"python", "parquet"},
    columns=OBSERVATIONS,
    code_version="1",
)
def observations(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Parse and validate the release."""
    from resources.eia.observations import validate
    from resources.eia.parse import parse
    from resources.eia.release import kept_release, records_of

    week = week_of(context.partition_key)
    frames, gaps = [], {}
    try:
        for name, record in records_of(lake, week).items():
            kept = kept_release(lake, record)
            plausible = settings.series[name].plausible_kbd
            frame, report = validate(parse(kept), unique_id=name, week=week, plausible=plausible)
            frames.append(frame.assign(source=kept.source))
            gaps[name] = [gap.isoformat() for gap in report.gaps]
    except EiaError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    table = pd.concat(frames, ignore_index=True)
    newest = table[table["ds"] == pd.Timestamp(week)]
    return stored(
        lake,
        "observations",
        week,
        table,
        metadata={
            "first_week": str(table["ds"].min().date()),
            "gaps": sum(map(len, gaps.values())),
            "weeks_missing": gaps,
            # A number a series: Dagster draws it over the weeks.
            **dict(zip("newest_" + newest["unique_id"], newest["y"], strict=True)),
        },
    )
