"""What the doctor finds, and what it finds of a bucket."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from resources.aws import AwsError, asking, client, error_code
from resources.lake import LakeError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

State = Literal["ok", "warn", "fail"]

# A bucket without a configuration answers with an error.
_NONE_OF_IT = {"ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        state: Whether it is as it should be.
        what: The thing.
        found: How it is.
        remedy: What to do, where something is to be done.
    """

    state: State
    what: str
    found: str
    remedy: str = ""


def asked(what: str, ask: Callable[[], Finding]) -> Finding:
    """What is found, or why that cannot be told."""
    from botocore.exceptions import ClientError

    try:
        return ask()
    except (LakeError, AwsError, ClientError) as error:
        return Finding("fail", what, str(error), "See the message")


def bucket_finding(name: str, region: str) -> Finding:
    """How a bucket is kept: where, whether what was written over can be had again, encrypted, and nobody else's.

    Raises:
        AwsAccessError: S3 does not even say where it is.
    """
    s3: S3Client = client("s3", region)
    with asking(f"look at the bucket {name}"):
        constraint: str | None = s3.get_bucket_location(Bucket=name)["LocationConstraint"]
    place = constraint or "us-east-1"  # which has no constraint
    facts, wrong = [f"{name} in {place}"], []
    if place != region:
        wrong.append(f"SageMaker reads buckets of its own region only: set FORECAST_REGION to {place}")
    for what, ask, remedy in (
        ("versioned", _is_versioned, "turn versioning on, so that what was written over can be had again"),
        ("encrypted", _is_encrypted, "turn default encryption on"),
        ("closed to the public", _is_closed, "block all public access"),
    ):
        found, said = _told(lambda ask=ask: ask(s3, name))  # type: ignore[misc]
        facts.append(what if found else f"not {what}" if said is None else f"whether {what} is unknown ({said})")
        if found is False and said is None:
            wrong.append(remedy)
    remedy = "; ".join(wrong)
    return Finding("warn" if wrong else "ok", "Bucket", ", ".join(facts), remedy[:1].upper() + remedy[1:])


def _told(ask: Callable[[], bool]) -> tuple[bool, str | None]:
    """Whether something is so, and what AWS calls the reason for not saying."""
    from botocore.exceptions import ClientError

    try:
        return ask(), None
    except ClientError as error:
        code = error_code(error)
        return False, None if code in _NONE_OF_IT else code


def _is_versioned(s3: "S3Client", name: str) -> bool:
    return s3.get_bucket_versioning(Bucket=name).get("Status") == "Enabled"


def _is_encrypted(s3: "S3Client", name: str) -> bool:
    return bool(s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"])


def _is_closed(s3: "S3Client", name: str) -> bool:
    return all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
