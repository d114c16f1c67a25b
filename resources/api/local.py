"""The API on this machine: a gateway process in front of the endpoint, brought up, found again and ended.

Whoever deploys binds the address and hands it on with the lock, so nobody can come between, and requests are let in
from that moment on. The gateway outlives its caller; the lock says whether it lives.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resources.api.errors import ApiMissingError, ApiPortError, ApiStartError
from resources.api.gateway.state import CONFIG, ERRORS, KEY, LOCK, PROBE, checksum
from resources.api.spec import ApiSpec, Progress
from resources.lake import LakeWriteError
from resources.sagemaker.local.processes import inherited_environment
from resources.sagemaker.local.store import exclusive, get_json, put_json

HOST = "127.0.0.1"
_UP_S = 30.0
_END_S = 10.0
_KILL_S = 10.0
_QUEUE = 256


class LocalApi:
    """The API of a lake on this machine.

    Args:
        home: Its folder.
        sagemaker: The folder of this machine's SageMaker.
        spec: What it is to be.
        port: Where it is to listen; 0 for a free port, which is then kept.
    """

    def __init__(self, home: Path, sagemaker: Path, spec: ApiSpec, *, port: int) -> None:
        self._home, self._sagemaker, self._spec, self._port = home, sagemaker, spec, port

    def is_deployed(self) -> bool:
        """Whether it is there, as asked."""
        config = get_json(self._home / CONFIG)
        return config == self._wanted(config) and self._gateway() is not None

    def deploy(self, progress: Progress) -> bool:
        """Bring it up, or to what is asked; False where it was so already.

        Raises:
            ApiPortError: Its port cannot be had.
            ApiStartError: It does not come up.
            LakeWriteError: The disk is full, or may not be written.
        """
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with exclusive(self._home / "deploy.lock"):
                return self._deploy(progress)
        except OSError as error:
            raise LakeWriteError(self._home, error) from error

    def _deploy(self, progress: Progress) -> bool:
        config = get_json(self._home / CONFIG)
        wanted = self._wanted(config)
        alive = self._gateway() is not None and config is not None and _answers(config["port"], 2 * _END_S)
        if alive and config == wanted:
            return False
        if alive and all(config[name] == wanted[name] for name in ("endpoint", "port", "code")):
            put_json(self._home / CONFIG, wanted)  # it reads its limits for every request
            return True
        self._end()
        with _bound(wanted["port"], kept=self._port == 0) as listening:
            wanted["port"] = listening.getsockname()[1]
            put_json(self._home / CONFIG, wanted)
            progress(f"starting the API on http://{HOST}:{wanted['port']}")
            self._launch(listening)
        if not _answers(wanted["port"], _UP_S):
            self._end()
            raise ApiStartError(self._home / ERRORS)
        return True

    def url(self) -> str:
        """Where forecasts are asked for.

        Raises:
            ApiMissingError: It was never brought up.
        """
        config = self._found()
        return f"http://{HOST}:{config['port']}/{config['stage']}/forecast"

    def key(self) -> str:
        """A new key, which ends the one before. Only its checksum is kept.

        Raises:
            ApiMissingError: It was never brought up.
        """
        self._found()
        return self._issued(KEY)

    @contextmanager
    def probe(self) -> Iterator[str]:
        """A key for as long as this is held, to see that it answers; neither rate nor quota is touched."""
        try:
            yield self._issued(PROBE)
        finally:
            (self._home / PROBE).unlink(missing_ok=True)

    def delete(self, progress: Progress) -> bool:
        """Take it down, with its key and its address; False where there was none."""
        if not self._home.exists():
            return False
        with exclusive(self._home / "deploy.lock"):
            progress("ending the API")
            self._end()
            gone = self._home.with_name(f".gone-{secrets.token_hex(16)}")
            self._home.rename(gone)
        shutil.rmtree(gone)
        return True

    def _found(self) -> dict[str, Any]:
        config: dict[str, Any] | None = get_json(self._home / CONFIG)
        if config is None:
            raise ApiMissingError
        return config

    def _wanted(self, config: dict[str, Any] | None) -> dict[str, Any]:
        """The configuration to come to, from the one there is: it keeps a port that was free once."""
        return asdict(self._spec) | {
            "port": self._port or (config or {}).get("port", 0),
            "code": _code_version(),
        }

    def _issued(self, name: str) -> str:
        key = secrets.token_urlsafe(32)
        try:
            put_json(self._home / name, {"sha256": checksum(key)})
        except OSError as error:
            raise LakeWriteError(self._home / name, error) from error
        return key

    def _gateway(self) -> int | None:
        """The number of the gateway's process; 0 before it has told; None where none lives."""
        try:
            with (self._home / LOCK).open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.readline().strip() or 0)
                return None
        except FileNotFoundError:
            return None

    def _end(self) -> None:
        """End the gateway, if one lives: asked first, then killed."""
        began, asked = time.monotonic(), False
        while (pid := self._gateway()) is not None:
            late = time.monotonic() - began
            if late > _END_S + _KILL_S:
                raise ApiStartError(self._home / ERRORS)
            if pid and (not asked or late > _END_S):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late > _END_S else signal.SIGTERM)
                asked = True
            time.sleep(0.02)

    def _launch(self, listening: socket.socket) -> None:
        lock = os.open(self._home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.pwrite(lock, b" " * 32 + b"\n", 0)  # the number of the one before is nobody's now
            module = [sys.executable, "-P", "-m", "resources.api.gateway"]
            arguments = [str(self._home), str(self._sagemaker), str(lock), str(listening.fileno())]
            with (self._home / ERRORS).open("wb") as errors:
                subprocess.run(
                    [*module, *arguments],
                    check=True,
                    cwd=self._home,
                    env=inherited_environment(os.environ),
                    pass_fds=(lock, listening.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    start_new_session=True,
                )
        except subprocess.CalledProcessError:
            raise ApiStartError(self._home / ERRORS) from None
        finally:
            os.close(lock)


@contextmanager
def _bound(port: int, *, kept: bool) -> Iterator[socket.socket]:
    """A socket that listens on this machine's loopback address.

    Args:
        port: Which port; 0 for a free one.
        kept: Whether the port is one that was free once: another will do where it is not any more.

    Raises:
        ApiPortError: The port cannot be had.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            if not kept:
                raise ApiPortError(port, str(error.strerror)) from error
            listening.bind((HOST, 0))
        listening.listen(_QUEUE)
        yield listening


def _answers(port: int, limit_s: float) -> bool:
    """Whether a gateway answers. One that is starting is waited for: its address takes requests already."""
    connection = http.client.HTTPConnection(HOST, port, timeout=limit_s)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().status == 403
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@functools.cache
def _code_version() -> str:
    """A checksum of the code that the gateway runs: a newer one replaces it."""
    import containers.gateway
    import resources.api.gateway

    folders = [Path(package.__path__[0]) for package in (containers.gateway, resources.api.gateway)]
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
