"""The images hold what their entry points need and little else, and nothing that names a site.

No engine builds them here: `tests.images` does what the Dockerfiles say in a folder.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from containers import slim
from containers.images import COMMANDS
from tests import images as built_by_hand
from tests.environments import environment
from tests.images import ROOT, UNDER_TEST, Built, build, copies, copy_code, dockerfile, let_through, stages, variables

IMAGES = (*sorted(COMMANDS), "gateway")
ENTRIES = {
    "processing": "containers.processing.__main__, containers.processing.counterfactual, containers.processing.gate",
    "training": "containers.training.__main__, containers.training.search, containers.training.fit",
    "serving": "containers.serving.__main__, containers.serving.app",
    "gateway": "containers.gateway.handler, containers.gateway.invocation",
}
ANYWHERE = {*sys.stdlib_module_names, "mypy_boto3_sagemaker_runtime"}  # the types of boto3 are for the checker
images = pytest.mark.parametrize("image", IMAGES)
CONTRACT = {
    "processing": ["test_processing.py", "test_processing_gate.py"],
    "training": ["test_training_search.py", "test_training_fit.py"],
    "serving": ["test_serving.py", "test_serving_limits.py"],
}


@pytest.mark.parametrize("image", sorted(COMMANDS))
def test_entry_point_is_the_command_that_runs_without_the_image(image: str) -> None:
    assert built_by_hand.command(image) == ["python", *COMMANDS[image]]


def test_the_gateway_is_run_by_the_runtime_client_of_lambda() -> None:
    *runner, handler = built_by_hand.command("gateway")
    assert runner == ["python", "-m", "awslambdaric"]
    module, _, function = handler.rpartition(".")
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert function in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@images
def test_copied_files_are_enough_to_import_the_entry_point(image: str, tmp_path: Path) -> None:
    copy_code(image, tmp_path)
    code = f"import containers, {ENTRIES[image]}; print(containers.__file__)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert Path(ended.stdout.strip()).is_relative_to(tmp_path)


@images
def test_what_the_entry_point_can_import_is_copied_or_pinned(image: str, tmp_path: Path) -> None:
    copy_code(image, tmp_path)
    ours = {
        ".".join(path.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__"): path
        for path in tmp_path.rglob("*.py")
    }
    pinned = {name.replace("-", "_") for name in pins(image)} | {"PIL"}
    waiting, seen, missing = ENTRIES[image].split(", "), set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in ours:
            waiting += [found for found in imported(ours[name]) if found.partition(".")[0] not in ANYWHERE]
            waiting += [name.rpartition(".")[0]] if "." in name else []
        elif name.partition(".")[0] not in pinned and name.rpartition(".")[0] not in ours:
            missing.add(name)
    assert missing == set()
    assert len(seen & set(ours)) >= 4


def imported(path: Path) -> set[str]:
    """The modules that a file imports, and the names from them, which may be modules.

    Within functions only those of the entry points count: of the mathematics each image calls a part.
    """
    source = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(source) if "containers" in path.parts else source.body:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def pins(image: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / f"{image}.txt").read_text(), re.MULTILINE))


def test_training_image_compiles_the_engine_for_a_processor_that_is_named() -> None:
    instructions = stages("training")[-1].instructions
    compiled = instructions.index(("RUN", "python -m forecasting.engine"))
    told = [index for index, (name, rest) in enumerate(instructions) if name == "ENV" and "NUMBA_" in rest]
    assert told
    assert max(told) < compiled
    assert variables("training")["NUMBA_CPU_NAME"]


@pytest.mark.parametrize(
    ("image", "held", "not_held"),
    [
        ("processing", {"numpy", "statsmodels", "boto3"}, {"numba", "statsforecast", "sktime"}),
        ("training", {"numba", "holidays", "threadpoolctl", "boto3"}, {"statsforecast", "sktime"}),
        ("serving", {"starlette"}, {"numpy", "pandas", "numba", "scipy", "boto3"}),
        ("gateway", {"awslambdaric", "boto3"}, {"numpy", "pandas", "starlette"}),
    ],
)
def test_image_holds_what_it_computes_with_and_no_oracle(image: str, held: set[str], not_held: set[str]) -> None:
    assert held <= pins(image)
    assert not pins(image) & not_held


@images
def test_build_context_holds_what_is_copied_and_no_more(image: str) -> None:
    context = {path for path in built_by_hand.repository() if let_through(image, path)}
    sources = [source for stage in stages(image) for taken, _ in copies(stage) for source in taken]
    assert {
        path
        for path in context
        if not any(path == one or path.startswith(f"{one}".rstrip("/") + "/") for one in sources)
    } == set()
    assert [one for one in sources if not any(path.startswith(one) for path in context)] == []
    assert not [path for path in context if "__pycache__" in path or "Dockerfile" in path or path.startswith("tests")]


@images
def test_image_is_pinned_and_names_no_site(image: str) -> None:
    text = dockerfile(image)
    assert f"COPY requirements/{image}.txt" in text
    assert "--require-hashes" in text
    assert text.count("${PYTHON_IMAGE}") == text.count("\nFROM ") == 3
    assert not re.search(r"https?://|index-url|apt-get|file:", text)


@images
def test_image_that_runs_can_install_nothing(image: str) -> None:
    last = stages(image)[-1]
    assert [rest for rest in last.all("RUN") if rest.startswith("rm -rf ") and "/usr/local/bin/pip" in rest]
    assert not [rest for rest in last.all("RUN") if "install" in rest]
    assert bool(last.all("USER")) == (image in {"serving", "gateway"})  # SageMaker gives jobs an /opt/ml of root


def test_what_slimming_takes_out_is_there_once_and_spares_what_is_asked_for(tmp_path: Path) -> None:
    kept = [
        "numpy/testing/one.py",
        "botocore/data/s3/2006/service.json",
        "botocore/data/endpoints.json",
        "pandas/io.py",
    ]
    gone = [
        "pandas/tests/io/tests/test_one.py",
        "botocore/data/ec2/2016/service.json",
        "pyarrow/include/arrow.h",
        "pyarrow/tests/test_one.py",
        "pyarrow/libarrow_flight.so",
        "statsmodels/datasets/co2/co2.csv",
    ]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("0123456789")
    slim.main(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(kept)
    assert list(slim.unused(tmp_path)) == []


# -- the images themselves -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=IMAGES)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An image: the packages that its requirements pin, slimmed, and the files that its Dockerfile copies."""
    environment(request.param)
    return build(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.slow
def test_image_passes_the_contract_tests(image: Built, tmp_path: Path) -> None:
    if image.image not in CONTRACT:
        pytest.skip("the gateway has tests of its own")
    files = [str(ROOT / "tests" / "containers" / name) for name in CONTRACT[image.image]]
    # An image is told to listen on every address; the loopback is what a process of this machine listens on.
    left_out = ["-k", "not listens_on_loopback_alone"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            str(tmp_path),
            *left_out,
            *files,
        ],
        cwd=ROOT,
        env={**os.environ, UNDER_TEST: str(image.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 5


@pytest.mark.slow
def test_image_has_the_packages_that_are_pinned_and_nothing_of_the_house_beyond_its_copy(image: Built) -> None:
    code = (
        "import importlib.metadata as m, importlib.util as u, json, sys;"
        "names = ['dagster', 'forecast_assets', 'resources', 'pip', 'pytest'];"
        "print(json.dumps([sorted(d.name.lower().replace('_', '-') for d in m.distributions()),"
        "[n for n in names if u.find_spec(n)], sys.flags.dont_write_bytecode]))"
    )
    done = image.run("-c", code)
    assert done.returncode == 0, done.stderr
    installed, foreign, no_byte_code = json.loads(done.stdout)
    pinned = {name.replace("_", "-") for name in pins(image.image)}
    assert {name for name in installed if name not in pinned} == set()
    assert (foreign, no_byte_code) == ([], 1)


@pytest.mark.slow
def test_image_imports_from_byte_code_that_it_brings(image: Built) -> None:
    done = image.run("-v", "-c", f"import {ENTRIES[image.image]}")
    assert done.returncode == 0, done.stderr[-2000:]
    read = re.findall(r"^# (code object from|.*matches) (.*)$", done.stderr, re.MULTILINE)
    assert len(read) > 20
    compiled = [path for how, path in read if how == "code object from" and path.strip("'").endswith(".py")]
    assert compiled == []


@pytest.mark.slow
def test_what_the_image_compiled_is_found_by_the_job(image: Built) -> None:
    if image.image != "training":
        pytest.skip("only the training image compiles")
    code = (
        "from forecasting.engine import __main__, kernels; __main__.main();"
        "stats = kernels.fit_rows.stats; print(len(stats.cache_hits), len(stats.cache_misses))"
    )
    done = image.run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["1", "0"]
