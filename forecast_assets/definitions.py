"""The code location: what there is, in one table of contents."""

from collections.abc import Mapping

import dagster as dg

from forecast_assets import (
    accuracy,
    api,
    catalog,
    changes,
    counterfactual,
    dashboard,
    forecasts,
    ingestion,
    model,
    quality,
    serving,
    tuning,
)
from forecast_assets.checks import default_checks
from forecast_assets.lake import configured_lake
from forecast_assets.progress import progress_logger
from forecast_assets.settings import Settings, load_settings
from forecast_assets.standing import standing_resource
from jobs.housekeeping import housekeeping
from jobs.weekly import default_jobs
from resources.alerts import Alerts
from resources.clock import Clock
from resources.code_server import keep_looking_after_runs
from resources.eia.resource import Eia
from resources.sagemaker.platform import SageMaker
from resources.week_lock import WeekLock
from sensors import default_schedules, default_sensors

default_assets = [
    ingestion.release,
    ingestion.observations,
    quality.outlier_flags,
    quality.structural_break,
    counterfactual.counterfactual,
    tuning.tuning_trials,
    model.candidate_model,
    model.model_diagnostics,
    model.registered_model,
    forecasts.forecast,
    accuracy.forecast_accuracy,
    changes.forecast_changes,
    dashboard.dashboard,
    serving.forecast_endpoint,
    api.forecast_api,
    catalog.catalog,
]


def default_resources(settings: Settings) -> dict[str, object]:
    """The ways to the outside world that the settings ask for."""
    lake, clock = configured_lake(settings), Clock(fixed=settings.now or None)
    return {
        "settings": settings,
        "clock": clock,
        "lake": lake,
        "alerts": Alerts(lake=lake, clock=clock),
        "week_lock": WeekLock(lake=lake, clock=clock),
        "eia": Eia(source=settings.eia_source, lake=lake, may_simulate=not settings.watch.landing),
        "sagemaker": SageMaker(
            mode=settings.compute,
            region=settings.region,
            role_arn=settings.role_arn,
            images=settings.images,
            lake=lake,
        ),
        "standing": standing_resource,
    }


def build_defs(
    *, settings: Settings | None = None, resource_overrides: Mapping[str, object] | None = None
) -> dg.Definitions:
    """Assemble the code location.

    Args:
        settings: By default those of this process.
        resource_overrides: Resources by key, instead of the default ones.
    """
    settings = settings or load_settings()
    return dg.Definitions(
        assets=default_assets,
        asset_checks=default_checks,
        jobs=[*default_jobs, housekeeping],
        schedules=default_schedules(settings),
        sensors=default_sensors(settings),
        executor=dg.in_process_executor,  # one process a run: it holds the lock of its week
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
        resources={**default_resources(settings), **(resource_overrides or {})},
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `dagster dev` loads."""
    keep_looking_after_runs()
    return build_defs()
