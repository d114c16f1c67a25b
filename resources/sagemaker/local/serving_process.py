"""A model's container that serves: its model data, its process on a free port, its ping.

Standard library only: supervisors import this without the site packages.
"""

import contextlib
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from resources.sagemaker.local.logs import LogWriter
from resources.sagemaker.local.objects import ObjectError, RefusedError
from resources.sagemaker.local.processes import container_environment, signal_group, start_child, started_at
from resources.sagemaker.local.store import REGION, Wire
from resources.sagemaker.local.supervision import ClientFaultError, Supervised, image_command, setting

STARTUP_S = 480.0
_LOG_BYTES = 4 * 1024 * 1024
"""Of one stream: an endpoint may serve for years."""
_PING_S = 2.0


class ServingProcess:
    """The container of a model, for an endpoint or a transform job.

    Args:
        resource: Whose it is.
        home: Its working directory, which is there.
        container: The container as CreateModel resolved it.

    Attributes:
        port: Of 127.0.0.1, once it is started.
    """

    def __init__(self, resource: Supervised, home: Path, container: Wire) -> None:
        self._resource, self._home, self._container = resource, home, container
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def fetch_model(self) -> None:
        """Unpack the model's data below the container's root.

        Raises:
            ClientFaultError: There is none at its address, or it is no archive.
        """
        model, objects = self._home / "ml" / "model", self._resource.objects
        model.mkdir(parents=True)
        source = self._container.get("ModelDataSource", {}).get("S3DataSource")
        url = source["S3Uri"] if source else self._container.get("ModelDataUrl")
        if url is None:
            return
        try:
            if source and source["CompressionType"] == "None":
                objects.download(url, model)
            else:
                objects.extract(url, model)
        except (OSError, tarfile.TarError, ObjectError, RefusedError) as error:
            raise ClientFaultError(f"Failed to download model data from {url}: {error}") from error

    def start(self, *, environment: Mapping[str, str], log_group: str, stream: str) -> Wire:
        """Start it on a free port. Returns what identifies the process later.

        Raises:
            ClientFaultError: The image has no command here, or it cannot be started.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = image_command(self._resource.root, self._container["Image"], "serve", [], [])
        variables = {
            **self._container.get("Environment", {}),
            **environment,
            "SM_ML_ROOT": str(self._home / "ml"),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "AWS_REGION": REGION,
        }
        try:
            process, output = start_child(command, environment=container_environment(variables), folder=self._home)
        except OSError as error:
            raise ClientFaultError(f"The command of the image cannot be started: {error}") from error
        log = LogWriter(self._resource.root, log_group, stream, room_bytes=_LOG_BYTES)
        threading.Thread(target=lambda: [None for _ in log.copy(output)], daemon=True).start()
        self._process = process
        return {"pid": process.pid, "started": started_at(process.pid)}

    def comes_up(self, limit_s: float) -> bool:
        """Wait for a ping to succeed. False: the process ended, the time is over, or the resource is to go."""
        end = time.monotonic() + setting("STARTUP_S", limit_s)
        while self.running and time.monotonic() < end and not self._resource.stopping:
            if self._answers_ping() and self.running:
                return True
            time.sleep(0.02)
        return False

    def _answers_ping(self) -> bool:
        import http.client  # 20 ms that training and processing jobs need not wait for

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PING_S)
        try:
            # A kept connection would hold up the graceful end of the server for as long as it is open.
            connection.request("GET", "/ping", headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def running(self) -> bool:
        """Is the process there?"""
        return self._process is not None and self._process.poll() is None

    def terminate(self, grace_s: float) -> None:
        """Ask it to end, wait, and end it and all of its group."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
            self.kill()

    def kill(self) -> None:
        """End the process and all of its group now."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
