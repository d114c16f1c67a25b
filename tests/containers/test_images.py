"""The images hold what their entry points need, and nothing that names a site."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from containers.images import COMMANDS

ROOT = Path(__file__).parents[2]
ENTRIES = {
    "processing": "containers.processing.__main__, containers.processing.task",
    "training": "containers.training.__main__, containers.training.search, containers.training.fit",
    "serving": "containers.serving.__main__, containers.serving.app",
}
images = pytest.mark.parametrize("image", sorted(COMMANDS))


def dockerfile(image: str) -> str:
    return (ROOT / "containers" / image / "Dockerfile").read_text()


def copied(image: str) -> list[tuple[list[str], str]]:
    """Sources and destination of every COPY from the build context."""
    lines = [line.split()[1:] for line in dockerfile(image).splitlines() if line.startswith("COPY ")]
    return [(line[:-1], line[-1]) for line in lines if not line[0].startswith("--from")]


@images
def test_entry_point_is_the_command_that_runs_without_the_image(image: str) -> None:
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", dockerfile(image), re.MULTILINE)[0])
    command = re.findall(r"^CMD (.*)$", dockerfile(image), re.MULTILINE)
    assert entry[0] == "python"
    assert (*entry[1:], *(json.loads(command[0]) if command else [])) == COMMANDS[image]


@images
def test_copied_files_are_enough_to_import_the_entry_point(image: str, tmp_path: Path) -> None:
    for sources, destination in copied(image):
        for source in sources:
            if source.startswith("requirements/"):
                continue
            target = tmp_path / destination
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, target)
    code = f"import containers, {ENTRIES[image]}; print(containers.__file__)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert Path(ended.stdout.strip()).is_relative_to(tmp_path)


def numba_environment() -> dict[str, str]:
    """What the training image tells the compiler: code for the processor that builds it would not run elsewhere."""
    return dict(re.findall(r"(NUMBA_\w+)=(\S*)", dockerfile("training")))


def test_training_image_compiles_the_engine_for_a_processor_that_is_named() -> None:
    lines = dockerfile("training").splitlines()
    assert lines.index("RUN python -m forecasting.engine") > max(i for i, line in enumerate(lines) if "NUMBA_" in line)
    assert numba_environment()["NUMBA_CPU_NAME"]


@pytest.mark.slow
def test_what_the_image_compiles_is_found_by_the_job(tmp_path: Path) -> None:
    environment = {**os.environ, **numba_environment(), "NUMBA_CACHE_DIR": str(tmp_path)}
    code = (
        "from forecasting.engine import __main__, kernels; __main__.main();"
        "stats = kernels.fit_rows.stats; print(len(stats.cache_hits), len(stats.cache_misses))"
    )
    for expected in (["0", "1"], ["1", "0"]):
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.split()[-2:] == expected


@pytest.mark.parametrize(
    ("image", "held", "not_held"),
    [
        ("processing", {"numpy", "statsmodels"}, {"numba", "statsforecast", "sktime"}),
        ("training", {"numba", "holidays", "threadpoolctl"}, {"statsforecast", "sktime"}),
        ("serving", {"starlette"}, {"numpy", "pandas", "numba", "scipy"}),
    ],
)
def test_image_holds_what_it_computes_with_and_no_oracle(image: str, held: set[str], not_held: set[str]) -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / f"{image}.txt").read_text(), re.MULTILINE))
    assert held <= pinned
    assert not pinned & not_held


@images
def test_build_context_holds_what_is_copied_and_no_more(image: str) -> None:
    ignored = (ROOT / "containers" / image / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:].removesuffix("**") for line in ignored if line.startswith("!")}
    assert ignored[0] == "*"
    assert allowed == {source for sources, _ in copied(image) for source in sources}


@images
def test_image_is_pinned_and_names_no_site(image: str) -> None:
    text = dockerfile(image)
    assert f"COPY requirements/{image}.txt" in text
    assert "--require-hashes" in text
    assert not re.search(r"https?://|index-url|apt-get|file:", text)
