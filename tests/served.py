"""A small model artifact, and the serving process that answers from it."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting import models, schema
from forecasting.configuration import SEASONAL_NAIVE, Configuration
from tests.images import interpreter

ROOT = Path(__file__).parents[1]
CUTOFF = "2023-11-10"


def fitted(name: str, configuration: Configuration, *, conformal: bool) -> dict[str, object]:
    weeks = np.arange(160)
    noise = np.random.default_rng(0).normal(0, 0.02, len(weeks))
    values = np.exp(9 + 0.05 * np.sin(2 * np.pi * weeks / 52.18) + noise)
    history = pd.Series(values, index=pd.date_range(end=CUTOFF, periods=len(weeks), freq="W-FRI"), name=name)
    entry = models.fit(history, configuration).entry
    scores = [sorted(float(x) for x in np.random.default_rng(h).exponential(1.0, 30)) for h in range(26)]
    return entry | {"conformal": {"scores": scores} if conformal else None}


def small_artifact(*, calibrated: bool = False) -> dict[str, object]:
    """Two series, a seasonal naive and a regression; only the second has conformal scores unless both are to have."""
    series = {
        "WDIUPUS2": fitted("WDIUPUS2", SEASONAL_NAIVE, conformal=calibrated),
        "WGFUPUS2": fitted("WGFUPUS2", Configuration(harmonics=2, holidays=False), conformal=True),
    }
    return sealed({"schema_version": 1, "provenance": {"week": CUTOFF}, "series": series})


def sealed(content: dict[str, object]) -> dict[str, object]:
    return content | {"digest": schema.digest(content)}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Endpoint:
    """A running server, asked over a new connection each time."""

    port: int
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def invoke(self, body: object, **headers: str) -> Answer:
        return self.ask("POST", "/invocations", body, {name.replace("_", "-"): v for name, v in headers.items()})


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def start(root: Path, **environment: str) -> Endpoint:
    port = free_port()
    started = interpreter()
    process = subprocess.Popen(
        [started.command, "-m", "containers.serving", "serve"],
        env={
            **started.environment,
            "SM_ML_ROOT": str(root),
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "PATH": "",
            **environment,
        },
        cwd=started.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Endpoint(port, process)


def until_healthy(endpoint: Endpoint) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            assert endpoint.ask("GET", "/ping").status == 200
        except ConnectionRefusedError:
            assert endpoint.process.poll() is None, endpoint.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.005)
        else:
            return


def save(root: Path, artifact: object) -> Path:
    (root / "model").mkdir(parents=True)
    text = artifact if isinstance(artifact, str) else json.dumps(artifact)
    (root / "model" / "forecaster.json").write_text(text)
    return root
