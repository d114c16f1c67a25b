"""Dagster's image: its Dockerfile copies what the code location needs, and what runs can install nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.images import ROOT, copies, copy_code, dockerfile, let_through, repository, stages, variables

IMAGE = "dagster"


def test_the_code_location_loads_from_what_is_copied(tmp_path: Path) -> None:
    copy_code(IMAGE, tmp_path)
    code = (
        "import forecast_assets.definitions as d, json; from forecast_assets import cli;"
        "print(json.dumps([d.__file__, sorted(job.name for job in d.defs().jobs)]))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file, jobs = json.loads(done.stdout)
    assert Path(file).is_relative_to(tmp_path)
    assert {"weekly_refresh", "deploy"} <= set(jobs)


def test_templates_and_pages_that_the_code_reads_are_copied(tmp_path: Path) -> None:
    copy_code(IMAGE, tmp_path)
    for name in ("forecast.yaml", "forecast_assets/dashboard.html.jinja", "resources/cloudformation/api.yaml"):
        assert (tmp_path / name).is_file(), name
    home = Path(variables(IMAGE)["DAGSTER_HOME"])
    [config] = [target for sources, target in sources_of() if sources == ["docs/deployment/dagster.postgres.yaml"]]
    assert Path(config) == home / "dagster.yaml"


def sources_of() -> list[tuple[list[str], str]]:
    return [each for stage in stages(IMAGE) for each in copies(stage)]


def test_build_context_holds_what_is_copied_and_no_more() -> None:
    context = {path for path in repository() if let_through(IMAGE, path)}
    sources = [source.rstrip("/") for taken, _ in sources_of() for source in taken]
    assert {path for path in context if not any(path == one or path.startswith(f"{one}/") for one in sources)} == set()
    missing = [one for one in sources if not any(path == one or path.startswith(f"{one}/") for path in context)]
    assert [one for one in missing if one != "requirements/dagster.txt" or (ROOT / one).exists()] == []
    assert not [path for path in context if "__pycache__" in path or "Dockerfile" in path or path.startswith("tests")]


def test_image_is_pinned_and_names_no_site() -> None:
    text = dockerfile(IMAGE)
    assert "--require-hashes" in text
    assert text.count("${PYTHON_IMAGE}") == text.count("\nFROM ") == 3
    assert not re.search(r"https?://|index-url|apt-get|file:", text)


def test_image_that_runs_can_install_nothing_and_is_nobody_s() -> None:
    last = stages(IMAGE)[-1]
    assert [rest for rest in last.all("RUN") if rest.startswith("rm -rf ") and "/usr/local/bin/pip" in rest]
    assert not [rest for rest in last.all("RUN") if "install" in rest]
    assert last.all("USER") == ["65534:65534"]
    [home] = [rest for rest in last.all("COPY") if rest.endswith(" /var/lib/dagster")]
    assert "--chown=65534:65534" in home
