"""One version of an endpoint: its model, its process, and its end once nobody waits for an answer.

Standard library only: supervisors import this without the site packages.
"""

import fcntl
import shutil
import threading
import time
import uuid
from pathlib import Path

from resources.sagemaker.local.serving_process import STARTUP_S, ServingProcess
from resources.sagemaker.local.store import ENDPOINT_CONFIG, MODEL, Store, Wire
from resources.sagemaker.local.supervision import ClientFaultError, Supervised

BUSY = "busy"
"""The lock file of a deployment that its invocations share."""

_INSTANCE_BODY_BYTES = 6 * 1024 * 1024
_SERVERLESS_BODY_BYTES = 4 * 1024 * 1024
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
        self._process = ServingProcess(endpoint, self._home, self._container)
        self._process.fetch_model()

    def start(self) -> Wire:
        """Start a serving process on a free port. Returns what identifies it later."""
        stream = f"{self._variant['VariantName']}/i-{uuid.uuid4().hex[:17]}"
        return self._process.start(environment={}, log_group=f"Endpoints/{self._endpoint.home.name}", stream=stream)

    def wait_until_up(self) -> None:
        """Wait for a ping to succeed.

        Raises:
            ClientFaultError: The process ended, the time for starting is over, or the endpoint is to go.
        """
        limit_s = self._variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_S)
        if not self._process.comes_up(limit_s):
            raise ClientFaultError(
                f"The primary container for production variant {self._variant['VariantName']} did not pass the ping "
                "health check. Please check CloudWatch logs for this endpoint."
            )

    @property
    def running(self) -> bool:
        """Is the serving process there?"""
        return self._process.running

    @property
    def live(self) -> Wire:
        """What invocations need to know of it."""
        serverless = "ServerlessConfig" in self._variant
        return {
            "generation": self.generation,
            "port": self._process.port,
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
        self._process.kill()

    def retire(self) -> None:
        """Wait until no invocation is left (60 s at most), end the process (30 s at most), remove the folder."""
        _wait_for_lock(self._home / BUSY, _DRAIN_S)
        self._process.terminate(_TERMINATION_S)
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
