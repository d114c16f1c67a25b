"""What others bring starts what EIA's own release would: the refresh of a week, from the files that landed.

A tick looks at the place, keeps what is good and sets aside what is not (`resources.landing`). Then it asks for the
newest week that the files of every configured series reach, as everybody asks for a refresh; and, one at a time, for
the replay of an older week of which every series has brought a file, where that week has no forecast.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

import dagster as dg

from forecast_assets.ingestion import demands_of
from forecast_assets.partitions import WEEKS
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from jobs.weekly import backfill, weekly_refresh
from resources.alerts import Alerts
from resources.eia.calendar import WEEK, due, newest_due
from resources.eia.parse import parse
from resources.eia.published import Published
from resources.eia.release import TABLE as RELEASE
from resources.eia.release import records_of
from resources.eia.values import offered
from resources.landing import LANDED_TAG, Intake, Landings, open_place
from resources.tags import PARTITION_TAG
from sensors.refreshing import Answer, ask_for
from sensors.sources import close_late

NAME = "landings"


@dataclass(frozen=True)
class Asked:
    """What a tick asks for.

    Attributes:
        requests: The runs to start.
        reasons: Why these, and why no others, in words.
        settled: The files for which there is nothing more to ask; None where there may be.
    """

    requests: list[dg.RunRequest] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    settled: str | None = None


def landings(settings: Settings) -> dg.SensorDefinition:
    """The sensor of a place where files land."""

    @dg.sensor(
        name=NAME,
        jobs=[weekly_refresh, backfill],
        minimum_interval_seconds=settings.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Takes in releases that others put at {settings.watch.landing}, and refreshes a week from them "
        "once every series is there. What is no release is set aside and raises an alert.",
    )
    def look(
        context: dg.SensorEvaluationContext, standing: dg.ResourceParam[Standing], alerts: Alerts
    ) -> dg.SensorResult:
        before = _loaded(context.cursor)
        place = open_place(
            settings.watch.landing, cursor=before.get("place"), lake=standing.lake, region=settings.region
        )
        news = intake(standing, alerts, say=context.log.info).take(place)
        asked = ask(standing, alerts, context.instance, settled=before.get("settled"))
        cursor = json.dumps({"place": place.cursor, "settled": asked.settled})
        said = "; ".join([f"{news or 'no'} new {'file' if news == 1 else 'files'}", *asked.reasons])
        context.log.info(said)
        return dg.SensorResult(run_requests=asked.requests, cursor=cursor, skip_reason=None if asked.requests else said)

    return look


def intake(standing: Standing, alerts: Alerts, *, say: Callable[[str], None]) -> Intake:
    """What takes in files as the settings ask for.

    A file that comes before its week is due is kept, and waits in the lake; one from further ahead is refused.
    """
    now = standing.clock.now()
    early = max(now, due(newest_due(now) + WEEK))
    return Intake(
        landings=Landings(standing.lake),
        alerts=alerts,
        series=standing.settings.series_ids,
        demands=lambda week: demands_of(standing.settings, week, now=early),
        now=now,
        say=say,
    )


def ask(standing: Standing, alerts: Alerts, instance: dg.DagsterInstance, *, settled: str | None) -> Asked:
    """What is to run for what has landed.

    Args:
        standing: How the lake stands.
        alerts: Told when a week that EIA was late with is refreshed from files.
        instance: Where runs are recorded.
        settled: The files for which there was nothing more to ask at the last tick.

    Raises:
        LakeError: The lake cannot be read or written.
    """
    kept, series = Landings(standing.lake), standing.settings.series_ids
    latest, there = newest_due(standing.clock.now()), kept.weeks()
    weeks = [{week for week in there.get(name, []) if week <= latest} for name in series]
    if not all(weeks):
        waited_for = ", ".join(name for name, found in zip(series, weeks, strict=True) if not found)
        return Asked(reasons=[f"nothing starts before {waited_for} has landed"])
    week, forecast = min(map(max, weeks)), standing.lake.weeks("forecast")
    is_past = bool(forecast) and week < forecast[-1]
    whole = set.intersection(*weeks).difference(forecast, () if is_past else (week,))
    older = sorted(each for each in whole if WEEKS.has_partition_key(each.isoformat()))
    files = _joined(kept.digest(series, each) for each in (week, *older))
    if files == settled:
        return Asked(reasons=[f"what has landed up to {week} is dealt with"], settled=settled)
    if is_past:
        newest = Asked(reasons=[f"{forecast[-1]} has a forecast, and {week} is older"], settled=files)
    else:
        answer = _refresh(week, kept, standing, instance)
        if answer.state == "refreshed":
            close_late(alerts, week)
        requests = [] if answer.request is None else [answer.request]
        newest = Asked(requests, [answer.reason], files if answer.settled else None)
    replayed = _replayed(older, kept, standing, instance, settled=files)
    return Asked(
        [*newest.requests, *replayed.requests],
        [*newest.reasons, *replayed.reasons],
        files if newest.settled and replayed.settled else None,
    )


def _refresh(week: date, kept: Landings, standing: Standing, instance: dg.DagsterInstance) -> Answer:
    """Ask for the refresh of a week from the files that reach it."""
    series = standing.settings.series_ids
    landed = {name: kept.release(name, week) for name in series}
    if _is_overtaken(week, landed, standing):
        return Answer(None, f"week {week} is refreshed from a release that came later", "refreshed")
    values = offered(standing.lake, week, {name: parse(release) for name, release in landed.items()})
    tags = {LANDED_TAG: kept.digest(series, week)}
    return ask_for(week, values, standing=standing, instance=instance, by=NAME, tags=tags)


def _is_overtaken(week: date, landed: Mapping[str, Published], standing: Standing) -> bool:
    """Whether a week is made from releases of all series that came after the files, such as a revision by EIA."""
    if not (standing.lake.has(RELEASE, week) and standing.is_refreshed(week)):
        return False
    fetched = {name: record["fetched_at"] for name, record in records_of(standing.lake, week).items()}
    return all(name in fetched and fetched[name] > file.fetched_at for name, file in landed.items())


def _replayed(
    weeks: list[date], kept: Landings, standing: Standing, instance: dg.DagsterInstance, *, settled: str
) -> Asked:
    """The replay of the first of some weeks that was not tried from these files; the next one follows its end."""
    for week in weeks:
        tags = {LANDED_TAG: kept.digest(standing.settings.series_ids, week)}
        found = dg.RunsFilter(job_name=backfill.name, tags={**tags, PARTITION_TAG: week.isoformat()})
        tried = instance.get_runs(found, limit=1)
        if tried and not tried[0].is_finished:
            return Asked(reasons=[f"run {tried[0].run_id} replays {week}"])
        if not tried:
            key = f"{week}:{tags[LANDED_TAG]}"
            request = dg.RunRequest(key, job_name=backfill.name, partition_key=week.isoformat(), tags=tags)
            return Asked([request], [f"{week} has no forecast and is to be replayed"])
    return Asked(settled=settled)


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def _loaded(cursor: str | None) -> dict[str, str | None]:
    """What the tick before left; of a cursor that somebody has written by hand nothing, which costs another look."""
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
