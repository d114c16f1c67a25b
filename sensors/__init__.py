"""What starts the jobs: releases, landings, approvals, failures, drift, and the clock where nothing else did."""

import dagster as dg

from forecast_assets.settings import Settings
from sensors.drift import drift
from sensors.landings import landings
from sensors.releases import releases
from sensors.safety_net import safety_net


def default_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of the code location; all of them run unless somebody stops them."""
    watched = [landings(settings)] if settings.watch.landing else []
    return [releases(settings), *watched, drift(settings)]


def default_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules of the code location; all of them run unless somebody stops them."""
    return [safety_net(settings)]
