"""What the doctor says of a platform that runs by itself, over histories as a daemon leaves them."""

import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    GrpcServerCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.utils import make_new_run_id
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from forecast_assets import watchkeeping
from forecast_assets.findings import Finding
from forecast_assets.watchkeeping import examine_watch
from resources.alerts import Alert
from tests.world import ROOT, World


@dg.sensor(job_name="deploy", default_status=dg.DefaultSensorStatus.RUNNING)
def approvals() -> dg.SkipReason:
    return dg.SkipReason("nothing is new")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("PETROLEUM_ALERT_URLS", raising=False)
    world = World(tmp_path / "lake", tmp_path)
    world.platform.defs = dg.Definitions(
        sensors=[approvals],
        jobs=[each for each in world.platform.defs.jobs or () if each.name == "deploy"],
        assets=world.platform.defs.assets,
        resources=world.platform.defs.resources,
    )
    return world


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history that was begun; to make its tables takes longer than a test."""
    home = tmp_path_factory.mktemp("begun") / "_dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.all_instigator_state() == []
    return home


@pytest.fixture
def instance(world: World, begun: Path) -> Iterator[dg.DagsterInstance]:
    home = world.lake.root / "_dagster"
    shutil.copytree(begun, home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def found(world: World, what: str) -> Finding:
    return {finding.what: finding for finding in examine_watch(world.platform)}[what]


def beats(instance: dg.DagsterInstance, ago_s: float = 0, *, error: str = "", without: str = "") -> None:
    """Every part of the daemon is heard of."""
    for kind in set(instance.get_required_daemon_types()) - {without}:
        errors = [SerializableErrorInfo(message=error, stack=[], cls_name=None)] if error and kind == "SENSOR" else []
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago_s, kind, "one", errors))


LOCATION = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=4266, location_name="petroleum_demand")
REPOSITORY = RemoteRepositoryOrigin(LOCATION, "__repository__")


def state(status: InstigatorStatus) -> InstigatorState:
    origin = RemoteInstigatorOrigin(REPOSITORY, "approvals")
    return InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData())


def ticks(instance: dg.DagsterInstance, status: TickStatus, error: str = "") -> None:
    of = state(InstigatorStatus.DECLARED_IN_CODE)
    instance.add_instigator_state(of)
    said = SerializableErrorInfo(message=error, stack=[], cls_name=None) if error else None
    instance.create_tick(
        TickData(
            of.instigator_origin_id,
            "approvals",
            InstigatorType.SENSOR,
            status,
            time.time(),
            error=said,
            selector_id=of.selector_id,
        )
    )


def queue(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, *, ago_s: float = 0) -> str:
    origin = RemoteJobOrigin(REPOSITORY, "deploy")
    run = dg.DagsterRun("deploy", run_id=make_new_run_id(), status=status, remote_job_origin=origin)
    instance.run_storage.add_historical_run(run, datetime.fromtimestamp(time.time() - ago_s, UTC))
    return run.run_id


def test_a_laptop_without_a_daemon_is_in_order_and_nothing_is_begun(world: World, tmp_path: Path) -> None:
    findings = list(examine_watch(world.platform))
    assert [each.what for each in findings if each.state == "fail"] == []
    assert found(world, "History").remedy == "`forecast refresh` or `forecast ui` begins it"
    assert not (tmp_path / "lake").exists()


def test_after_a_refresh_the_daemon_is_not_missed(world: World, instance: dg.DagsterInstance) -> None:
    assert found(world, "History") == Finding("ok", "History", f"SQLite in {world.lake.root / '_dagster'}")
    assert found(world, "Daemon").state == "ok"
    assert found(world, "Daemon").found == "none has run here: weeks are made by `forecast refresh` alone"
    assert found(world, "Sensors").found == "1 are there, and would run with a daemon"


def test_all_is_well(world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    beats(instance)
    ticks(instance, TickStatus.SKIPPED)
    monkeypatch.setenv("PETROLEUM_ALERT_URLS", "json://127.0.0.1/secret")
    findings = {each.what: each for each in examine_watch(world.platform)}
    assert [each for each in findings.values() if each.state != "ok" and each.what != "Disk"] == []
    assert findings["Sensors"].found == "1 of 1 running"
    assert findings["Runs"].found == "0 in progress, 0 queued"
    assert "secret" not in str(findings)


@pytest.mark.parametrize(("given", "judged"), [(False, "warn"), (True, "fail")], ids=["a laptop", "a deployment"])
def test_a_daemon_that_has_fallen_silent(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, given: bool, judged: str
) -> None:
    if given:
        monkeypatch.setenv("DAGSTER_HOME", str(world.lake.root / "_dagster"))
    beats(instance, ago_s=7300)
    assert found(world, "Daemon").state == judged
    assert found(world, "Daemon").found.startswith("last heard of 2.0 h ago")


def test_a_part_of_the_daemon_that_is_not_well_is_named(world: World, instance: dg.DagsterInstance) -> None:
    beats(instance, error="the code server is away\nmore", without="ASSET")
    assert found(world, "Daemon").state == "fail"
    assert "SENSOR: the code server is away" in found(world, "Daemon").found
    assert "ASSET is silent" in found(world, "Daemon").found


def test_a_sensor_that_was_stopped_is_named(world: World, instance: dg.DagsterInstance) -> None:
    beats(instance)
    instance.add_instigator_state(state(InstigatorStatus.STOPPED))
    assert found(world, "Sensors") == Finding(
        "warn", "Sensors", "0 of 1 running; stopped: approvals", "Start them in the UI"
    )


def test_a_tick_that_failed_is_said_with_its_reason(world: World, instance: dg.DagsterInstance) -> None:
    beats(instance)
    ticks(instance, TickStatus.FAILURE, "RegistryError: no answer\nstack")
    assert found(world, "Sensors").state == "fail"
    said = r"1 of 1 running; approvals failed \d+ s ago: RegistryError: no answer"
    assert re.fullmatch(said, found(world, "Sensors").found)


def test_runs_that_nobody_works_on_are_named(world: World, instance: dg.DagsterInstance) -> None:
    run = queue(instance, dg.DagsterRunStatus.QUEUED)
    assert found(world, "Runs").found == f"deploy ({run[:8]}) waits for a daemon"
    beats(instance)
    assert found(world, "Runs").state == "ok"
    stuck = queue(instance, dg.DagsterRunStatus.STARTED, ago_s=8 * 3600)
    assert found(world, "Runs") == Finding(
        "warn",
        "Runs",
        f"deploy ({stuck[:8]}) is started for 8.0 h",
        "Look at it in the UI, and terminate it if nothing works on it",
    )


def test_a_history_of_another_version_asks_for_a_migration(world: World, instance: dg.DagsterInstance) -> None:
    with sqlite3.connect(world.lake.root / "_dagster" / "history" / "runs.db") as database:
        database.execute("update alembic_version set version_num = '6b7fb194ff9c'")
    database.close()
    assert found(world, "History").state == "fail"
    assert "`dagster instance migrate`" in found(world, "History").remedy


def test_an_instance_that_cannot_be_read_is_said(world: World, instance: dg.DagsterInstance) -> None:
    (world.lake.root / "_dagster" / "dagster.yaml").write_text("telemetry: {enabled: perhaps}\n")
    assert found(world, "History").state == "fail"


def test_a_full_disk_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchkeeping, "_FULL_BYTES", 2**60)
    assert found(world, "Disk").state == "fail"


def test_open_alerts_are_named(world: World) -> None:
    alerts = world.platform.defs.resources["alerts"]
    alerts.open(Alert("late:2023-11-17", "late", "EIA is late", "unknown", "none", week=date(2023, 11, 17)))
    assert found(world, "Alerts").state == "warn"
    assert found(world, "Alerts").found == "1 open, no channel takes them"


def test_a_clock_that_was_set_is_pointed_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(world, "Clock").state == "ok"
    monkeypatch.setenv("FORECAST_NOW", "2023-11-16T12:00:00+00:00")
    other = World(world.lake.root, world.lake.root)
    assert found(other, "Clock") == Finding(
        "warn", "Clock", "set to 2023-11-16T00:00:00+00:00 by FORECAST_NOW", "Unset it: real weeks have real time"
    )


def test_a_landing_folder_that_is_not_there_fails(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECAST_WATCH__LANDING", str(tmp_path / "landing"))
    other = World(world.lake.root, world.lake.root)
    assert found(other, "Landing").state == "fail"
    (tmp_path / "landing").mkdir()
    assert found(other, "Landing") == Finding("ok", "Landing", str(tmp_path / "landing"))
