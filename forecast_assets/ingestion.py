"""Ingestion: the release as published, and the observations in it as they were known in the week."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import dagster as dg
import pandas as pd

from forecast_assets.metadata import markdown_table, stored, weekly_asset
from forecast_assets.partitions import week_of
from forecast_assets.settings import Settings
from forecast_assets.tables import OBSERVATIONS, RELEASE
from forecasting.span import span_start
from resources.clock import Clock
from resources.eia.client import EiaClient
from resources.eia.errors import EiaError
from resources.eia.release import Demands, keep_release
from resources.eia.resource import SIMULATED_WARNING, Eia
from resources.lake import Lake, LakeError
from resources.landing import LANDED_TAG, Landed, Landings

RELEASE_VALID = dg.AssetCheckSpec(
    "release_valid",
    asset="release",
    blocking=True,
    description="Every series came, can be read, is valid, and does not contradict what was known.",
)
_UNTOUCHED = "Nothing of it is kept: tables, models and endpoint stay as they were"


@weekly_asset(
    description="The week's release of every series, byte for byte as published, with checksum, source and time.",
    group="ingestion",
    kinds={"python", "parquet"},
    columns=RELEASE,
    code_version="2",
    check_specs=[RELEASE_VALID],
)
def release(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    lake: Lake,
    eia: Eia,
    clock: Clock,
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Fetch the release, look at it, and only then keep it."""
    week, now = week_of(context.partition_key), clock.now()
    try:
        if LANDED_TAG in context.run.tags:
            source = EiaClient(Landed(Landings(lake), week, now=lambda: now))
        else:
            source = eia.open(settings.series_ids, now=now)
        records = keep_release(source, lake, demands_of(settings, week, now=now))
    except (EiaError, LakeError) as error:
        said = ". ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", []), _UNTOUCHED]) + "."
        yield _verdict(passed=False, description=said, metadata={"error": type(error).__name__})
        raise dg.Failure(said, allow_retries=False) from error
    if lake.kind == "simulated":
        context.log.warning(SIMULATED_WARNING)
    yield stored(
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
    yield _verdict(passed=True, description="Valid.", metadata={"series": len(records)})


@weekly_asset(
    deps=["release"],
    description="Weekly product supplied of every series, parsed and validated, up to the week and not a day further.",
    group="ingestion",
    kinds={"python", "parquet"},
    columns=OBSERVATIONS,
    code_version="2",
)
def observations(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], lake: Lake
) -> dg.MaterializeResult[None]:
    """Parse and validate the release, and record which known values it changes."""
    from resources.eia.history import relative_size, revisions
    from resources.eia.observations import validate
    from resources.eia.parse import parse
    from resources.eia.release import kept_release, records_of

    week = week_of(context.partition_key)
    complete_from = span_start(week, weeks=settings.training_weeks)
    frames, gaps = [], {}
    try:
        for name, record in records_of(lake, week).items():
            kept = kept_release(lake, record)
            plausible = settings.series[name].plausible_kbd
            frame, report = validate(
                parse(kept), unique_id=name, week=week, plausible=plausible, complete_from=complete_from
            )
            frames.append(frame.assign(source=kept.source))
            gaps[name] = [gap.isoformat() for gap in report.gaps]
    except (EiaError, LakeError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    table = pd.concat(frames, ignore_index=True)
    newest = table[table["ds"] == pd.Timestamp(week)]
    # Before the observations: they are what the next run would compare with.
    revised = revisions(lake, week, table)
    lake.write("revisions", week, revised)
    relative = relative_size(revised)
    return stored(
        lake,
        "observations",
        week,
        table,
        metadata={
            "first_week": str(table["ds"].min().date()),
            "gaps": sum(map(len, gaps.values())),
            "weeks_missing": gaps,
            "revisions": len(revised),
            "largest_revision": float(relative.max()) if relative.notna().any() else 0.0,
            "largest_revisions": markdown_table(
                revised.assign(relative=relative).sort_values("relative", ascending=False).head(10)
            ),
            # A number a series: Dagster draws it over the weeks.
            **dict(zip("newest_" + newest["unique_id"], newest["y"], strict=True)),
        },
    )


def demands_of(settings: Settings, week: date, *, now: datetime) -> Demands:
    """What a release of a week must satisfy.

    Args:
        settings: What is configured.
        week: The week; the release must reach it.
        now: The time now, aware: nothing may be newer than the week due by then.
    """
    return Demands(
        week=week,
        now=now,
        complete_from=span_start(week, weeks=settings.training_weeks),
        plausible={name: series.plausible_kbd for name, series in settings.series.items()},
    )


def _verdict(*, passed: bool, description: str, metadata: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=RELEASE_VALID.name, passed=passed, description=description, metadata=metadata)
