"""A platform of its own, and runs that end as a test wants them to."""

import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from forecast_assets.partitions import WEEKS
from resources.alerts import Alerts, Occurrence
from tests.world import SERIES, WEEK, World


@dataclass
class Mood:
    """How the next runs go.

    Attributes:
        error: What the first asset raises.
        blocked: Whether the check that blocks fails.
        revised: Whether the check that informs fails.
    """

    error: Exception | None = None
    blocked: bool = False
    revised: bool = False


class Runs:
    """Jobs with the names of ours, whose runs end as their mood is.

    Attributes:
        instance: Where they are recorded.
        mood: Theirs.
    """

    def __init__(self, instance: dg.DagsterInstance, mood: Mood, defs: dg.Definitions) -> None:
        self.instance, self.mood, self.defs = instance, mood, defs

    def run(self, job: str, week: date | None = WEEK, *, tags: Mapping[str, str] | None = None) -> str:
        """Run a job to its end; gives the id of the run."""
        done = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=week.isoformat() if week else None,
            tags=dict(tags or {}),
            raise_on_error=False,
        )
        return done.run_id

    def started(self, job: str, week: date) -> str:
        """A run that is at work."""
        tags = {"dagster/partition": week.isoformat()}
        return self.instance.create_run_for_job(
            self.defs.resolve_job_def(job), status=dg.DagsterRunStatus.STARTED, tags=tags
        ).run_id


@functools.cache
def jobs_of_a_mood() -> tuple[Mood, dg.Definitions]:
    """The jobs, made once a process, and the mood that they read when they run."""
    mood = Mood()

    @dg.asset(partitions_def=WEEKS)
    def observations() -> None:
        if mood.error is not None:
            raise mood.error

    @dg.asset_check(asset=observations, blocking=True)
    def gate() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=not mood.blocked, description="No series passed. Look at held_out.")

    @dg.asset_check(asset=observations)
    def few_revisions() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=not mood.revised, severity=dg.AssetCheckSeverity.WARN, description="9 weeks were revised."
        )

    @dg.asset_check(asset=observations)
    def residuals_normal() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=not mood.revised, severity=dg.AssetCheckSeverity.WARN)

    @dg.asset(deps=[observations], partitions_def=WEEKS)
    def forecast() -> None:
        pass

    @dg.asset
    def forecast_endpoint() -> None:
        if mood.error is not None:
            raise mood.error

    weekly = dg.AssetSelection.assets("observations", "forecast")
    jobs = [dg.define_asset_job(name, weekly) for name in ("weekly_refresh", "backfill", "score", "register")]
    return mood, dg.Definitions(
        assets=[observations, forecast, forecast_endpoint],
        asset_checks=[gate, few_revisions, residuals_normal],
        jobs=[*jobs, dg.define_asset_job("deploy", dg.AssetSelection.assets("forecast_endpoint"))],
        executor=dg.in_process_executor,
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def runs(instance: dg.DagsterInstance) -> Runs:
    mood, defs = jobs_of_a_mood()
    mood.error, mood.blocked, mood.revised = None, False, False
    return Runs(instance, mood, defs)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A platform whose lake is empty; nothing is asked of its source."""
    return World(tmp_path / "lake", tmp_path)


@pytest.fixture
def alerts(world: World) -> Alerts:
    return world.platform.alerts


def write_forecast(world: World, week: date, series: tuple[str, ...] = SERIES) -> None:
    """A forecast in the lake, as far as watchmen look at one."""
    world.lake.write("forecast", week, pd.DataFrame({"unique_id": list(series), "mean": 1.0}))


def said(alerts: Alerts, key: str) -> Occurrence:
    found = alerts.find(key)
    assert found is not None, f"{key} is not open, but {alerts.open_keys()}"
    return found


def in_real_time() -> float:
    return time.time()
