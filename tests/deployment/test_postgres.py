"""Dagster's history in PostgreSQL: on a real server, with the `dagster.yaml` of the documentation."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from forecast_assets import history
from forecast_assets.cli import main
from forecast_assets.settings import load_settings
from sensors import default_sensors
from tests.deployment.units import DEPLOYMENT, Machine
from tests.postgres import Postgres
from tests.refreshes import SMALL, until
from tests.served import free_port
from tests.webserver import patiently
from tests.world import ROOT

CONFIG = DEPLOYMENT / "dagster.postgres.yaml"
WEEK = "2023-11-10"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of Dagster with the documented file, and variables for a server that is not there."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text(CONFIG.read_text())
    given = {
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DB": "dagster",
        "USERNAME": "dagster",
        "PASSWORD": "secret",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FORECAST_LAKE_URI", str(tmp_path / "lake"))
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name, value in postgres.environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as opened:
        yield opened


def test_the_two_instances_differ_in_their_storage_and_in_that_one_outlives_its_machine() -> None:
    with_postgres = yaml.safe_load(CONFIG.read_text())
    assert set(with_postgres.pop("storage")) == {"postgres"}
    assert with_postgres["run_launcher"].pop("config") == {"only_machine": True}
    assert with_postgres == yaml.safe_load((ROOT / "dagster.yaml").read_text())
    comments = [line for line in (ROOT / "dagster.yaml").read_text().splitlines() if "#" in line][1:]
    assert [line for line in comments if line not in CONFIG.read_text()] == []


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 1, done.output
    assert "Traceback" not in done.output
    assert "secret" not in done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize("command", [("refresh", "--week", WEEK), ("ui",)], ids=" ".join)
def test_nothing_begins_where_the_server_is_not_reached(home: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    said = refused(*command)
    assert said.startswith("Error: Dagster's history in PostgreSQL at 127.0.0.1:")
    assert "Connection refused" in said
    assert said.endswith("start the server or correct the DAGSTER_PG_... variables, and try again")
    assert not (tmp_path / "lake" / "release").exists()


def test_a_variable_that_is_not_set_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_PG_PASSWORD")
    assert "not set in the environment: DAGSTER_PG_PASSWORD" in refused("refresh", "--week", WEEK)


def test_without_the_extra_it_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(history, "find_spec", lambda name: None if name == "dagster_postgres" else found(name))
    assert "pip install 'forecast-assets[postgres]'" in refused("refresh", "--week", WEEK)


def test_a_file_that_is_no_yaml_is_named(home: Path) -> None:
    (home / "dagster.yaml").write_text("storage: {postgres: [\n")
    assert f"{home / 'dagster.yaml'}: " in refused("refresh", "--week", WEEK)


def test_a_wrong_password_is_said_and_not_shown(
    home: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PG_PORT", str(postgres.port))
    said = refused("refresh", "--week", WEEK)
    assert 'password authentication failed for user "dagster"' in said


def test_a_url_in_place_of_its_parts_does_as_well(tmp_path: Path, postgres: Postgres) -> None:
    url = f"postgresql+psycopg2://dagster:{postgres.password}@127.0.0.1:{postgres.port}/dagster"
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": {"postgres": {"postgres_url": url}}}))
    found = history.postgres_of(tmp_path)
    assert found is not None
    found.check()
    assert postgres.password not in found.where


def migrate() -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "instance", "migrate"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_an_empty_database_gets_its_tables_and_an_older_one_is_migrated(
    instance: dg.DagsterInstance, postgres: Postgres
) -> None:
    tables = set(postgres.ask("select tablename from pg_tables where schemaname = 'public'"))
    assert {"runs", "event_logs", "jobs", "job_ticks", "daemon_heartbeats", "alembic_version"} <= tables
    [newest] = postgres.ask("select version_num from alembic_version")
    assert instance.run_storage.alembic_version() == (newest, newest)
    from alembic.script import ScriptDirectory
    from dagster_postgres.run_storage import run_storage
    from dagster_postgres.utils import pg_alembic_config

    before = ScriptDirectory.from_config(pg_alembic_config(run_storage.__file__)).get_revision(newest).down_revision
    postgres.ask(f"update alembic_version set version_num = '{before}'")
    assert instance.run_storage.alembic_version() == (before, newest)
    migrate()
    assert instance.run_storage.alembic_version() == (newest, newest)
    migrate()


# -- the platform on it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, shared_data: Path) -> Iterator[Machine]:
    state = tmp_path_factory.mktemp("machine") / "state"
    environment = {
        **SMALL,
        **postgres.environment,
        "FORECAST_LAKE_URI": str(state / "lake"),
        "FORECAST_EIA_SOURCE": str(shared_data / "weekly"),
        "FORECAST_NOW": "2023-11-16T12:00:00+00:00",
    }
    made = Machine(state, environment, config="docs/deployment/dagster.postgres.yaml")
    try:
        made.start_all()
        yield made
    finally:
        postgres.start()
        made.close()
        made.forecast("endpoint", "stop")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_week_that_the_sensors_make_is_recorded_there(machine: Machine, postgres: Postgres) -> None:
    ended = "select pipeline_name || ' ' || status from runs order by id"
    until(
        lambda: {"weekly_refresh SUCCESS", "deploy SUCCESS"} <= set(postgres.ask(ended)),
        "end of week and deployment",
        limit_s=300,
        every_s=0.3,
    )
    done = machine.forecast("refresh", "--week", WEEK)
    assert done.returncode == 0, done.stderr
    assert f"Week {WEEK} is up to date" in done.stderr
    assert "InService" in done.stdout
    assert int(postgres.ask("select count(*) from event_logs")[0]) > 100
    assert not list((machine.state / "dagster").rglob("*.db")), "nothing beside it in SQLite"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_watches_keeps_its_ticks_there(machine: Machine, postgres: Postgres) -> None:
    machine.daemons_are_well()
    wanted = {each.name for each in default_sensors(load_settings())}
    names = "select distinct tick_body::json->>'job_name' from job_ticks"
    for name in sorted(wanted):
        until(lambda name=name: name in postgres.ask(names), f"tick of {name}", every_s=0.3)  # type: ignore[misc]
    assert int(postgres.ask("select count(*) from daemon_heartbeats")[0]) >= 4
    doctor = machine.forecast("doctor")
    assert doctor.returncode == 0, doctor.stdout
    for words in (f"PostgreSQL at 127.0.0.1:{postgres.port}, database dagster", "every part of it well"):
        assert words in doctor.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_runs_of_one_week_wait_for_each_other(machine: Machine, postgres: Postgres) -> None:
    machine.daemons_are_well()
    runs = [machine.launch("score", week=WEEK) for _ in range(3)]
    assert [machine.ended(run) for run in runs] == ["SUCCESS"] * 3
    listed = ", ".join(f"'{run}'" for run in runs)
    spans = postgres.ask(f"select start_time, end_time from runs where run_id in ({listed}) order by start_time")
    times = [float(time) for span in spans for time in span.split("|")]
    assert times == sorted(times), "each began when the one before had ended"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_server_is_restarted_in_the_middle_of_a_run(machine: Machine, postgres: Postgres) -> None:
    """The run survives or fails for a reason; daemon and webserver need nobody; the next run is as ever."""
    machine.daemons_are_well()
    run = machine.launch("weekly_refresh", week="2023-11-03")
    machine.starts(run)
    postgres.stop()
    postgres.start()
    machine.is_up()
    machine.ended(run, limit_s=600)
    another = patiently(lambda: machine.launch("weekly_refresh", week=WEEK))
    assert machine.ended(another) == "SUCCESS"
    machine.daemons_are_well()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_command_whose_server_goes_away_says_so_and_the_next_one_goes_on(
    home: Path, postgres: Postgres, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**SMALL, **postgres.environment, "FORECAST_EIA_SOURCE": str(shared_data / "weekly")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    command = [str(Path(sys.executable).with_name("forecast")), "refresh", "--week", WEEK]
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs_count() >= 0, "there are tables to look at"
    count = "select count(*) from runs where status = 'STARTED'"
    before = postgres.ask(count)
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: postgres.ask(count) != before, "start of the run", every_s=0.3)
    postgres.stop()
    _, said = running.communicate(timeout=400)
    postgres.start()
    assert running.returncode == 1
    assert f"Error: Dagster cannot keep its history in PostgreSQL at 127.0.0.1:{postgres.port}" in said
    assert "Traceback" not in said
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    subprocess.run([*command[:1], "endpoint", "stop"], cwd=ROOT, capture_output=True, timeout=100, check=True)
