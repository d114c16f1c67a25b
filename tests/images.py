"""The images without an engine: what their ignore files let through, what their Dockerfiles make of it, and the result.

A built image is a folder with what `/venv` and `/app` hold. The packages are those of the image's own environment,
slimmed as the Dockerfile says; the code is copied line by line, out of the files that the ignore file lets through.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from containers import slim
from tests.environments import environment

ROOT = Path(__file__).resolve().parents[1]
UNDER_TEST = "IMAGES_UNDER_TEST"
"""Names the folder of a built image in which the contract tests start their containers."""


@dataclass
class Stage:
    """What the Dockerfile says between a FROM and the next: (instruction, rest) in order."""

    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.instructions if name == instruction]


def dockerfile(image: str) -> str:
    return (ROOT / "containers" / image / "Dockerfile").read_text()


def stages(image: str) -> list[Stage]:
    lines = [line for line in dockerfile(image).splitlines() if line.strip() and not line.startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            found.append(Stage(rest.partition(" AS ")[2]))
        elif found:
            found[-1].instructions.append((instruction, rest))
    return found


def copies(stage: Stage) -> Iterator[tuple[list[str], str]]:
    """Sources in the build context and destination of every COPY."""
    for rest in stage.all("COPY"):
        *sources, destination = rest.split()
        if not sources[0].startswith("--from"):
            yield sources, destination


def variables(image: str) -> dict[str, str]:
    """The environment of the image that runs."""
    return dict(re.findall(r"(\w+)=(\S*)", " ".join(stages(image)[-1].all("ENV"))))


def command(image: str) -> list[str]:
    """What the image runs: ENTRYPOINT and CMD."""
    last = stages(image)[-1]
    return [word for name in ("ENTRYPOINT", "CMD") for rest in last.all(name) for word in json.loads(rest)]


def let_through(image: str, path: str) -> bool:
    """Whether the ignore file lets a file of the repository into the build: the last pattern that matches decides."""
    kept = True
    parents = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for line in (ROOT / "containers" / image / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if any(_matches(one, pattern) for one in parents):
            kept = line.startswith("!")
    return kept


def _matches(path: str, pattern: str) -> bool:
    """The patterns of an ignore file: `*` within a name, `**` across folders."""
    names = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(names.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))
    return re.fullmatch(expression, path) is not None


def repository() -> list[str]:
    """The files of the working tree, byte code and ignored ones too."""
    skipped = {".git", ".venv", ".forecast", "site"}
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in skipped]
        found += [str(Path(folder, name).relative_to(ROOT)) for name in names]
    return found


def copy_code(image: str, folder: Path) -> None:
    """What the stage `application` copies to `/app`, into a folder."""
    context = [path for path in repository() if let_through(image, path)]
    (application,) = (stage for stage in stages(image) if stage.name == "application")
    for sources, destination in copies(application):
        for source in sources:
            taken = [path for path in context if path == source or path.startswith(source.rstrip("/") + "/")]
            assert taken, f"COPY {source}: no such file in the build context"
            for path in taken:
                inside = Path(path).relative_to(source) if source.endswith("/") else Path(Path(path).name)
                target = folder / destination / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, target)


@dataclass(frozen=True)
class Built:
    """A built image, and how its processes start."""

    folder: Path
    image: str

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def app(self) -> Path:
        return self.folder / "app"

    @property
    def packages(self) -> Path:
        (found,) = (self.folder / "venv" / "lib").glob("python3.*/site-packages")
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The image's variables, where `/app` and `/venv` lie here."""
        return {
            name: self.located(value).replace("$PATH", os.environ["PATH"])
            for name, value in variables(self.image).items()
        }

    def located(self, text: str) -> str:
        return re.sub(r"/(app|venv)\b", lambda match: str(self.folder / match[1]), text)

    def run(self, *arguments: str, timeout_s: float = 280) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=self.app,
            env={"PATH": os.environ["PATH"], **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def started(self, **environment: str) -> "subprocess.Popen[str]":
        """The command of the image, started."""
        program, *arguments = command(self.image)
        assert program == "python"
        return subprocess.Popen(
            [str(self.python), *arguments],
            cwd=self.app,
            env={"PATH": os.environ["PATH"], **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def build(image: str, folder: Path) -> Built:
    """Build an image into a folder: packages, slimmed; code, compiled."""
    source = environment(image)
    installed = next((source.parents[1] / "lib").glob("python3.*/site-packages"))
    made = Built(folder, image)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    # Links: the packages are read here, never written.
    shutil.copytree(installed, made.packages, copy_function=_linked, dirs_exist_ok=True)
    slim.main(made.packages)
    copy_code(image, made.app)
    (folder / "image.json").write_text(json.dumps({"image": image}))
    for stage in stages(image)[1:]:
        for rest in stage.all("RUN"):
            if rest.startswith("python -m "):
                done = made.run(*made.located(rest).split()[1:])
                assert done.returncode == 0, done.stderr
    return made


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


@dataclass(frozen=True)
class Interpreter:
    """What starts a container: this interpreter, or that of the image under test."""

    command: str
    folder: Path
    environment: dict[str, str]


def interpreter() -> Interpreter:
    """The image's, where `IMAGES_UNDER_TEST` names one; else the one that runs the tests."""
    folder = os.environ.get(UNDER_TEST)
    if folder is None:
        return Interpreter(sys.executable, ROOT, {})
    built = Built(Path(folder), json.loads((Path(folder) / "image.json").read_text())["image"])
    return Interpreter(str(built.python), built.app, built.environment)
