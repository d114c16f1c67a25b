"""The platform in a lake of its own, as tests run it; and what is in a lake, to be compared before and after."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from forecast_assets.definitions import build_defs
from forecast_assets.refresh import Outcome, Platform
from forecast_assets.serving import model_endpoint
from forecast_assets.settings import load_settings
from resources.clock import Clock
from resources.sagemaker.registry import ModelRegistry

ROOT = Path(__file__).resolve().parents[1]
WEEK = date(2023, 11, 10)
NOW = datetime(2023, 11, 16, tzinfo=UTC)
SERIES = ("WGFUPUS2", "WREUPUS2")


class World:
    """A lake, its code location and its Dagster instance, with a small search.

    Its clock stands the day after the release of `WEEK`, unless told; figures of a week not due by then are refused.
    Processes started with the working directory elsewhere must `chdir(ROOT)` first: the settings file is there.
    """

    def __init__(
        self,
        lake: Path | str,
        source: Path | str,
        *,
        series: tuple[str, ...] = SERIES,
        now: datetime = NOW,
        resources: Mapping[str, object] | None = None,
    ) -> None:
        settings = load_settings(
            lake_uri=str(lake), eia_source=str(source), series=list(series), step=24, max_harmonics=2, workers=1
        )
        overrides = {"clock": Clock(fixed=now.isoformat()), **(resources or {})}
        self.platform = Platform(build_defs(settings=settings, resource_overrides=overrides))
        self.lake = self.platform.lake
        self.settings = settings

    def run(self, job: str, week: date | None = WEEK) -> Outcome:
        with dg.DagsterInstance.ephemeral() as instance:
            return self.platform.run(job, instance, week=week)

    def materialize(self, *assets: str, week: date = WEEK) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral() as instance:
            job = self.platform.defs.resolve_implicit_global_asset_job_def()
            return job.execute_in_process(
                asset_selection=[dg.AssetKey(name) for name in assets],
                partition_key=week.isoformat(),
                instance=instance,
                raise_on_error=False,
            )

    def registered(self) -> list[date]:
        client = self.platform.sagemaker.client()
        return [model.week for model in ModelRegistry(client, group=self.settings.model_group).models()]

    def close(self) -> None:
        endpoint = model_endpoint(self.settings, self.platform.sagemaker)
        if endpoint.status() is not None:
            endpoint.delete()


def fingerprint(lake: Path) -> dict[str, str]:
    """What is in a lake, its models and endpoints included, by path: a checksum each.

    Dagster's own history and locks are left out: that something was tried may be recorded.
    """
    return {
        str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(lake.rglob("*"))
        if path.is_file() and not {"_dagster", "_locks"} & set(path.relative_to(lake).parts)
    }
