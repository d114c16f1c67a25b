"""The models that were approved, and how soon each of them answered: held against what the client heard."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from forecast_assets.artifacts import registered_artifact
from forecast_assets.refresh import Platform
from forecasting import forecaster
from tests.year.client import Answer

LONGEST_S = 300.0
"""From an approval to the first answer: a deployment whose worker is killed, on a slow machine."""


@dataclass(frozen=True)
class ApprovedModel:
    """A model that was approved, as it was registered.

    Attributes:
        at: Monotonic seconds of that.
        version: Its version.
        cutoff: The last week that it knows.
        mean: Its forecast of the week after.
    """

    at: float
    version: int
    cutoff: str
    mean: float

    def gave(self, answer: Answer) -> bool:
        """Whether an answer is this model's."""
        return self.cutoff == answer.cutoff and abs(self.mean - answer.mean) <= 1e-9 * abs(self.mean)


class ApprovedModels:
    """Notes the approved models from time to time: the registry keeps the newest of them only.

    Args:
        platform: Whose registry.
        series: Whose forecast is asked for.
    """

    def __init__(self, platform: Platform, series: str) -> None:
        self._platform, self._series = platform, series
        self._found: dict[str, ApprovedModel] = {}

    @property
    def models(self) -> list[ApprovedModel]:
        """In the order of their approval."""
        return sorted(self._found.values(), key=lambda model: model.version)

    def note(self) -> None:
        """Note those that there are now."""
        platform = self._platform
        packages = platform.sagemaker.client().list_model_packages(
            ModelPackageGroupName=platform.settings.model_group, SortBy="CreationTime", SortOrder="Descending"
        )["ModelPackageSummaryList"]
        for package in packages:
            arn = package["ModelPackageArn"]
            model = platform.registry.model(arn)
            if arn in self._found or model is None or model.approval != "Approved":
                continue
            artifact = registered_artifact(platform.lake, platform.sagemaker, model)
            [row] = forecaster.forecast(artifact["series"][self._series], horizon=1, levels=(), interval="normal")
            age_s = (datetime.now(UTC) - package["CreationTime"]).total_seconds()
            self._found[arn] = ApprovedModel(time.monotonic() - age_s, model.version, str(model.week), row["mean"])

    def wrong(self, answers: Sequence[Answer]) -> list[str]:
        """What is wrong with the answers: each is to be of an approved model, never of one before, and in time."""
        found, at = [], -1
        models = self.models
        for answer in answers:
            of = [number for number, model in enumerate(models) if model.gave(answer)]
            if not of:
                found.append(f"the endpoint answered for {answer.cutoff} what no approved model says: {answer.mean}")
            elif of[-1] < at:
                found.append(f"the endpoint went back to version {models[of[-1]].version}, of {answer.cutoff}")
            else:
                at = of[-1]
        return found + [
            f"version {model.version}, of {model.cutoff}, answered {delay:.0f} s after its approval"
            for model, delay in self._delays(answers)
            if delay > LONGEST_S
        ]

    def shown(self, answers: Sequence[Answer]) -> str:
        """How soon approved models answered, in words."""
        delays = [delay for _, delay in self._delays(answers)]
        if not delays:
            return "no approved model answered"
        return (
            f"{len(delays)} of {len(self.models)} approved models answered, {median(delays):.0f} s after their "
            f"approval in the middle, {max(delays):.0f} s at the longest"
        )

    def _delays(self, answers: Sequence[Answer]) -> list[tuple[ApprovedModel, float]]:
        first = {model: next((each.at for each in answers if model.gave(each)), None) for model in self.models}
        return [(model, at - model.at) for model, at in first.items() if at is not None]
