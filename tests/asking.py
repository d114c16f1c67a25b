"""A platform whose source is a server on loopback, and runs as they were recorded: what sensors are tested with."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd

from forecast_assets.settings import Settings, load_settings
from forecast_assets.standing import Standing
from resources.alerts import Alerts
from resources.clock import Clock
from resources.eia.parse import parse
from resources.eia.release import Demands, keep_release, kept_release, records_of
from resources.eia.resource import Eia
from resources.eia.sample import simulate
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker
from tests.eia_server import Reply, Seen, Server, serving

WEEK = date(2023, 11, 3)
AFTER = datetime.fromisoformat("2023-11-08T11:00:00-05:00")  # a Wednesday, half an hour after the release


class Publisher:
    """A folder of CSVs on the web, with validators, whose releases a test writes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.frames: dict[str, pd.DataFrame] = {}
        self.fault: Reply | None = None
        self.validators = True

    @property
    def url(self) -> str:
        return f"{self.server.url}/eia"

    @property
    def sent(self) -> int:
        """Requests so far."""
        return len(self.server.seen)

    def release(
        self,
        week: date = WEEK,
        *series: str,
        changes: Mapping[date, float] | None = None,
        note: str = "",
        since: date = date(2021, 7, 2),
    ) -> None:
        """Publish series up to a week; a note changes the bytes and no figure."""
        for name in series or ("WGFUPUS2",):
            frame = _simulated(name, week)
            frame = frame[frame["ds"] >= pd.Timestamp(since)].reset_index(drop=True)
            for day, value in (changes or {}).items():
                frame.loc[frame["ds"] == pd.Timestamp(day), "y"] = value
            self.frames[name] = frame
            self.put(name, _csv(frame, note))

    def put(self, name: str, body: bytes) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'

        def reply(seen: Seen) -> Reply:
            if self.fault is not None:
                return self.fault
            if not self.validators:
                return Reply(200, body)
            if seen.headers.get("if-none-match") == etag:
                return Reply(304)
            return Reply(200, body, {"ETag": etag})

        self.server._scripts[f"/eia/{name}.csv"] = [reply]


@functools.cache
def _simulated(name: str, week: date) -> pd.DataFrame:
    return simulate(name, last=week)


def _csv(frame: pd.DataFrame, note: str = "") -> bytes:
    rows = "".join(f"{day:%Y-%m-%d},{value:g}\n" for day, value in zip(frame["ds"], frame["y"], strict=True))
    return f"date,value\n{rows}{note}".encode()


class _Made(Standing):
    """A lake whose weeks count as refreshed once their observations are kept: what made them is not at issue."""

    def is_refreshed(self, week: date) -> bool:
        return self.lake.has("observations", week)


class Watched:
    """A platform that is watched by sensors: its lake, clock, alerts and Dagster instance."""

    def __init__(self, folder: Path, source: str, *, series: tuple[str, ...] = ("WGFUPUS2",)) -> None:
        self.settings: Settings = load_settings(
            lake_uri=str(folder / "lake"), eia_source=source, series=list(series), watch={"retry_s": 600}
        )
        self.instance = dg.DagsterInstance.ephemeral()
        self.lake = Lake(uri=self.settings.lake_uri)
        self._time = folder / "now"
        self.at(AFTER)
        self.clock = Clock(fixed=str(self._time))
        self.alerts = Alerts(lake=self.lake, clock=self.clock)
        self.sagemaker = SageMaker(role_arn=self.settings.role_arn, lake=self.lake)
        self.eia = Eia(source=source, lake=self.lake)

    @property
    def standing(self) -> Standing:
        return _Made(self.settings, self.lake, self.eia, self.clock, self.sagemaker)

    def at(self, now: datetime | str) -> None:
        """Set the platform's clock."""
        self._time.write_text(now if isinstance(now, str) else now.isoformat())

    def makes(self, week: date) -> None:
        """Keep a week's release and observations, as its refresh does."""
        demands = Demands(
            week=week,
            now=self.clock.now(),
            complete_from=week - timedelta(weeks=52),
            plausible={name: series.plausible_kbd for name, series in self.settings.series.items()},
        )
        source = self.eia.open(self.settings.series_ids, now=self.clock.now())
        self.lake.write("release", week, keep_release(source, self.lake, demands))
        frames = [
            parse(kept_release(self.lake, record)).assign(unique_id=name)
            for name, record in records_of(self.lake, week).items()
        ]
        table = pd.concat(frames, ignore_index=True)
        self.lake.write("observations", week, table[table["ds"] <= pd.Timestamp(week)])
        self.lake.write("forecast", week, table.tail(1))

    def runs(self, request: dg.RunRequest, work: Callable[[], object] = lambda: None) -> dg.DagsterRun:
        """Run what was asked for, as far as Dagster records it."""
        assert request.partition_key is not None
        tags = {**request.tags, "dagster/partition": request.partition_key}

        @dg.op
        def release() -> None:
            work()

        @dg.job(name="weekly_refresh")
        def job() -> None:
            release()

        result = job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
        return result.dagster_run

    def begins(self, week: date, job: str = "weekly_refresh") -> dg.DagsterRun:
        """A run of a week that is at work."""

        @dg.op
        def nothing() -> None: ...

        @dg.job(name=job)
        def working() -> None:
            nothing()

        tags = {"dagster/partition": week.isoformat()}
        return self.instance.create_run_for_job(working, status=dg.DagsterRunStatus.STARTED, tags=tags)


@contextmanager
def watched(folder: Path, *, series: tuple[str, ...] = ("WGFUPUS2",)) -> Iterator[tuple[Watched, Publisher]]:
    """A platform and its publisher, while the block runs."""
    with serving() as server:
        publisher = Publisher(server)
        world = Watched(folder, publisher.url, series=series)
        try:
            yield world, publisher
        finally:
            world.instance.dispose()
