"""The release sensor: a new week at the source, or changed figures of it, start its refresh.

A look costs a few hundred bytes a series while nothing has changed. The cursor says what was seen; it saves bytes and
decides nothing, so a lost one costs one look at everything. What is read decides by its figures (`ask_for`), not by the
bytes they came in.
"""

import hashlib
import json
from datetime import date
from typing import Literal, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict, ValidationError

from forecast_assets.passing import judged
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from jobs.weekly import weekly_refresh
from resources.alerts import Alerts
from resources.eia.calendar import newest_due
from resources.eia.watch import Seen
from sensors.refreshing import Answer, ask_for
from sensors.sources import Offer, Unreadable, close_late, offer

_RELEASE_CHECK = "check:release.release_valid"


class Cursor(BaseModel):
    """What the sensor remembers.

    Attributes:
        version: Of this form.
        about: Stands for the lake, source and series it is about.
        series: What was seen of each series.
        week: The week that was asked for last.
        values: The figures it was asked for.
        settled: Whether nothing more is to be asked for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    about: str
    series: dict[str, Seen] = {}
    week: date | None = None
    values: str = ""
    settled: bool = False

    @classmethod
    def read(cls, text: str | None, standing: Standing) -> Self:
        """The cursor that was kept, or an empty one where it is of another form, lake, source or set of series."""
        named = [standing.lake.uri, standing.eia.source, *standing.settings.series_ids]
        about = hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]  # an address may hold a password
        try:
            kept = cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls(about=about)
        return kept if kept.about == about else cls(about=about)


def releases(settings: Settings) -> dg.SensorDefinition:
    """The sensor, by the interval of the settings."""

    @dg.sensor(
        name="releases",
        job=weekly_refresh,
        minimum_interval_seconds=settings.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks the source for a new week, or for changed figures of the newest one, and starts its refresh. "
        "A workbook that was only written anew starts nothing.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, standing: dg.ResourceParam[Standing], alerts: Alerts
    ) -> dg.SensorResult | dg.SkipReason:
        try:
            answer, cursor = watch(Cursor.read(context.cursor, standing), standing, alerts, context.instance)
        except Exception as error:
            if not judged(error).passing:
                raise
            return dg.SkipReason(f"{type(error).__name__}: {error}")
        requests, skip = ([answer.request], None) if answer.request else (None, answer.reason)
        return dg.SensorResult(run_requests=requests, skip_reason=skip, cursor=cursor.model_dump_json())

    return sensor


def watch(cursor: Cursor, standing: Standing, alerts: Alerts, instance: dg.DagsterInstance) -> tuple[Answer, Cursor]:
    """Look at the source, and ask for what is new.

    Args:
        cursor: What was seen.
        standing: How the lake stands.
        alerts: Told when a week that was late has come, or a release that was bad is good again.
        instance: Where runs are recorded.

    Returns:
        What became of it, and the cursor of the next look.

    Raises:
        EiaUnreachableError: The source does not answer.
        LakeError: The lake does not.
    """
    found = offer(standing, seen=cursor.series)
    match found:
        case None:
            if cursor.settled or cursor.week is None:
                return Answer(None, f"nothing has changed since week {cursor.week} was seen", "refreshed"), cursor
            answer = ask_for(cursor.week, cursor.values, standing=standing, instance=instance, by="releases")
            return answer, cursor.model_copy(update={"settled": answer.settled})
        case Unreadable():  # what was seen before stays seen: this was no release
            return found.ask(standing, instance, by="releases"), cursor
        case Offer():
            return _asked(found, cursor, standing, alerts, instance)


def _asked(
    found: Offer, cursor: Cursor, standing: Standing, alerts: Alerts, instance: dg.DagsterInstance
) -> tuple[Answer, Cursor]:
    week = found.week
    values = found.values(standing.lake, week)
    close_late(alerts, week)
    answer = ask_for(week, values, standing=standing, instance=instance, by="releases")
    if answer.state == "refreshed":  # a bad release was followed by the one that the week is made from
        for key in (_RELEASE_CHECK, f"run:{weekly_refresh.name}:{week}"):
            alerts.close(key, recovery=f"The source has the figures again that week {week} is made from.")
    if found.newest > newest_due(standing.clock.now()):  # figures before their time: not seen until that has come
        return answer, cursor
    seen = {"series": found.seen, "week": week, "values": values, "settled": answer.settled}
    return answer, cursor.model_copy(update=seen)
