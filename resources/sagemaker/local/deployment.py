"""One version of an endpoint: its model, its process, and its end once nobody waits for an answer.

Standard library only: supervisors import this without the site packages.
"""

import contextlib
import fcntl
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
import uuid
from pathlib import Path

from resources.sagemaker.local.logs import LogWriter
from resources.sagemaker.local.objects import ObjectError
from resources.sagemaker.local.processes import container_environment, signal_group, start_child, started_at
from resources.sagemaker.local.store import ENDPOINT_CONFIG, MODEL, REGION, Store, Wire
from resources.sagemaker.local.supervision import ClientFaultError, Supervised, image_command, setting

BUSY = "busy"
"""The lock file of a deployment that its invocations share."""

_INSTANCE_BODY_BYTES = 6 * 1024 * 1024
_SERVERLESS_BODY_BYTES = 4 * 1024 * 1024
_STARTUP_S = 480.0
_PING_S = 2.0
_DRAIN_S = 60.0
_TERMINATION_S = 30.0


class Deployment:
    """One version of an endpoint: its folder, and the process that serves it.

    Attributes:
        generation: 0 for the endpoint as created, and one more with each update.
        config_name: The endpoint configuration it was made from.
        gone: Set once its process has ended for good.
    """

    def __init__(self, endpoint: Supervised, generation: int, config_name: str) -> None:
        store = Store(endpoint.root)
        config = store.read(ENDPOINT_CONFIG, config_name)
        if config is None:
            raise ClientFaultError(f'Could not find endpoint configuration "{ENDPOINT_CONFIG.arn(config_name)}".')
        self.generation, self.config_name = generation, config_name
        self.gone = threading.Event()
        self._endpoint = endpoint
        self._variant: Wire = config["ProductionVariants"][0]
        model = store.read(MODEL, self._variant["ModelName"])
        if model is None:
            raise ClientFaultError(f'Could not find model "{MODEL.arn(self._variant["ModelName"])}".')
        self._container: Wire = model["resolved"]
        self._home = endpoint.home / str(generation)
        self._home.mkdir()
        (self._home / BUSY).touch()
        self._fetch()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def _fetch(self) -> None:
        model, objects = self._home / "ml" / "model", self._endpoint.objects
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
        except (OSError, tarfile.TarError, ObjectError) as error:
            raise ClientFaultError(f"Failed to download model data from {url}: {error}") from error

    def start(self) -> Wire:
        """Start a serving process on a free port. Returns what identifies it later."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        command = image_command(self._endpoint.root, self._container["Image"], "serve", [], [])
        environment = self._container.get("Environment", {}) | {
            "SM_ML_ROOT": str(self._home / "ml"),
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
            "AWS_REGION": REGION,
        }
        try:
            process, output = start_child(command, environment=container_environment(environment), folder=self._home)
        except OSError as error:
            raise ClientFaultError(f"The command of the image cannot be started: {error}") from error
        stream = f"{self._variant['VariantName']}/i-{uuid.uuid4().hex[:17]}"
        log = LogWriter(self._endpoint.root, f"Endpoints/{self._endpoint.home.name}", stream)
        threading.Thread(target=lambda: [None for _ in log.copy(output)], daemon=True).start()
        self._process = process
        return {"pid": process.pid, "started": started_at(process.pid)}

    def wait_until_up(self) -> None:
        """Wait for a ping to succeed.

        Raises:
            ClientFaultError: The process ended, the time for starting is over, or the endpoint is to go.
        """
        limit = self._variant.get("ContainerStartupHealthCheckTimeoutInSeconds", _STARTUP_S)
        end = time.monotonic() + setting("STARTUP_S", limit)
        while self.running and time.monotonic() < end and not self._endpoint.stopping:
            if self._answers_ping() and self.running:
                return
            time.sleep(0.02)
        raise ClientFaultError(
            f"The primary container for production variant {self._variant['VariantName']} did not pass the ping "
            "health check. Please check CloudWatch logs for this endpoint."
        )

    def _answers_ping(self) -> bool:
        import http.client  # 20 ms that training and processing jobs need not wait for

        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PING_S)
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
        """Is the serving process there?"""
        return self._process is not None and self._process.poll() is None

    @property
    def live(self) -> Wire:
        """What invocations need to know of it."""
        serverless = "ServerlessConfig" in self._variant
        return {
            "generation": self.generation,
            "port": self._port,
            "variant": self._variant["VariantName"],
            "body_bytes": _SERVERLESS_BODY_BYTES if serverless else _INSTANCE_BODY_BYTES,
        }

    @property
    def summary(self) -> list[Wire]:
        """What DescribeEndpoint calls ProductionVariants."""
        image, weight = self._container["Image"], self._variant.get("InitialVariantWeight", 1.0)
        deployed = {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": time.time()}
        variant: Wire = {
            "VariantName": self._variant["VariantName"],
            "DeployedImages": [deployed],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
        }
        if serverless := self._variant.get("ServerlessConfig"):
            return [variant | {"CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}]
        count = self._variant["InitialInstanceCount"]
        return [variant | {"CurrentInstanceCount": count, "DesiredInstanceCount": count}]

    def kill(self) -> None:
        """End the process and all of its group now."""
        if self._process is not None:
            signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def retire(self) -> None:
        """Wait until no invocation is left (60 s at most), end the process (30 s at most), remove the folder."""
        _wait_for_lock(self._home / BUSY, _DRAIN_S)
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERMINATION_S)
            self.kill()
        shutil.rmtree(self._home)
        self.gone.set()


def _wait_for_lock(path: Path, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    with path.open() as file:
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return
