"""What an account can do to a refresh, and what a refresh leaves behind when it dies."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import main
from resources.sagemaker.local.clients import register_image, register_own_images
from tests.aws.site import AwsSite
from tests.aws.world import BUCKET, IMAGES, KEYS, Aws
from tests.refreshes import ENDPOINT, SMALL, until
from tests.world import WEEK

EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


def no_bucket(aws: Aws, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FORECAST_LAKE_URI", "s3://no-such-bucket/lake")


def no_right(aws: Aws, patch: pytest.MonkeyPatch) -> None:
    """Keys that are known, of somebody who may read the bucket and not write it."""
    iam = aws.client("iam")
    iam.create_user(UserName="reader")
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    aws.keys(key["AccessKeyId"], key["SecretAccessKey"], patch)


def unknown_keys(aws: Aws, patch: pytest.MonkeyPatch) -> None:
    """Keys that this account does not know, which is what `enforced` looks at first."""


def expired(aws: Aws, patch: pytest.MonkeyPatch) -> None:
    from botocore.awsrequest import AWSResponse

    class Body:
        def stream(self, **_: object) -> list[bytes]:
            return [EXPIRED]

    def answer(request: Any, **_: object) -> AWSResponse:
        return AWSResponse(request.url, 400, {}, Body())

    aws.client("s3").meta.events.register("before-send.s3", answer)


@pytest.fixture
def forecast(aws: Aws, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, in this process."""
    for name, value in {**SMALL, **aws.settings, "FORECAST_EIA_SOURCE": str(shared_data / "weekly")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return run


@pytest.mark.parametrize(
    ("cause", "remedy", "enforced"),
    [
        pytest.param(no_bucket, "make it with `forecast aws bootstrap`", False, id="bucket missing"),
        pytest.param(no_right, "these credentials may not do that", True, id="access denied"),
        pytest.param(unknown_keys, "AWS does not know this access key", True, id="unknown keys"),
        pytest.param(expired, "the credentials have expired: sign in again", False, id="expired"),
    ],
)
def test_a_refresh_that_the_account_refuses_says_what_to_do_and_leaves_nothing(
    cause: Any, remedy: str, enforced: bool, aws: Aws, forecast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause(aws, monkeypatch)
    if enforced:
        with aws.enforced():
            refused = forecast("refresh", "--week", str(WEEK))
    else:
        refused = forecast("refresh", "--week", str(WEEK))
    said = " ".join(refused.output.split())
    assert refused.exit_code == 1, said
    assert remedy in said
    assert "Traceback" not in said
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in said
    aws.keys(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], monkeypatch)
    assert [key for key in aws.objects() if "_locks/" not in key] == []


@pytest.fixture
def site(whole: Aws, shared_data: Path, tmp_path: Path) -> Iterator[AwsSite]:
    made = AwsSite(tmp_path, whole, shared_data / "weekly")
    yield made
    made.end()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_refresh_that_is_killed_leaves_its_job_to_the_next(site: AwsSite) -> None:
    first = site.refresh()
    name = site.running_job("tuning_trials")
    first.dies()
    second = site.completes()
    assert f"Taking up SageMaker job {name}" in " ".join(second.said().split())
    assert [job for job in site.jobs() if job.startswith("tuning-trials-")] == [name]
    assert set(site.jobs().values()) == {"Completed"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_refresh_that_is_terminated_stops_its_job(site: AwsSite) -> None:
    refresh = site.refresh()
    name = site.running_job("tuning_trials")
    refresh.process.send_signal(signal.SIGINT)
    assert refresh.ends() != 0
    until(lambda: site.jobs()[name] == "Stopped", "stop of the job")
    assert not list(site.aws.objects("lake/tuning_trials/"))
    site.completes()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_refreshes_of_a_week_do_not_mix(site: AwsSite) -> None:
    first = site.refresh()
    name = site.running_job("counterfactual")
    before = site.aws.objects("lake/")
    second = site.refresh()
    assert second.ends() == 1
    said = " ".join(second.said().split())
    assert f"week {WEEK} is being made by run" in said
    assert f"process {first.process.pid} on" in said
    assert first.ends() == 0, first.said()
    assert set(before) <= set(site.aws.objects("lake/"))
    assert [job for job in site.jobs() if job.startswith("counterfactual-")] == [name]


WRONG = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body=b""):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = answer
    def do_POST(self):
        self.answer(json.dumps([{"ds": "2023-11-17", "predictions": 1.0}]).encode())
address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_endpoint_that_answers_wrongly_is_taken_back(site: AwsSite, tmp_path: Path) -> None:
    site.environment["FORECAST_GATE_TOLERANCE"] = "10"  # every candidate is approved
    first = site.start("refresh", "--week", str(WEEK - timedelta(weeks=1)))
    assert first.ends() == 0, first.said()
    answer = site.asks()
    sagemaker = site.aws.client("sagemaker")
    config = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    (tmp_path / "wrong.py").write_text(WRONG)
    images = IMAGES.replace(":test", ":next")
    register_own_images(site.aws.root, images)
    wrong = [sys.executable, str(tmp_path / "wrong.py")]
    register_image(site.aws.root, images.replace("{image}", "serving"), {"serve": wrong})
    site.environment["FORECAST_IMAGES"] = images
    refresh = site.refresh()
    assert refresh.ends() == 1, refresh.said()
    assert "forecast_endpoint: EndpointSmokeTestError" in " ".join(refresh.said().split())
    status = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    assert (status["EndpointStatus"], status["EndpointConfigName"]) == ("InService", config)
    assert site.asks() == answer
