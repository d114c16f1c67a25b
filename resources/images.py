"""The images, built from a checkout and pushed to the account's registry under the revision they were built from.

SageMaker takes an image in Docker's own format, built for one platform: an index, which BuildKit makes to attest where
an image comes from, and an image in OCI's format are refused when a model or a function is made from them. So none is
asked for, and what the registry was given is looked at before it is recommended.

https://github.com/aws/amazon-sagemaker-feedback/issues/180
"""

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resources.aws import AwsError, asking

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

Progress = Callable[[str], None]
Engine = Literal["docker", "podman"]

IMAGES = ("processing", "training", "serving", "gateway")
PLATFORM = "linux/amd64"
"""That of SageMaker's instances and of the function; the search engine is compiled for its processors."""

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_STDERR = 2
_GIT = "git"


class ImagesError(AwsError):
    """The images cannot be built or pushed."""


class EngineMissingError(ImagesError):
    """There is nothing to build images with."""


class UncommittedError(ImagesError):
    """The working tree is not a revision, so an image of it could not be named after one."""


class EngineFailedError(ImagesError):
    """The engine could not do what it was asked."""

    def __init__(self, what: str, code: int, said: str = "") -> None:
        super().__init__(f"cannot {what}: the engine ended with {code}{f': {said.strip()}' if said else ', see above'}")


class RepositoryMissingError(ImagesError):
    """The account has no repository for an image."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no repository {name}: make it with `forecast aws bootstrap`")


class ImageFormatError(ImagesError):
    """An image is in the registry in a form that SageMaker refuses."""

    def __init__(self, repository: str, tag: str, form: str) -> None:
        super().__init__(
            f"{repository}:{tag} is of the type {form}, and SageMaker takes {_MANIFEST} only. Remove it with "
            f"`aws ecr batch-delete-image --repository-name {repository} --image-ids imageTag={tag}`, and build it "
            "with Docker's own image store, or with podman"
        )


@dataclass(frozen=True)
class Registry:
    """The account's repositories.

    Args:
        ecr: boto3 client of ECR.
        stack: Begins their names: `<stack>/<image>`.
    """

    ecr: "ECRClient"
    stack: str

    def repository(self, image: str) -> str:
        """The name of an image's repository."""
        return f"{self.stack}/{image}"

    def uri(self, image: str) -> str:
        """Where an image is pushed to, without its tag.

        Raises:
            RepositoryMissingError: There is no such repository.
        """
        name = self.repository(image)
        with asking(f"look for the repository {name}"):
            try:
                found = self.ecr.describe_repositories(repositoryNames=[name])["repositories"]
            except self.ecr.exceptions.RepositoryNotFoundException:
                raise RepositoryMissingError(name) from None
        return found[0]["repositoryUri"]

    def holds(self, image: str, tag: str) -> bool:
        """Whether an image is there under a tag.

        Raises:
            ImageFormatError: It is, but in a form that is of no use.
        """
        name = self.repository(image)
        with asking(f"look into the repository {name}"):
            try:
                (found,) = self.ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"]
            except self.ecr.exceptions.ImageNotFoundException:
                return False
        form = found.get("imageManifestMediaType", _MANIFEST)
        if form != _MANIFEST:
            raise ImageFormatError(name, tag, form)
        return True

    def password(self) -> str:
        """A password for the engine; it is good for twelve hours."""
        with asking("get a password for the registry"):
            (data,) = self.ecr.get_authorization_token()["authorizationData"]
        return base64.b64decode(data["authorizationToken"]).decode().partition(":")[2]


def find_engine(wanted: Engine | None = None) -> Engine:
    """What builds here: docker, or else podman, unless one is asked for.

    Raises:
        EngineMissingError: There is none, or docker lacks the part that reads our ignore files.
    """
    names: tuple[Engine, ...] = ("docker", "podman") if wanted is None else (wanted,)
    found = next((name for name in names if shutil.which(name)), None)
    if found is None:
        raise EngineMissingError(f"no {' and no '.join(names)} is on the PATH: install one of them to build images")
    if found == "docker" and _ended(["docker", "buildx", "version"]):
        raise EngineMissingError("docker is here, but not its plugin buildx, which builds the images: install it")
    return found


def revision(root: Path) -> str:
    """The revision of a checkout, twelve characters.

    Raises:
        UncommittedError: It is no checkout, or has changes that are not committed.
    """
    if not (root / "requirements").is_dir() or shutil.which(_GIT) is None:
        raise UncommittedError(f"{root} is no checkout with git: images are built from one, not from what is installed")
    changes = _git(root, "status", "--porcelain").splitlines()
    if changes:
        shown = ", ".join(line[3:] for line in changes[:3]) + (", ..." if len(changes) > 3 else "")
        raise UncommittedError(f"commit or stash first, images are named after a revision: {shown}")
    return _git(root, "rev-parse", "--short=12", "HEAD")


def build_and_push(
    root: Path, registry: Registry, *, engine: Engine, python_image: str | None = None, progress: Progress
) -> str:
    """Build every image of the checkout's revision that the registry lacks, and push it.

    Args:
        root: The checkout.
        registry: Where to.
        engine: What builds and pushes.
        python_image: The image all are built on, by tag or by digest, instead of the one their Dockerfiles name.
        progress: Told what happens.

    Returns:
        The URI of the images, with `{image}` for the name, as the setting `images` takes it.

    Raises:
        ImagesError: The tree has changes, a repository is missing, or the engine failed. What was pushed stays.
        AwsAccessError: The account refuses.
    """
    tag = revision(root)
    uris = {image: registry.uri(image) for image in IMAGES}
    missing = [image for image in IMAGES if not registry.holds(image, tag)]
    for image in IMAGES:
        if image not in missing:
            progress(f"{image} of {tag} is there already")
    if missing:
        host = uris[missing[0]].partition("/")[0]
        with _signed_in(engine, host, registry.password()) as environment:
            for image in missing:
                named = f"{uris[image]}:{tag}"
                progress(f"Building {image}")
                _run(_build(engine, root, image, named, python_image), f"build {image}")
                progress(f"Pushing {named}")
                push = ["push"] if engine == "docker" else ["push", "--format", "v2s2"]
                _run([engine, *push, named], f"push {named}", environment)
                if not registry.holds(image, tag):
                    raise EngineFailedError(f"push {named}", 0, "the registry does not have it")
    return uris["training"].removesuffix("training") + "{image}:" + tag


def _build(engine: Engine, root: Path, image: str, named: str, python_image: str | None) -> list[str]:
    file = root / "containers" / image / "Dockerfile"
    if engine == "docker":
        form = ["buildx", "build", "--provenance=false", "--sbom=false", "--output", "type=docker"]
    else:
        form = ["build", "--format", "docker", "--ignorefile", f"{file}.dockerignore"]
    base = [] if python_image is None else ["--build-arg", f"PYTHON_IMAGE={python_image}"]
    return [engine, *form, "--platform", PLATFORM, *base, "--tag", named, "--file", str(file), str(root)]


@contextmanager
def _signed_in(engine: Engine, host: str, password: str) -> Iterator[Mapping[str, str]]:
    """The environment in which the engine may push; what it keeps of the password is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="forecast-images-") as folder:
        if engine == "podman":
            environment = {**os.environ, "REGISTRY_AUTH_FILE": str(Path(folder, "auth.json"))}
        else:
            # The configuration that is set aside also says where the engine listens.
            environment = {**_docker_host(engine), **os.environ, "DOCKER_CONFIG": folder}
        done = subprocess.run(
            [engine, "login", "--username", "AWS", "--password-stdin", host],
            input=password,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineFailedError(f"sign in to {host}", done.returncode, done.stderr)
        yield environment


def _docker_host(engine: Engine) -> dict[str, str]:
    done = subprocess.run(
        [engine, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    host = done.stdout.strip()
    return {"DOCKER_HOST": host} if host and not done.returncode else {}


def _run(command: list[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    """Run the engine; what it says goes to standard error, where progress is looked for."""
    code = subprocess.run(command, env=environment, stdout=_STDERR, check=False).returncode
    if code:
        raise EngineFailedError(what, code)


def _ended(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run([_GIT, "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UncommittedError(f"git {arguments[0]} failed in {root}: {done.stderr.strip()}")
    return done.stdout.rstrip()
