"""`python -m containers.serving serve`: the endpoint of one model artifact.

The artifact is read before anything listens, so `/ping` never passes without one. Environment: `SM_ML_ROOT`
(default `/opt/ml`), `SAGEMAKER_BIND_TO_PORT` (8080), `SM_BIND_HOST` (127.0.0.1), `FORECAST_DEFAULT_SERIES`
(the series of the short form).
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from containers.contract import EXIT_DONE, EXIT_FAILED, ContractError, Paths
from containers.parameters import Parameters
from forecasting import forecaster

GRACE_S = 25  # SageMaker kills the container 30 seconds after SIGTERM


class ServingError(ContractError):
    """The endpoint cannot start."""


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Serves until SIGTERM; the exit code: 0 after a requested end, 1 when it cannot start."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        if arguments != ["serve"]:
            raise ServingError(f"arguments are {arguments}, expected ['serve']")
        artifact = load_artifact(Paths.from_environment(environment).model / "forecaster.json")
        default = default_series(artifact, environment)
        port = Parameters(environment, "environment variable").integer("SAGEMAKER_BIND_TO_PORT", "8080", least=1)
    except ContractError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return EXIT_FAILED
    _serve(artifact, default, environment.get("SM_BIND_HOST") or "127.0.0.1", port)
    return EXIT_DONE


def load_artifact(path: Path) -> dict[str, Any]:
    """The validated artifact of a file; raises `ServingError`."""
    try:
        return forecaster.load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ServingError(f"no model artifact at {path}: {error.strerror}") from error
    except ValueError as error:
        raise ServingError(f"the model artifact {path} cannot be used: {error}") from error


def default_series(artifact: Mapping[str, Any], environment: Mapping[str, str]) -> str | None:
    """The series that a short request means: `FORECAST_DEFAULT_SERIES`, else `provenance.default_series`, else None."""
    name = environment.get("FORECAST_DEFAULT_SERIES") or artifact["provenance"].get("default_series")
    if name is not None and name not in artifact["series"]:
        raise ServingError(
            f"default series {name!r} is not in the artifact, which holds {', '.join(artifact['series'])}"
        )
    return name


def _serve(artifact: Mapping[str, Any], default: str | None, host: str, port: int) -> None:
    import uvicorn  # a broken artifact is reported without waiting for the web framework

    from containers.serving.app import create_app
    from containers.serving.limits import CONNECTIONS, KEEP_ALIVE_S
    from containers.serving.protocol import BoundedProtocol

    uvicorn.Server(
        uvicorn.Config(
            create_app(artifact, default_series=default),
            host=host,
            port=port,
            http=BoundedProtocol,
            lifespan="off",
            ws="none",
            log_config=None,  # warnings and errors reach stderr without it
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    ).run()


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends before the server runs; while it runs it handles the signal itself and raises it again once it is done."""
    raise SystemExit(EXIT_DONE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
