"""The images: what their packages and code weigh, and how long a fresh process takes to import the entry point.

No engine runs here: an image is the folder that `tests.images` makes of its Dockerfile. What it weighs is without the
base image, which is the same for all (python:3.11-slim, some 125 MB unpacked); the other side are the packages as pip
leaves them.
"""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks import measure
from benchmarks.measure import MeasureError, Progress, Result
from containers import slim
from tests.images import Built, build

ROUNDS = 5
ENTRIES = {
    "processing": "containers.processing.counterfactual",
    "training": "containers.training.search, containers.training.fit",
    "serving": "containers.serving.app",
    "gateway": "containers.gateway.handler, boto3; boto3.client('sagemaker-runtime', 'us-east-1')",
}
LIMITS_S = {"processing": 5.0, "training": 5.0, "serving": 0.5, "gateway": 1.0}


def run(progress: Progress) -> list[Result]:
    """Two rows an image: megabytes, and seconds from process start to end."""
    results = []
    with tempfile.TemporaryDirectory(prefix="forecast-images-") as folder:
        for image in ENTRIES:
            progress(f"building {image}")
            installed = measure.ROOT / ".venv" / "environments" / image
            if not (installed / ".installed").exists():
                raise MeasureError(f"the environment {image} is not installed: `make test-full` installs it")
            built = build(image, Path(folder) / image)
            results += [_weight(built, installed), _start(built, progress)]
    return results


def _weight(built: Built, installed: Path) -> Result:
    as_installed = sum(slim.size(found) for found in (installed / "lib").glob("python3.*/site-packages"))
    packages, code = slim.size(built.packages), slim.size(built.app)
    return measure.smaller(
        f"images: {built.image}, packages and code",
        (packages + code) / 1e6,
        (as_installed + code) / 1e6,
        "MB",
        times=1,
        note=f"{code / 1e6:.2g} MB of it are code, compiled; the base image is not counted",
    )


def _start(built: Built, progress: Progress) -> Result:
    seconds: list[float] = []
    bare_s: list[float] = []
    for number in range(ROUNDS + 1):  # the first fills the page cache
        progress(f"{built.image}, round {number} of {ROUNDS}")
        for program, times in ((f"import {ENTRIES[built.image]}", seconds), ("", bare_s)):
            done = measure.run([built.python, "-c", program], environment=built.environment)
            times.append(done.seconds)
    return measure.below(
        f"images: {built.image}, import of the entry point",
        median(seconds[1:]),
        None,
        "s",
        limit=LIMITS_S[built.image],
        note=f"process start to end, {median(bare_s[1:]) * 1000:.0f} ms of it are the bare interpreter",
    )
