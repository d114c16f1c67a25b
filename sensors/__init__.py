"""What starts the jobs: releases, landings, approvals, failures, drift, and the clock where nothing else did."""

import dagster as dg

from forecast_assets.settings import Settings
from sensors.approvals import approvals
from sensors.deliveries import deliveries
from sensors.drift import drift
from sensors.failures import failures
from sensors.follow_ups import follow_ups
from sensors.housekeeping import housekeeping
from sensors.landings import landings
from sensors.releases import releases
from sensors.safety_net import safety_net
from sensors.staleness import staleness


def default_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of the code location; all of them run unless somebody stops them."""
    watched = [landings(settings)] if settings.watch.landing else []
    return [
        releases(settings),
        *watched,
        approvals(settings),
        follow_ups(settings),
        drift(settings),
        failures(settings),
        staleness(settings),
        deliveries(settings),
    ]


def default_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules of the code location; all of them run unless somebody stops them."""
    return [safety_net(settings), housekeeping(settings)]
