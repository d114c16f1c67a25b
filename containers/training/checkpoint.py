"""The finished origins of a search, where SageMaker keeps what outlives an instance."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from containers.contract import write_bytes
from containers.reporting import Reporter
from containers.tables import content_digest
from containers.training.settings import Settings
from forecasting.configuration import Configuration
from forecasting.tuning import Search

INTERVAL_S = 30.0
"""Between two checkpoints. Most searches end before the first; one that is told to stop writes one on the spot."""


class Checkpoint:
    """The state of one search in a file; nothing is kept where the job has no checkpoint configuration.

    Args:
        folder: What SageMaker copies to S3 and back.
        key: Of the search: trials of a tuning job may share a folder.
        reporter: Told what is gone on from.
        clock: Seconds from any fixed moment.
        interval_s: Between two checkpoints.
    """

    def __init__(
        self, folder: Path, key: str, reporter: Reporter, clock: Callable[[], float], *, interval_s: float = INTERVAL_S
    ) -> None:
        self._path = folder / f"{key}.npz"
        self._reporter, self._clock, self._interval_s = reporter, clock, interval_s
        self._at, self._held = clock(), 0

    def resume(self, search: Search) -> None:
        """Go on from the checkpoint, if there is one; a damaged one is said to be, and left."""
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as state:
                search.resume(dict(state))
        except FileNotFoundError:
            return
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            self._reporter.log(f"the checkpoint {self._path.name} is of no use, starting over: {error}")
            return
        self._held, total = search.origins
        self._reporter.log(f"going on from a checkpoint: {self._held} of {total} origins are done")

    def keep(self, search: Search, *, now: bool = False) -> None:
        """Write what is finished, if the last time is long ago, or now; the file is replaced at once."""
        if not (now or self._clock() - self._at >= self._interval_s) or not self._path.parent.is_dir():
            return
        done, _ = search.origins
        if done > self._held:
            content = io.BytesIO()
            np.savez(content, **search.state())  # type: ignore[arg-type]  # arrays by name, no pickling among them
            write_bytes(self._path, content.getvalue())
            self._held = done
        self._at = self._clock()

    def forget(self) -> None:
        """Remove it: the search is over, and what it found is written."""
        self._path.unlink(missing_ok=True)


def search_key(data: pd.DataFrame, candidates: list[Configuration], settings: Settings) -> str:
    """What tells one search from others: data, configurations, protocol and code."""
    protocol = (
        settings.code_version,
        settings.scoring,
        settings.window,
        settings.scored_horizon,
        settings.step,
        settings.max_origins,
        settings.season_length,
        settings.max_harmonics,
    )
    text = f"{content_digest(data)}:{[each.name for each in candidates]}:{protocol}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
