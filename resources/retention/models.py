"""Registered models: the newest are kept, and whatever serves, may have to serve again, or waits for a word."""

from collections.abc import Collection, Iterator

from resources.lake import Lake
from resources.retention.removal import Removal, size_of
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import ModelRegistry, RegisteredModel

RETIRED = "Kept no longer: it is not among the newest models (retention.models)"


def old_models(
    registry: ModelRegistry, sagemaker: SageMaker, lake: Lake, *, keep: int, protected: Collection[str]
) -> Iterator[Removal]:
    """Versions beyond the newest ones, by their weeks, with their artifacts. Scores and verdicts are in the tables.

    The newest approved version and the newest that waits for a person are kept whatever their age.

    Args:
        registry: Where they are registered.
        sagemaker: Knows where their artifacts are.
        lake: Has the artifacts.
        keep: How many versions are kept.
        protected: ARNs of versions that the endpoint serves, or may be brought back to.
    """
    models = sorted(registry.models(), key=lambda model: (model.week, model.version), reverse=True)
    newest = (registry.newest("Approved"), registry.newest("PendingManualApproval"))
    kept = {model.arn for model in (*models[:keep], *newest) if model is not None} | set(protected)
    in_use = {model.digest for model in models if model.arn in kept}
    for model in reversed(models):
        if model.arn not in kept:
            artifact = None if model.digest in in_use else sagemaker.key(model.model_data).rpartition("/")[0]
            size = 0 if artifact is None or lake.folder is None else size_of(lake.root / artifact)
            yield Removal(
                "models",
                f"version {model.version}, week {model.week}",
                size,
                lambda model=model, artifact=artifact: _retire(registry, lake, model, artifact),  # type: ignore[misc]
            )


def _retire(registry: ModelRegistry, lake: Lake, model: RegisteredModel, artifact: str | None) -> None:
    """Remove a version: it may serve no more before its artifact goes, and its record goes last."""
    registry.reject(model, reason=RETIRED)
    if artifact is not None:
        for key in list(lake.storage.keys(artifact)):
            lake.storage.delete(key)
    registry.delete(model)
