"""The Pipes client of the platform: files beside the lake of this machine, the bucket of the lake in an account."""

from pathlib import Path
from typing import Any

import pytest

from resources import aws
from resources.lake import Lake, UnsupportedLakeError
from resources.sagemaker.pipes.messages import FileMessages
from resources.sagemaker.pipes.s3_messages import S3Messages
from resources.sagemaker.platform import SageMaker

ROLE = "arn:aws:iam::123456789012:role/forecast"


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    aws.client.cache_clear()
    yield
    aws.client.cache_clear()


def pipes(mode: str, uri: str, **options: Any) -> Any:
    return SageMaker(mode=mode, role_arn=ROLE, lake=Lake(uri=uri)).pipes(**options)


def test_on_this_machine_messages_are_files_and_nothing_costs(tmp_path: Path) -> None:
    client = pipes("local", str(tmp_path), prices={"ml.m5.large": 1.0})
    assert isinstance(client._messages, FileMessages)
    assert client._prices is None
    assert client._poll_interval_s == 0.2
    assert client._log_delay_s == 0


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://forecasts", "s3://forecasts/jobs/pipes/job-0"),
        ("s3://forecasts/a/b", "s3://forecasts/a/b/jobs/pipes/job-0"),
    ],
)
def test_in_an_account_messages_lie_below_the_lake(uri: str, place: str) -> None:
    client = pipes("aws", uri)
    assert isinstance(client._messages, S3Messages)
    assert f"{place}/context.json" in client._messages.injector("job-0").no_messages_debug_text()
    assert f"{place}/messages" in client._messages.reader("job-0").no_messages_debug_text()


def test_jobs_of_an_account_reach_no_folder_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLakeError):
        pipes("aws", str(tmp_path))
