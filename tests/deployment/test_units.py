"""The systemd units: what systemd makes of them, and the processes that they start."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forecast_assets.settings import load_settings
from sensors import default_schedules, default_sensors
from tests.deployment.units import DEPLOYMENT, SERVICES, Machine, read

EXPOSURE = 2.5
"""Of 10, as `systemd-analyze security` counts; a service without hardening has 9.6."""
WEEK = "2023-11-10"

services = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def analyze() -> str:
    if (found := shutil.which("systemd-analyze")) is None:
        pytest.skip("there is no systemd-analyze")
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with commands that exist on this machine."""
    for path in (*DEPLOYMENT.glob("*.service"), *DEPLOYMENT.glob("*.target")):
        (tmp_path / path.name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", path.read_text()))
    return tmp_path


def test_systemd_understands_every_line(analyze: str, installed: Path) -> None:
    units = sorted(map(str, installed.iterdir()))
    assert len(units) == len(SERVICES) + 1
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    broken = Path(units[0])
    broken.write_text(broken.read_text().replace("KillMode=process", "KillMood=process"))
    done = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    assert "KillMood" in done.stderr, "what is misspelt would be found"


@services
def test_a_service_is_hardened(analyze: str, installed: Path, service: str) -> None:
    unit = str(installed / f"{service}.service")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True, check=False
    )
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) < EXPOSURE


@services
def test_a_service_is_nobody_s_and_writes_where_its_state_is(service: str) -> None:
    said = read(f"{service}.service")["Service"]
    assert (said["User"], said["ProtectSystem"], said["NoNewPrivileges"]) == (["petroleum"], ["strict"], ["yes"])
    assert said["ReadWritePaths"] == ["/var/lib/petroleum"]
    assert said["EnvironmentFile"] == ["/etc/petroleum/environment"]
    assert said["Restart"] == ["always"]
    variables = dict(each.split("=", maxsplit=1) for each in said["Environment"])
    written = [variables["DAGSTER_HOME"], variables.get("TMPDIR", "/var/lib/petroleum")]
    assert all(path.startswith("/var/lib/petroleum") for path in written)
    assert not re.search(r"(?i)password|secret|key", " ".join(said["Environment"] + said["ExecStart"]))


def test_what_outlives_the_code_server_keeps_its_files() -> None:
    """Runs, jobs and the endpoint are its children: they are not ended with it, nor is their /tmp removed."""
    code = read("petroleum-code.service")["Service"]
    assert code["KillMode"] == ["process"]
    assert "PrivateTmp" not in code
    assert "Environment" in code
    for service in SERVICES[1:]:
        assert read(f"{service}.service")["Service"]["PrivateTmp"] == ["yes"]


def test_nothing_listens_on_every_address() -> None:
    commands = " ".join(read(f"{service}.service")["Service"]["ExecStart"][0] for service in SERVICES)
    assert re.findall(r"(?:--host|-h) (\S+)", commands) == ["127.0.0.1", "127.0.0.1"]
    port = re.search(r"--port (\d+)", commands)
    assert port is not None
    assert f"port: {port[1]}" in (DEPLOYMENT / "workspace.yaml").read_text()


# -- the processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[Machine]:
    state = tmp_path_factory.mktemp("machine") / "state"
    environment = {
        "FORECAST_LAKE_URI": str(state / "lake"),
        "FORECAST_EIA_SOURCE": str(shared_data / "weekly"),
        "FORECAST_STEP": "24",
        "FORECAST_MAX_HARMONICS": "2",
        "FORECAST_WORKERS": "1",
        "FORECAST_NOW": "2023-11-16T12:00:00+00:00",
    }
    made = Machine(state, environment, config="dagster.yaml")
    try:
        made.start_all()
        yield made
    finally:
        made.close()
        made.forecast("endpoint", "stop")


@pytest.mark.slow
def test_the_commands_come_up_with_every_sensor_and_schedule_running(machine: Machine) -> None:
    machine.daemons_are_well()
    [repository] = machine.repositories()
    found = {each["name"]: each["sensorState"]["status"] for each in repository["sensors"]}
    found |= {each["name"]: each["scheduleState"]["status"] for each in repository["schedules"]}
    settings = load_settings()
    wanted = [each.name for each in (*default_sensors(settings), *default_schedules(settings))]
    assert found == dict.fromkeys(wanted, "RUNNING")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_services_are_restarted_in_the_middle_of_a_run_and_the_run_does_not_notice(machine: Machine) -> None:
    """Daemon and webserver by force, the code server as systemd does it: it is there again before the run has ended."""
    machine.daemons_are_well()
    run = machine.launch("weekly_refresh", week=WEEK)
    machine.starts(run)
    for service in ("petroleum-daemon", "petroleum-webserver"):
        machine.kill(service)
    machine.stop("petroleum-code")
    for service in SERVICES:
        machine.start(service)
    machine.is_up()
    assert machine.ended(run) == "SUCCESS", machine.log("petroleum-code")
    assert machine.ended(machine.launch("deploy")) == "SUCCESS", machine.log("petroleum-code")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_endpoint_outlives_every_service(machine: Machine) -> None:
    if "InService" not in machine.forecast("endpoint", "status").stdout:
        assert machine.ended(machine.launch("weekly_refresh", week=WEEK)) == "SUCCESS"
        assert machine.ended(machine.launch("deploy")) == "SUCCESS"
    for service in reversed(SERVICES):
        machine.stop(service)
    done = machine.forecast("endpoint", "invoke", "--periods", "4")
    assert done.returncode == 0, done.stderr
    machine.start_all()
