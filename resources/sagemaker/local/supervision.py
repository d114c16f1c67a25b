"""What every supervisor does: keep the record of its resource, and notice that it should stop.

Standard library only: supervisors import this without the site packages.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from resources.sagemaker.local.objects import RefusedError, objects_of
from resources.sagemaker.local.store import WAKE, Wire, get_json, put_json

LONGEST_REASON = 1024
"""Characters of a FailureReason or an ExitMessage."""


class ClientFaultError(Exception):
    """A resource that fails for what its creator asked for; SageMaker calls it a ClientError."""


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what S3 refuses into a fault of the resource, in the words of SageMaker."""
    try:
        yield
    except RefusedError as error:
        raise ClientFaultError(f"{what} {error}") from error


class Supervised:
    """A resource as its supervisor sees it. The supervisor is the only writer of its status.

    Attributes:
        home: Its folder.
        root: The folder of the whole twin.
        request: What its creator asked for.
        status: The rest of its record.
        objects: What it reads and writes.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.root = home, home.parent.parent
        self.request: Wire = get_json(home / "request.json")
        self.status: Wire = get_json(home / "status.json")
        self.objects = objects_of(self.root)
        self._terminated = False
        self._signals, written = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written)
        signal.signal(signal.SIGTERM, self._terminate)
        for wake in (WAKE, signal.SIGCHLD):
            signal.signal(wake, lambda *_: None)

    def _terminate(self, *_: object) -> None:
        self._terminated = True

    def save(self, **changes: object) -> None:
        """Change the record; None takes a key out."""
        merged = self.status | changes | {"LastModifiedTime": time.time()}
        self.status = {key: value for key, value in merged.items() if value is not None}
        put_json(self.home / "status.json", self.status)

    @property
    def stopping(self) -> bool:
        """Has a caller asked for an end, or the machine?"""
        return self._terminated or (self.home / "stop").exists()

    def interrupted(self) -> bool:
        """Was the spot instance taken away? Every interruption is told once."""
        try:
            (self.home / "interrupt").unlink()
        except FileNotFoundError:
            return False
        return True

    def pause(self, seconds: float) -> None:
        """Wait until a child ends, a caller wakes this process (``Store.wake``), or the time is over."""
        select.select([self._signals], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals, 4096)


def setting(name: str, default: float) -> float:
    """One of the twin's own settings, ``SAGEMAKER_LOCAL_<name>`` in the environment: a number of seconds."""
    return float(os.environ.get(f"SAGEMAKER_LOCAL_{name}", default))


def image_command(root: Path, image: str, what: str, entrypoint: list[str], arguments: list[str]) -> list[str]:
    """The argument list that stands for starting an image.

    Raises:
        ClientFaultError: The image is not registered on this machine, or not for this use.
    """
    commands = (get_json(root / "images.json") or {}).get(image)
    if commands is None:
        raise ClientFaultError(f"Cannot pull image {image}: register_image has no commands for it on this machine")
    start = entrypoint or commands.get(what)
    if not start:
        raise ClientFaultError(f"Image {image} has no {what!r} command on this machine; register_image takes one")
    return [*start, *arguments]


def local_path(ml: Path, container_path: str) -> Path:
    """Where a path below ``/opt/ml`` lies for a container whose ``/opt/ml`` is the folder ``ml``."""
    return ml / Path(container_path).relative_to("/opt/ml")
