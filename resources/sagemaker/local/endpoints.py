"""The operations of endpoint configurations and endpoints, and the runtime's InvokeEndpoint."""

import time
from collections.abc import Mapping

from resources.sagemaker.local.base import Base, exists, unsupported
from resources.sagemaker.local.invocation import invoke
from resources.sagemaker.local.listing import page
from resources.sagemaker.local.serving import DESIRED
from resources.sagemaker.local.store import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Wire,
    exclusive,
    get_json,
    put_json,
)
from resources.sagemaker.local.wire import AwsError, Response, invalid


class Endpoints(Base):
    """Endpoint configurations and endpoints."""

    def create_endpoint_config(self, request: Wire) -> Wire:
        """CreateEndpointConfig."""
        name = request["EndpointConfigName"]
        if len(request["ProductionVariants"]) > 1 or "ShadowProductionVariants" in request:
            raise unsupported("An endpoint of several variants")
        if "AsyncInferenceConfig" in request:
            raise unsupported("Asynchronous inference")
        variant = request["ProductionVariants"][0]
        _check_variant(variant)
        self._found(MODEL, variant["ModelName"])
        arn = self._new(ENDPOINT_CONFIG, name, request, {}, taken=exists(ENDPOINT_CONFIG, name))
        return {"EndpointConfigArn": arn}

    def describe_endpoint_config(self, request: Wire) -> Wire:
        """DescribeEndpointConfig."""
        return self._found(ENDPOINT_CONFIG, request["EndpointConfigName"])

    def delete_endpoint_config(self, request: Wire) -> Wire:
        """DeleteEndpointConfig. Endpoints made from it go on, but cannot be updated any more."""
        name = request["EndpointConfigName"]
        if not self.store.remove(ENDPOINT_CONFIG, name):
            raise invalid(f'Could not find endpoint configuration "{ENDPOINT_CONFIG.arn(name)}".')
        return {}

    def list_endpoint_configs(self, request: Wire) -> Wire:
        """ListEndpointConfigs."""
        configs = self._all(ENDPOINT_CONFIG)
        return page(ENDPOINT_CONFIG, configs, request, key="EndpointConfigs", ascending=False)

    def create_endpoint(self, request: Wire) -> Wire:
        """CreateEndpoint."""
        name = request["EndpointName"]
        self._found(ENDPOINT_CONFIG, request["EndpointConfigName"])
        status = {"EndpointStatus": "Creating", "generation": 0}
        return {"EndpointArn": self._new(ENDPOINT, name, request, status, taken=exists(ENDPOINT, name))}

    def describe_endpoint(self, request: Wire) -> Wire:
        """DescribeEndpoint."""
        return self._endpoint(request["EndpointName"])

    def update_endpoint(self, request: Wire) -> Wire:
        """UpdateEndpoint. The present configuration must still be there, as on AWS.

        A serverless endpoint can be moved to instances, and never back.
        """
        name = request["EndpointName"]
        self._endpoint(name)
        home = self.store.folder(ENDPOINT, name)
        with exclusive(home / "update.lock"):
            endpoint = self._endpoint(name)
            _check_settled(endpoint)
            if endpoint["EndpointStatus"] != "InService":
                raise invalid(f'Cannot update endpoint "{ENDPOINT.arn(name)}": it is {endpoint["EndpointStatus"]}.')
            now = self._found(ENDPOINT_CONFIG, endpoint["EndpointConfigName"])
            then = self._found(ENDPOINT_CONFIG, request["EndpointConfigName"])
            if _is_serverless(then) and not _is_serverless(now):
                raise invalid(f'Cannot update endpoint "{ENDPOINT.arn(name)}" from instances to serverless.')
            generation = endpoint["generation"] + 1
            put_json(home / DESIRED, {"generation": generation, "config": request["EndpointConfigName"]})
        self.store.wake(ENDPOINT, name)
        return {"EndpointArn": ENDPOINT.arn(name)}

    def delete_endpoint(self, request: Wire) -> Wire:
        """DeleteEndpoint. It is gone once its last invocation is answered; until then it is ``Deleting``."""
        name = request["EndpointName"]
        endpoint = self._endpoint(name)
        _check_settled(endpoint)
        if endpoint["EndpointStatus"] != "Deleting":
            put_json(self.store.folder(ENDPOINT, name) / "stop", {"asked": time.time()})
            self.store.wake(ENDPOINT, name)
            self.store.read(ENDPOINT, name)  # one without a supervisor goes here
        return {}

    def list_endpoints(self, request: Wire) -> Wire:
        """ListEndpoints."""
        endpoints = [self._with_update(endpoint) for endpoint in self._all(ENDPOINT)]
        return page(ENDPOINT, endpoints, request, key="Endpoints", ascending=False)

    def invoke_endpoint(self, name: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """InvokeEndpoint; header names are in lower case."""
        if target := headers.get("x-amzn-sagemaker-target-model"):
            raise AwsError("ValidationError", f"Endpoint {name} is no multi-model endpoint; it has no {target}.")
        return invoke(self.store, name, body, headers)

    def _endpoint(self, name: str) -> Wire:
        return self._with_update(self._found(ENDPOINT, name))

    def _with_update(self, endpoint: Wire) -> Wire:
        """An endpoint in service whose supervisor has not yet done what was asked last is ``Updating``."""
        desired = get_json(self.store.folder(ENDPOINT, endpoint["EndpointName"]) / DESIRED)
        waiting = desired is not None and desired["generation"] > endpoint["generation"]
        return endpoint | (
            {"EndpointStatus": "Updating"} if waiting and endpoint["EndpointStatus"] == "InService" else {}
        )


def _is_serverless(config: Wire) -> bool:
    return "ServerlessConfig" in config["ProductionVariants"][0]


def _check_settled(endpoint: Wire) -> None:
    if endpoint["EndpointStatus"] in {"Creating", "Updating"}:
        raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')


def _check_variant(variant: Wire) -> None:
    name, serverless = variant["VariantName"], variant.get("ServerlessConfig")
    if "ModelName" not in variant:
        raise invalid(f"Production variant {name} must have a ModelName.")
    if serverless is None:
        if "InstanceType" not in variant or "InitialInstanceCount" not in variant:
            raise invalid(
                f"Production variant {name} must have an InstanceType and an InitialInstanceCount, or else a "
                "ServerlessConfig."
            )
        return
    if "InstanceType" in variant or "InitialInstanceCount" in variant:
        raise invalid(f"Production variant {name} has both a ServerlessConfig and instances.")
    if serverless["MemorySizeInMB"] % 1024:
        raise invalid(
            f"Production variant {name}: MemorySizeInMB must be 1024, 2048, 3072, 4096, 5120 or 6144, not "
            f"{serverless['MemorySizeInMB']}."
        )
    if serverless.get("ProvisionedConcurrency", 1) > serverless["MaxConcurrency"]:
        raise invalid(f"Production variant {name}: ProvisionedConcurrency is more than MaxConcurrency.")
