"""Four weeks of the simulated year: the real daemon, the real webserver, faults from the seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import ROOT


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_weeks_lose_nothing_whatever_goes_wrong(shared_data: Path, tmp_path: Path) -> None:
    seed = os.environ.get("FORECAST_YEAR_SEED", "1")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.year", "--short", "--seed", seed, "--folder", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "SHARED_DATA": str(shared_data)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"FORECAST_YEAR_SEED={seed}\n{done.stdout}"
    assert done.stdout.splitlines()[-1] == "lost 0, duplicate 0, silent 0, failed requests 0"
