"""The endpoint: deployed, tested, taken back where it fails, and asked."""

from resources.sagemaker.endpoint.endpoint import TESTED, EndpointStatus, ModelEndpoint

__all__ = ["TESTED", "EndpointStatus", "ModelEndpoint"]
