"""What starts the jobs: releases, landings, approvals, failures, drift, and the clock where nothing else did."""

import dagster as dg

from forecast_assets.settings import Settings
from sensors.drift import drift
from sensors.housekeeping import housekeeping


def default_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors of the code location; all of them run unless somebody stops them."""
    return [drift(settings)]


def default_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The schedules of the code location; all of them run unless somebody stops them."""
    return [housekeeping(settings)]
