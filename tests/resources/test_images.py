"""Images are built from a committed revision, pushed once, and kept out where SageMaker would refuse them.

The registry is moto's server; the engine is a program that writes down how it was called, and pushes a manifest.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from forecast_assets.commands.images import images
from resources import aws
from resources.images import (
    IMAGES,
    PLATFORM,
    EngineFailedError,
    EngineMissingError,
    ImageFormatError,
    Registry,
    RepositoryMissingError,
    UncommittedError,
    build_and_push,
    find_engine,
)

DOCKER_V2 = "application/vnd.docker.distribution.manifest.v2+json"
STACK = "petroleum-demand"

ENGINE = """#!{python} -SE
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
told = dict(arguments=[Path(sys.argv[0]).name, *arguments], config=os.environ.get("DOCKER_CONFIG"))
if "--password-stdin" in arguments:
    told["password"] = sys.stdin.read()
    Path(os.environ["DOCKER_CONFIG"], "config.json").write_text("secret")
with open({record!r}, "a") as file:
    file.write(json.dumps(told) + "\\n")
if arguments[0] == {fails!r}:
    sys.exit("it does not work")
if arguments[:2] == ["context", "inspect"]:
    print("unix:///somewhere/docker.sock")
if arguments[0] == "push":
    from urllib.request import Request, urlopen
    repository, tag = arguments[-1].partition("/")[2].split(":")
    manifest = json.dumps(dict(schemaVersion=2, mediaType={form!r}, repository=repository, tag=tag))
    body = dict(repositoryName=repository, imageManifest=manifest, imageManifestMediaType={form!r}, imageTag=tag)
    scope = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=0"
    headers = dict(Authorization=scope)
    headers["X-Amz-Target"] = "AmazonEC2ContainerRegistry_V20150921.PutImage"
    headers["Content-Type"] = "application/x-amz-json-1.1"
    urlopen(Request(os.environ["AWS_ENDPOINT_URL_ECR"], json.dumps(body).encode(), headers)).close()
"""


@dataclass
class Engine:
    """What stands for docker or podman."""

    folder: Path

    @property
    def record(self) -> Path:
        return self.folder / "calls.jsonl"

    def install(self, name: str = "docker", *, form: str = DOCKER_V2, fails: str = "") -> None:
        text = ENGINE.format(python=sys.executable, record=str(self.record), form=form, fails=fails)
        program = self.folder / name
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def calls(self, verb: str) -> list[dict[str, object]]:
        told = [json.loads(line) for line in self.record.read_text().splitlines()] if self.record.exists() else []
        return [call for call in told if verb in call["arguments"]]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    folder = tmp_path / "bin"
    folder.mkdir()
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (folder / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(folder))
    return Engine(folder)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    (root / "requirements" / "serving.txt").write_text("")
    git(root, "init", "-q")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(root), *named, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", ".")
    git(root, "commit", "-q", "--allow-empty", "-m", "a")
    return git(root, "rev-parse", "--short=12", "HEAD")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def registry(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    import urllib.request

    urllib.request.urlopen(urllib.request.Request(f"{moto}/moto-api/reset", method="POST")).close()
    for name, value in {
        "AWS_ENDPOINT_URL_ECR": moto,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    aws.client.cache_clear()
    made = Registry(aws.client("ecr", "us-east-1"), STACK)
    for image in IMAGES:
        made.ecr.create_repository(repositoryName=made.repository(image), imageTagMutability="IMMUTABLE")
    yield made
    aws.client.cache_clear()


def push(checkout: Path, registry: Registry, **options: object) -> str:
    return build_and_push(checkout, registry, engine=find_engine(), progress=print, **options)


def test_every_image_is_built_for_one_platform_without_attestations_and_pushed_under_its_revision(
    engine: Engine, checkout: Path, registry: Registry
) -> None:
    engine.install()
    uri = push(checkout, registry, python_image="python@sha256:" + "0" * 64)
    tag = commit(checkout)  # the same: there is nothing new
    assert uri.endswith(f".amazonaws.com/{STACK}/{{image}}:{git(checkout, 'rev-parse', '--short=12', 'HEAD~1')}")
    assert tag not in uri
    builds = [call["arguments"] for call in engine.calls("build")]
    assert [Path(call[call.index("--file") + 1]).parent.name for call in builds] == list(IMAGES)
    for image, call in zip(IMAGES, builds, strict=True):
        assert {"--provenance=false", "--sbom=false", f"PYTHON_IMAGE=python@sha256:{'0' * 64}"} <= set(call)
        assert call[call.index("--platform") + 1] == PLATFORM == "linux/amd64"
        assert call[call.index("--tag") + 1] == uri.replace("{image}", image)
        assert call[-1] == str(checkout)
    assert [call["arguments"][-1] for call in engine.calls("push")] == [uri.replace("{image}", name) for name in IMAGES]


def test_a_revision_that_is_there_is_neither_built_nor_pushed_again(
    engine: Engine, checkout: Path, registry: Registry
) -> None:
    engine.install(fails="push")
    with pytest.raises(EngineFailedError, match="push"):
        push(checkout, registry)
    engine.install()
    first = push(checkout, registry)
    before = engine.record.read_text()
    assert push(checkout, registry) == first
    added = engine.record.read_text().removeprefix(before)
    assert [json.loads(line)["arguments"][1:] for line in added.splitlines()] == [["buildx", "version"]]


def test_the_password_reaches_the_engine_alone_and_does_not_stay(
    engine: Engine, checkout: Path, registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.install()
    push(checkout, registry)
    (login,) = engine.calls("login")
    assert login["password"] == registry.password()
    assert login["password"] not in " ".join(login["arguments"])
    assert not Path(login["config"]).exists()
    assert {call["config"] for call in engine.calls("push")} == {login["config"]}
    assert {call["config"] for call in engine.calls("build")} == {None}  # what pulls the base image is the user's own
    said = capfd.readouterr()
    assert login["password"] not in said.out + said.err


def test_podman_builds_in_dockers_format(
    engine: Engine, checkout: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine.install("podman")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    push(checkout, registry)
    first = engine.calls("build")[0]["arguments"]
    assert first[:4] == ["podman", "build", "--format", "docker"]
    assert first[first.index("--ignorefile") + 1] == f"{checkout}/containers/processing/Dockerfile.dockerignore"
    assert engine.calls("push")[0]["arguments"][1:4] == ["push", "--format", "v2s2"]


@pytest.mark.parametrize("change", ["changed", "new"])
def test_a_tree_with_changes_is_refused(engine: Engine, checkout: Path, registry: Registry, change: str) -> None:
    engine.install()
    (checkout / "requirements" / ("serving.txt" if change == "changed" else "more.txt")).write_text("x")
    with pytest.raises(UncommittedError, match=r"requirements/(serving|more).txt"):
        push(checkout, registry)
    assert engine.calls("build") == []


def test_what_is_no_checkout_is_refused(engine: Engine, tmp_path: Path, registry: Registry) -> None:
    engine.install()
    with pytest.raises(UncommittedError, match="no checkout"):
        push(tmp_path, registry)


def test_a_missing_repository_is_named_before_anything_is_built(
    engine: Engine, checkout: Path, registry: Registry
) -> None:
    engine.install()
    registry.ecr.delete_repository(repositoryName=f"{STACK}/gateway", force=True)
    with pytest.raises(RepositoryMissingError, match=f"{STACK}/gateway.*forecast aws bootstrap"):
        push(checkout, registry)
    assert engine.calls("build") == []


def test_an_index_in_the_registry_is_not_recommended(engine: Engine, checkout: Path, registry: Registry) -> None:
    engine.install(form="application/vnd.oci.image.index.v1+json")
    for _ in range(2):  # nor when it is found there the next time
        with pytest.raises(ImageFormatError, match=r"oci.image.index.*batch-delete-image"):
            push(checkout, registry)
    assert len(engine.calls("push")) == 1


def test_a_missing_engine_is_named(engine: Engine) -> None:
    with pytest.raises(EngineMissingError, match="no docker and no podman"):
        find_engine()
    with pytest.raises(EngineMissingError, match="no podman"):
        find_engine("podman")
    engine.install(fails="buildx")
    with pytest.raises(EngineMissingError, match="buildx"):
        find_engine()


@pytest.mark.parametrize("verb", ["login", "buildx"])
def test_what_the_engine_cannot_do_is_said(engine: Engine, checkout: Path, registry: Registry, verb: str) -> None:
    engine.install(fails=verb)
    with pytest.raises(EngineFailedError):
        build_and_push(checkout, registry, engine="docker", progress=print)


def test_the_command_prints_the_setting_alone_on_its_output(
    engine: Engine, checkout: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    engine.install()
    monkeypatch.setattr("forecast_assets.commands.images._ROOT", checkout)
    done = CliRunner().invoke(images, ["--engine", "docker"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("FORECAST_IMAGES=")
    assert done.stdout.count("\n") == 1
    (checkout / "new").write_text("")
    done = CliRunner().invoke(images, [])
    assert done.exit_code == 1
    assert "commit or stash first" in done.output
