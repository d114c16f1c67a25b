"""What a default install can do: everything, without an extra, and quickly."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ["forecast_assets", "resources", "jobs", "sensors", "containers", "forecasting"]
EXTRAS = ["dagster_aws", "sagemaker", "torch", "sktime", "statsforecast", "moto", "hypothesis", "pytest"]
# They name the extra they need, see their own tests.
OPTIONAL = {"forecasting.sktime_forecaster", "resources.sagemaker.pipeline.steps"}
HEAVY = ["sktime", "statsforecast", "numba", "boto3", "sagemaker", "statsmodels", "scipy", "matplotlib"]


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def modules() -> list[str]:
    found = [
        module.name
        for room in ROOMS
        for module in pkgutil.walk_packages([str(ROOT / room)], prefix=f"{room}.")
        if not module.name.endswith(
            ("__main__", ".detach", ".supervisor", ".sktime_forecaster")
        )  # programs, not modules
        and module.name not in OPTIONAL
    ]
    assert len(found) > 40
    return found


def test_every_module_imports_without_any_extra() -> None:
    program = f"""
import importlib, sys
for name in {EXTRAS!r}:
    sys.modules[name] = None  # importing it raises ImportError, as where it is not installed
for name in {modules()!r}:
    importlib.import_module(name)
"""
    done = run(program)
    assert done.returncode == 0, done.stderr


def test_the_code_location_loads_without_the_heavy_libraries() -> None:
    program = f"""
import json, sys, time
start = time.perf_counter()
from forecast_assets.definitions import defs
defs()
seconds = time.perf_counter() - start
heavy = sorted({{name.split('.')[0] for name in sys.modules}} & set({HEAVY!r}))
print(json.dumps([seconds, heavy]))
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    seconds, heavy = json.loads(done.stdout)
    assert heavy == []
    assert seconds < 15, "about one second on a quiet machine; never more than three"


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_what_belongs_in_it(room: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / room).rglob("*.py")
        if not path.read_text().startswith(('"""', 'r"""'))
    ]
    assert silent == []


def test_no_text_names_a_registry_or_a_path_of_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    hosts = ["pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "/root" + "/"]
    guilty = [
        name
        for name in tracked
        if (ROOT / name).suffix in {".py", ".txt", ".toml", ".md", ".yaml", ".yml", ".json", ".ambr", ""}
        and (ROOT / name).is_file()
        and any(host in (ROOT / name).read_text(errors="ignore") for host in hosts)
    ]
    assert guilty == []
