"""The schedule of housekeeping."""

import dagster as dg

from forecast_assets.settings import Settings
from jobs.housekeeping import housekeeping as job


def housekeeping(settings: Settings) -> dg.ScheduleDefinition:
    """Removes every week what is kept no longer."""
    return dg.ScheduleDefinition(
        name="housekeeping",
        job=job,
        cron_schedule=settings.retention.cron,
        execution_timezone="America/New_York",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes what the settings of retention keep no longer: runs, jobs, models and logs; never tables. "
        "`forecast housekeeping --dry-run` shows what would go now.",
    )
