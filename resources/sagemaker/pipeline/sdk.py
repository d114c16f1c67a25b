"""The SageMaker SDK, an extra of this package: whether it is there, and used without its telemetry."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.aws import AwsError

_CONFIG = Path(__file__).with_name("sdk.yaml")


class SdkMissingError(AwsError):
    """The SDK is not installed."""

    def __init__(self, missing: str) -> None:
        super().__init__(f"this needs the SageMaker SDK ({missing}): pip install 'forecast-assets[sagemaker]'")


@contextmanager
def quiet_sdk(region: str) -> Iterator[None]:
    """The SDK within the block, telling nobody that it is used; environment and logging are afterwards as they were.

    A client that needs credentials is made before the block: a session of boto3 that begins in it looks for fewer.

    Its defaults from a configuration file of the user do not apply meanwhile: our requests say all that matters.

    Args:
        region: AWS region. The SDK makes clients as it is loaded, and some of them know no other way to be told.

    Raises:
        SdkMissingError: It is not installed.
    """
    if importlib.util.find_spec("sagemaker") is None or importlib.util.find_spec("sagemaker.mlops") is None:
        raise SdkMissingError("no module named sagemaker.mlops")
    told = {
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(_CONFIG),
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",  # those clients look for credentials, and need none
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    # It makes the root logger print whatever anyone says, where its configuration comes from for a start.
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
        root.setLevel(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def builtin_image(algorithm: str, *, region: str, version: str | None, instance_type: str | None) -> str:
    """The image URI of a SageMaker algorithm or framework, such as forecasting-deepar, xgboost or sklearn.

    Args:
        algorithm: Its name, as the SDK calls it.
        region: AWS region.
        version: Of the framework, where there are several.
        instance_type: What it runs on, where there are images for several kinds.

    Raises:
        SdkMissingError: The SDK is not installed.
        UnknownImageError: There is none, or more must be said; the SDK's words tell which.
    """
    with quiet_sdk(region):
        from sagemaker.core import image_uris

        try:
            uri: str = image_uris.retrieve(
                algorithm, region, version=version, instance_type=instance_type, image_scope="training"
            )
        except (ValueError, OSError, KeyError) as error:
            raise UnknownImageError(algorithm, region, str(error)) from error
        return uri


class UnknownImageError(AwsError):
    """The SDK knows no such image."""

    def __init__(self, algorithm: str, region: str, said: str) -> None:
        super().__init__(f"no image of {algorithm} in {region}: {said}")
