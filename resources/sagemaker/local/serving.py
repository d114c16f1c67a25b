"""An endpoint, as its supervisor runs it: one serving process, replaced without dropping a request.

An update starts the new process, waits for its ping, points ``live.json`` at it, and only then lets the old one go:
every invocation holds a shared lock on the deployment it was sent to, so an exclusive lock means that none is left.

Standard library only: supervisors import this without the site packages.
"""

import contextlib
import shutil
import threading
import time

from resources.sagemaker.local.deployment import Deployment
from resources.sagemaker.local.store import Store, Wire, get_json, put_json
from resources.sagemaker.local.supervision import LONGEST_REASON, ClientFaultError, Supervised

LIVE = "live.json"
"""Where invocations go now."""
DESIRED = "desired.json"
"""What UpdateEndpoint asked for last."""

_LOOK_S = 0.5
_LONGEST_BACKOFF_S = 30.0


class _Fleet:
    """The deployments of one endpoint: the one that serves, and those on their way out."""

    def __init__(self, endpoint: Supervised) -> None:
        self._endpoint = endpoint
        self._children: list[tuple[Deployment, Wire]] = []
        self._live: Deployment | None = None
        self._retiring: list[threading.Thread] = []
        self._settled = -1
        self._unsaid: Wire = {}
        self._failures = 0
        self._retry_at = 0.0

    def settle(self, generation: int, config_name: str) -> bool:
        """Deploy a configuration unless that has been tried. False: the endpoint has none that serves."""
        if generation <= self._settled:
            return True
        self._settled = generation
        home = self._endpoint.home
        try:
            fresh = self._deploy(generation, config_name)
        except (ClientFaultError, OSError) as fault:
            shutil.rmtree(home / str(generation), ignore_errors=True)
            reason = str(fault)[:LONGEST_REASON]
            if self._live is None:
                self._endpoint.save(EndpointStatus="Failed", FailureReason=reason, children=[])
                return False
            self._say(EndpointStatus="InService", FailureReason=reason, generation=generation)
            return True
        old, self._live = self._live, fresh
        self._say(
            EndpointStatus="InService",
            EndpointConfigName=config_name,
            ProductionVariants=fresh.summary,
            FailureReason=None,
            generation=generation,
        )
        if old is not None:
            self._retire(old)
        return True

    def _deploy(self, generation: int, config_name: str) -> Deployment:
        fresh = Deployment(self._endpoint, generation, config_name)
        try:
            self._start(fresh)
            put_json(self._endpoint.home / LIVE, fresh.live)
        except (ClientFaultError, OSError):
            fresh.kill()
            self._forget(fresh)
            raise
        return fresh

    def _start(self, deployment: Deployment) -> None:
        self._children.append((deployment, deployment.start()))
        self._say(children=[child for _, child in self._children])
        deployment.wait_until_up()

    def _forget(self, deployment: Deployment) -> None:
        self._children = [(owner, child) for owner, child in self._children if owner is not deployment]
        self._say(children=[child for _, child in self._children])

    def _say(self, **changes: object) -> None:
        """Change the record; on a full disk at a later look, for what serves goes on serving."""
        self._unsaid |= changes
        with contextlib.suppress(OSError):
            self._endpoint.save(**self._unsaid)
            self._unsaid = {}

    def _retire(self, deployment: Deployment) -> None:
        thread = threading.Thread(target=deployment.retire)
        thread.start()
        self._retiring = [one for one in self._retiring if one.is_alive()] + [thread]

    def tend(self) -> None:
        """Start the serving process again if it died, later and later if it keeps dying; forget those that left."""
        if self._unsaid:
            self._say()
        for deployment, _ in list(self._children):
            if deployment.gone.is_set():
                self._forget(deployment)
        live = self._live
        if live is None or live.running:
            return
        (self._endpoint.home / LIVE).unlink(missing_ok=True)
        if time.monotonic() < self._retry_at:
            return
        live.kill()
        self._forget(live)
        try:
            self._start(live)
            put_json(self._endpoint.home / LIVE, live.live)
        except (ClientFaultError, OSError):
            live.kill()
            self._failures += 1
            self._retry_at = time.monotonic() + min(0.1 * 2**self._failures, _LONGEST_BACKOFF_S)
        else:
            self._failures = 0

    def kill(self) -> None:
        """End every process now."""
        for deployment, _ in self._children:
            deployment.kill()

    def close(self) -> None:
        """Let the last invocations end, and every process."""
        (self._endpoint.home / LIVE).unlink(missing_ok=True)
        if self._live is not None:
            self._retire(self._live)
        for thread in self._retiring:
            thread.join()


def supervise(endpoint: Supervised) -> None:
    """Run an endpoint until it is deleted, its folder is removed, or its first deployment fails."""
    fleet = _Fleet(endpoint)
    want: Wire = {"generation": 0, "config": endpoint.request["EndpointConfigName"]}
    while not endpoint.stopping:
        if not endpoint.home.is_dir():  # nobody can ask for its end any more
            fleet.kill()
            return
        if not fleet.settle(want["generation"], want["config"]):
            return
        fleet.tend()
        endpoint.pause(_LOOK_S)
        want = get_json(endpoint.home / DESIRED) or want
    fleet.close()
    if (endpoint.home / "stop").exists():
        Store(endpoint.root).discard(endpoint.home)
