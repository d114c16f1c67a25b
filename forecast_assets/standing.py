"""How a lake stands: what is refreshed, registered, approved and served, and what the source has.

Commands, sensors and schedules ask here, so that all of them mean the same by "done".
"""

import functools
from datetime import date

import dagster as dg

from forecast_assets.api import rest_api
from forecast_assets.artifacts import candidate_models
from forecast_assets.catalog import catalog_lacks
from forecast_assets.dashboard import is_shown
from forecast_assets.gate import gated_artifact, verdict_of
from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings import Settings
from forecasting.forecaster import ForecasterError
from resources.api.errors import ApiMissingError
from resources.api.spec import Api
from resources.clock import Clock
from resources.eia.client import EiaClient
from resources.eia.release import TABLE, current_release
from resources.eia.resource import Eia
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry, RegisteredModel

# The tables of a week, each with one that it is made from.
_MADE_FROM = {
    "observations": TABLE,
    "outlier_flags": "observations",
    "structural_break": "outlier_flags",
    "counterfactual": "structural_break",
    "tuning_trials": "counterfactual",
    "model_scores": "tuning_trials",
    "model_diagnostics": "model_scores",
    "forecast": "model_scores",
    "forecast_accuracy": "observations",
    "forecast_changes": "forecast",
}


class Standing:
    """The resources of a code location, asked how things stand.

    Args:
        settings: What is configured.
        lake: Where everything is kept.
        eia: Where figures come from.
        clock: What time it is.
        sagemaker: Where the models are.
    """

    def __init__(self, settings: Settings, lake: Lake, eia: Eia, clock: Clock, sagemaker: SageMaker) -> None:
        self.settings = settings
        self.lake = lake
        self.eia = eia
        self.clock = clock
        self.sagemaker = sagemaker

    @functools.cached_property
    def source(self) -> EiaClient:
        """The source of this lake's figures, opened once: it remembers what makes its questions cheap."""
        return self.eia.open(self.settings.series_ids, now=self.clock.now())

    @functools.cached_property
    def api(self) -> Api:
        """The REST API."""
        return rest_api(self.settings, self.sagemaker, self.lake)

    def newest_week(self) -> date:
        """The newest week that the source has of every series."""
        return self.source.newest_week(self.settings.series_ids)

    def is_fresh(self, week: date) -> bool:
        """Whether a week was refreshed to its end, from what the source still publishes."""
        if not self.is_refreshed(week):
            return False
        records = self.lake.read(TABLE, week).set_index("unique_id")
        current = {name: current_release(self.source, self.lake, name).sha256 for name in self.settings.series_ids}
        return current == records["sha256"].to_dict()

    def is_refreshed(self, week: date) -> bool:
        """Whether a week was refreshed to its end, from whatever was published then; the source is not asked."""
        return self.is_replayed(week) and self._is_registered(week) and is_shown(self.lake, week)

    def is_replayed(self, week: date) -> bool:
        """Whether a week has all its tables, and none is older than what it is made from.

        A run that an error or the death of its process ended half way leaves tables of before beside new ones.
        """
        written = self.lake.written({*_MADE_FROM, *_MADE_FROM.values()}, week)
        times = {name: time for name, time in written.items() if time is not None}
        return len(times) == len(written) and all(times[source] <= times[name] for name, source in _MADE_FROM.items())

    @property
    def registry(self) -> ModelRegistry:
        """The registered models."""
        return ModelRegistry(self.sagemaker.client(), group=self.settings.model_group)

    def is_refused(self, week: date) -> bool:
        """Whether a week has a candidate that the gate refuses as a whole."""
        if not self.lake.has("model_scores", week):
            return False
        return not verdict_of(self.lake, week, tolerance=self.settings.gate_tolerance).passed

    def unregistered_refusal(self, week: date) -> str | None:
        """The digest of a week's candidate that the gate refuses and the registry has not heard of; None without."""
        if not self.is_refused(week):
            return None
        try:
            digest: str = candidate_models(self.lake, week)[0]["digest"]
        except (FileNotFoundError, ForecasterError):
            return None
        return digest if self.registry.find(week=week, digest=digest, passed_gate=False) is None else None

    def unlisted_tables(self) -> str | None:
        """A digest of what the catalog does not say of the lake's tables as it should; None where it says all."""
        return catalog_lacks(self.lake, self.settings)

    def _is_registered(self, week: date) -> bool:
        """Whether the registry has the model that a week's forecast was made with; a backfill registers none."""
        verdict = verdict_of(self.lake, week, tolerance=self.settings.gate_tolerance)
        try:
            digest = gated_artifact(self.lake, verdict)["digest"]
        except (FileNotFoundError, ForecasterError):
            return False
        return self.registry.find(week=week, digest=digest) is not None

    def has_approved(self) -> bool:
        """Whether there is a model that may be served."""
        return self.registry.newest("Approved") is not None

    def waiting(self) -> RegisteredModel | None:
        """The newest model that waits for a person's word, unless a newer one is approved."""
        waiting, approved = self.registry.newest("PendingManualApproval"), self.registry.newest("Approved")
        if waiting is None or approved is None:
            return waiting
        return waiting if (waiting.week, waiting.version) > (approved.week, approved.version) else None

    def is_deployed(self) -> bool:
        """Whether endpoint and API serve the newest approved model, or there is none to serve."""
        model = newest_approved(self.settings, self.sagemaker)
        return model is None or (self.endpoint_serves(model) and self.api.is_deployed())

    def served(self) -> RegisteredModel | None:
        """The model that the endpoint was last brought to; None without one."""
        endpoint = model_endpoint(self.settings, self.sagemaker)
        found = endpoint.status()
        package = endpoint.package(found.config) if found else None
        return self.registry.model(package) if package else None

    def is_taken_down(self) -> bool:
        """Whether endpoint or API is not there at all, as after `forecast endpoint stop`; what broke is still there."""
        if model_endpoint(self.settings, self.sagemaker).status() is None:
            return True
        try:
            self.api.url()
        except ApiMissingError:
            return True
        return False

    def endpoint_serves(self, model: RegisteredModel) -> bool:
        """Whether the endpoint serves a model."""
        return model_endpoint(self.settings, self.sagemaker).serves(model)


@dg.resource(
    required_resource_keys={"settings", "lake", "eia", "clock", "sagemaker"},
    description="How the lake stands: what is refreshed, registered, approved and served.",
)
def standing_resource(context: dg.InitResourceContext) -> Standing:
    """A `Standing` of the code location's other resources, made anew for every tick: it remembers what it has asked."""
    found = context.resources
    return Standing(found.settings, found.lake, found.eia, found.clock, found.sagemaker)
