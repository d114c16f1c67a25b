"""The safety net: in the evening of a release it starts what nothing else has started, and tells when EIA is late."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from forecast_assets.consequence import consequence
from forecast_assets.settings import Settings
from forecast_assets.standing import Standing
from jobs.weekly import weekly_refresh
from resources.alerts import Alert, Alerts
from resources.eia.calendar import WEEK, due, newest_due
from resources.eia.errors import EiaUnreachableError
from resources.eia.release import TABLE
from resources.tags import PRIORITY_TAG
from sensors.refreshing import Answer, ask_for
from sensors.sources import LATE, Unreadable, close_late, offer

_WEEKS_BACK = 4
_LATE_AFTER = timedelta(hours=6)
"""EIA has often been hours behind its calendar; a release of 10:30 is late from 16:30 on."""


def safety_net(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule, at the times of the settings."""

    @dg.schedule(
        name="safety_net",
        job=weekly_refresh,
        cron_schedule=settings.watch.safety_net,
        execution_timezone="America/New_York",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Wednesday and Thursday evening, unless set otherwise: starts the week that should have been "
        "refreshed and was not, and any of the four before it that were missed; alerts where EIA itself is late.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, standing: dg.ResourceParam[Standing], alerts: Alerts
    ) -> list[dg.RunRequest] | dg.SkipReason:
        answers = catch_up(standing, alerts, context.instance)
        requests = [answer.request for answer in answers if answer.request is not None]
        return requests or dg.SkipReason("; ".join(answer.reason for answer in answers))

    return schedule


def catch_up(standing: Standing, alerts: Alerts, instance: dg.DagsterInstance) -> list[Answer]:
    """Ask for what has not run, the oldest week first.

    A week that was missed is made from the figures that EIA publishes now, which its record says (`reconstructed`).

    Args:
        standing: How the lake stands.
        alerts: Told where EIA is late, or no longer.
        instance: Where runs are recorded.
    """
    newest = newest_due(standing.clock.now())
    missing = list(_missing(standing, newest))
    if newest not in missing:
        close_late(alerts, newest)
    if not missing:
        return [Answer(None, f"week {newest} is refreshed", "refreshed")]
    try:
        found = offer(standing)
    except EiaUnreachableError as error:
        _tell_late(standing, alerts, newest, what="The source does not answer.", why=str(error))
        return [Answer(None, str(error), "waiting")]
    if isinstance(found, Unreadable):
        return [found.ask(standing, instance, by="safety_net")]
    close_late(alerts, found.week)
    if lacking := found.lacking(newest):
        ends = ", ".join(f"{name} ends {day}" for name, day in lacking.items())
        what = f"{len(lacking)} of {len(found.seen)} series have no figure for {newest}: {ends}."
        why = "EIA deviates from its calendar in outages and around holidays; a week is refreshed when all have it."
        _tell_late(standing, alerts, newest, what=what, why=why)
    answers = []
    for week in missing:
        if week > found.week:
            answers.append(Answer(None, f"the source does not have week {week}", "waiting"))
            continue
        values = found.values(standing.lake, week)
        first = {PRIORITY_TAG: str((newest - week) // WEEK)}
        answers.append(ask_for(week, values, standing=standing, instance=instance, by="safety_net", tags=first))
    return answers


def _missing(standing: Standing, newest: date) -> Iterator[date]:
    """The weeks that should be there and are not, in order: none from before the lake's first forecast."""
    made = standing.lake.weeks("forecast")
    for back in range(_WEEKS_BACK, 0, -1):
        week = newest - back * WEEK
        if made and made[0] < week and week not in made:
            yield week
    if not standing.is_refreshed(newest):
        yield newest


def _tell_late(standing: Standing, alerts: Alerts, week: date, *, what: str, why: str) -> None:
    """Alert that a week is late, unless it was released before, may still come today, or an earlier one is late too."""
    time = due(week)
    if standing.clock.now() < time + _LATE_AFTER or standing.lake.has(TABLE, week) or alerts.open_keys(LATE):
        return
    alerts.open(
        Alert(
            key=f"{LATE}{week}",
            title=f"EIA is late with week {week}",
            what=f"{what} It was due {time:%A %Y-%m-%d %H:%M %Z}.",
            why=why,
            consequence=f"{consequence(standing)} The refresh starts by itself when the week comes.",
            week=week,
            link="/automation",
        )
    )
