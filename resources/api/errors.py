"""What can be wrong with the REST API."""

from pathlib import Path

KEY_VARIABLE = "PETROLEUM_API_KEY"
"""Where commands read the key. It is no setting: settings are shown, and this is a secret."""


class ApiError(Exception):
    """The REST API is not as asked."""


class ApiMissingError(ApiError):
    """There is no API."""

    def __init__(self) -> None:
        super().__init__("there is no API: run `forecast refresh`, or the job `deploy`")


class ApiKeyMissingError(ApiError):
    """The API is to be asked, and nobody has said with which key."""

    def __init__(self) -> None:
        super().__init__(
            f"{KEY_VARIABLE} is not set: `forecast api key` makes a key and ends the one before; "
            f"export {KEY_VARIABLE}=$(forecast api key)"
        )


class ApiPortError(ApiError):
    """The port of the API cannot be had."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(
            f"the API cannot listen on 127.0.0.1:{port} ({reason}): set FORECAST_API__PORT to another port, or to 0 "
            "for a free one"
        )


class ApiStartError(ApiError):
    """The gateway of this machine does not come up."""

    def __init__(self, log: Path) -> None:
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        super().__init__(
            f"the gateway of the API did not come up: {lines[-1] if lines else 'it says nothing'}; all it said is in "
            f"{log}. Nothing that is stored has changed; run `forecast refresh` again"
        )


class ApiRefusedError(ApiError):
    """The API refused a request, or could not answer it.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, url: str, *, status: int, message: str) -> None:
        self.status = status
        remedy = {
            403: f"; the key is wrong, or ended: see {KEY_VARIABLE} and `forecast api key`",
            429: "; wait, or raise FORECAST_API__RATE_PER_S, BURST or QUOTA_PER_MONTH",
        }.get(status, "")
        super().__init__(f"{url} answers {status}: {message}{remedy}")


class ApiUnreachableError(ApiError):
    """Nobody answers at the API's address."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} does not answer ({reason}): `forecast refresh` brings it back")
