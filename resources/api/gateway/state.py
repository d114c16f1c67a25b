"""The folder of the API on this machine, which deployers write and the gateway reads.

- `config.json`: what the API is: limits, stage, endpoint, port.
- `key.json`: checksum of the key; without it nobody has one.
- `probe.json`: checksum of the deployer's key, while it looks whether the API answers.
- `usage`: requests of this month.
- `lock`: held by the gateway as long as it lives; its process number.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Any

from resources.sagemaker.local.store import get_json

CONFIG, KEY, PROBE, USAGE, LOCK, LOG, ERRORS = (
    *("config.json", "key.json", "probe.json", "usage", "lock"),
    *("gateway.log", "gateway.err"),
)


def checksum(key: str) -> str:
    """What is kept of a key. A key has 256 random bits, so no salt is needed, and none can be guessed from this."""
    return hashlib.sha256(key.encode()).hexdigest()


class Watched:
    """A JSON file that is read again when it was replaced.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._value: Any = None

    @property
    def value(self) -> Any:  # noqa: ANN401 - whatever JSON it holds
        """What it holds now; None where there is no file."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen = self._value = None
            return None
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            self._value, self._seen = get_json(self._path), seen
        return self._value


def matches(key: str, kept: dict[str, str] | None) -> bool:
    """Whether a key is the one of which a checksum is kept; it takes the same time wherever they differ."""
    return kept is not None and hmac.compare_digest(checksum(key), kept["sha256"])
