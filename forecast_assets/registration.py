"""What the registry is told of a candidate: whether it may serve, and on what."""

from typing import Literal

from forecast_assets.gate import Verdict
from forecast_assets.settings import Settings
from resources.sagemaker.registry import Approval


def approval_of(verdict: Verdict, approval: Literal["automatic", "manual"]) -> Approval:
    """The gate approves, leaves it to a person, or rejects."""
    if not verdict.passed:
        return "Rejected"
    return "Approved" if approval == "automatic" else "PendingManualApproval"


def capacity_types(settings: Settings) -> tuple[str, ...]:
    """The instance types that the registry must offer for the configured endpoint."""
    return (settings.endpoint.instance_type,) if settings.endpoint.instance_type else ()
