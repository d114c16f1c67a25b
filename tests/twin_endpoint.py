"""An endpoint of this machine's SageMaker that serves the small artifact, made with plain requests."""

import json
import sys
import tarfile
from pathlib import Path

from resources.sagemaker.local.clients import local_client, register_image
from tests.served import small_artifact

ROLE = "arn:aws:iam::000000000000:role/forecast"


def deploy(root: Path, name: str) -> None:
    """Bring an endpoint up.

    Args:
        root: The folder of this machine's SageMaker.
        name: The endpoint.
    """
    folder = root / "s3" / "lake"
    folder.mkdir(parents=True)
    (folder / "forecaster.json").write_text(json.dumps(small_artifact()))
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "forecaster.json", "forecaster.json")
    register_image(root, "serving", {"serve": [sys.executable, "-m", "containers.serving", "serve"]})
    client = local_client("sagemaker", root)
    client.create_model(
        ModelName="m",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": "serving", "ModelDataUrl": "s3://lake/model.tar.gz"},
    )
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    client.create_endpoint_config(
        EndpointConfigName="c",
        ProductionVariants=[{"VariantName": "AllTraffic", "ModelName": "m", "ServerlessConfig": serverless}],  # type: ignore[typeddict-item]
    )
    client.create_endpoint(EndpointName=name, EndpointConfigName="c")
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 3000})


def remove(root: Path, name: str) -> None:
    client = local_client("sagemaker", root)
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 3000})
