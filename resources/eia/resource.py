"""EIA as a resource: which source this lake takes its figures from."""

import logging
import os
from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from resources.eia.client import EiaClient
from resources.eia.errors import EiaUnreachableError
from resources.eia.fetch import LIMITS, Limits
from resources.lake import Lake

log = logging.getLogger(__name__)

SIMULATED_WARNING = (
    "SIMULATED figures: this lake holds simulated series with the shape of the real ones, because EIA could not be "
    "reached when it was empty or because the sample was asked for. Nothing made from them is a forecast of anything. "
    "For real figures point FORECAST_LAKE_URI at a new folder and run where EIA can be reached, or point "
    "FORECAST_EIA_SOURCE at a workbook, a CSV or a folder of them."
)


class Eia(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where figures come from.

    Attributes:
        source: `live`, `api`, `sample`, a path or URI, or `auto`: live, and the simulated sample only where EIA cannot
            be reached and the lake is empty. A lake that began with the sample stays with it.
        lake: What the figures are for.
        may_simulate: Whether `auto` may begin with the sample; not where others bring real figures.
    """

    source: str
    lake: dg.ResourceDependency[Lake]
    may_simulate: bool = True

    def open(self, series: Sequence[str], *, now: datetime, limits: Limits = LIMITS) -> EiaClient:
        """The client of the source.

        Args:
            series: EIA series that will be asked for.
            now: The time now, aware.
            limits: Bounds of a download.

        Raises:
            EiaUnreachableError: EIA cannot be reached, and the lake holds real figures or may not begin with others.
        """
        if self.source != "auto":
            return self._client(self.source, series, now=now, limits=limits)
        if self.lake.kind == "simulated":
            return self._client("sample", series, now=now, limits=limits)
        live = self._client("live", series, now=now, limits=limits)
        if self.lake.kind is None and self.may_simulate:
            try:
                live.newest_week(series[:1])
            except EiaUnreachableError as error:
                log.warning("%s. The lake is empty, so the simulated sample stands in", error)
                return self._client("sample", series, now=now, limits=limits)
        return live

    def _client(self, source: str, series: Sequence[str], *, now: datetime, limits: Limits) -> EiaClient:
        key = os.environ.get("EIA_API_KEY")
        return EiaClient.open(source, now=lambda: now, series=series, api_key=key, limits=limits)
