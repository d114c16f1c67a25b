"""The command line with a lake on S3: what a reader sees, and what anybody is told when S3 says no."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import _dagster_home, main
from forecast_assets.commands.support import open_platform
from forecast_assets.doctor import examine
from forecast_assets.findings import Finding
from forecast_assets.lake import configured_lake
from forecast_assets.reader import NoForecastError, load_accuracy, load_forecast, load_observations
from resources.aws import client
from resources.lake import Lake
from tests.refusing import refusing
from tests.s3 import REGION, S3, reached
from tests.served import free_port
from tests.tables import SERIES, WEEKS, fill
from tests.world import ROOT

BUCKET = "forecasts-of-the-cli"
SETTINGS = {
    "FORECAST_COMPUTE": "aws",
    "FORECAST_LAKE_URI": f"s3://{BUCKET}/lake",
    "FORECAST_EIA_SOURCE": "api",
    "FORECAST_ROLE_ARN": "arn:aws:iam::123456789012:role/forecast",
    "FORECAST_IMAGES": "123456789012.dkr.ecr.us-east-1.amazonaws.com/forecast-{image}:test",
    "FORECAST_LEVELS": "[80, 95]",
    "COLUMNS": "400",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    with reached(server.environment | SETTINGS), pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        server.bucket(BUCKET)
        fill(Lake(uri=SETTINGS["FORECAST_LAKE_URI"]))
        Lake(uri=SETTINGS["FORECAST_LAKE_URI"]).claim("real")
        yield server
    server.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def forecast(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def words(result: Result) -> str:
    return " ".join(result.output.split())


# -- readers --------------------------------------------------------------------------------------------------------


def test_the_newest_forecast_is_shown(s3: S3) -> None:
    done = forecast("show", "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["week"] == str(WEEKS[-1])
    assert set(shown["series"]) == set(SERIES)


def test_frames_of_a_lake_on_s3_are_those_of_one_in_a_folder(s3: S3, tmp_path: Path) -> None:
    folder = Lake(uri=str(tmp_path))
    fill(folder)
    assert load_forecast("2023-11-03").equals(load_forecast("2023-11-03", lake=folder))
    assert load_observations().equals(load_observations(lake=folder))
    assert load_accuracy().equals(load_accuracy(lake=folder))
    with pytest.raises(NoForecastError, match=f"the lake at s3://{BUCKET}/nothing has no forecast yet"):
        load_forecast(lake=Lake(uri=f"s3://{BUCKET}/nothing"))


def test_a_lake_on_s3_has_its_history_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    uris = ("s3://a-bucket/a/lake", "s3://a-bucket/a-lake", "s3://a-bucket", "s3://a-bucket/../lake")
    homes = [_dagster_home(Lake(uri=uri)) for uri in uris]
    assert homes[0] == tmp_path / ".forecast" / "s3" / "a-bucket" / "a" / "lake" / "_dagster"
    assert len(set(homes)) == len(uris)
    assert all(home.is_relative_to(tmp_path / ".forecast" / "s3" / "a-bucket") for home in homes)
    assert all((home / "dagster.yaml").exists() for home in homes)
    assert _dagster_home(Lake(uri=str(tmp_path / "lake"))) == tmp_path / "lake" / "_dagster"


def test_a_week_whose_tables_are_in_order_is_replayed_and_one_that_was_left_half_way_is_not(s3: S3) -> None:
    platform = open_platform()
    assert [week for week in WEEKS if platform.is_replayed(week)] == list(WEEKS)
    assert not platform.is_replayed(WEEKS[0] - timedelta(weeks=1))
    lake = configured_lake()
    lake.write("outlier_flags", WEEKS[0], lake.read("outlier_flags", WEEKS[0]))
    assert not platform.is_replayed(WEEKS[0])


def test_the_catalog_of_a_lake_on_s3_is_in_glue(s3: S3) -> None:
    job = open_platform().defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [job.execute_in_process(asset_selection=[dg.AssetKey("catalog")], instance=instance) for _ in range(2)]
    first, second = (run.asset_materializations_for_node("catalog")[0].metadata for run in runs)
    assert str(first["new"].value).split(", ")[0] == "release"
    assert (second["new"].value, second["changed"].value, second["removed"].value) == ("none", "none", "none")
    assert f"where week = date '{WEEKS[-1]}'" in str(first["example"].value)
    table = client("glue", REGION).get_table(DatabaseName="petroleum_demand", Name="forecast")["Table"]
    assert table["StorageDescriptor"]["Location"] == f"s3://{BUCKET}/lake/forecast/"
    levels = [each["Name"] for each in table["StorageDescriptor"]["Columns"] if each["Name"].startswith("lo-")]
    assert levels == ["lo-80", "lo-95"], "as the settings ask"


# -- the doctor -----------------------------------------------------------------------------------------------------


def findings() -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(open_platform())}


def test_the_doctor_looks_at_account_lake_and_bucket(s3: S3) -> None:
    found = findings()
    assert found["Credentials"].found.startswith("arn:aws:sts::123456789012:")
    assert found["Lake"].found == f"s3://{BUCKET}/lake: real figures, weeks with a forecast: 3, newest 2023-11-10"
    assert found["Bucket"].state == "warn"
    assert found["Bucket"].found == f"{BUCKET} in us-east-1, not versioned, not encrypted, not closed to the public"
    remedies = found["Bucket"].remedy.split("; ")
    assert remedies[0] == "Turn versioning on, so that what was written over can be had again"
    assert remedies[1:] == ["turn default encryption on", "block all public access"]
    assert {"Registry", "Endpoint"} <= set(found), "SageMaker was asked"


def test_the_doctor_is_content_with_a_bucket_as_it_should_be(s3: S3) -> None:
    s3_client = s3.client()
    s3_client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3_client.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=rules)
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    s3_client.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block)
    words = f"{BUCKET} in us-east-1, versioned, encrypted, closed to the public"
    assert findings()["Bucket"] == Finding("ok", "Bucket", words)


def test_the_doctor_sees_a_bucket_of_another_region(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_REGION", "eu-west-1")
    assert "set FORECAST_REGION to us-east-1" in findings()["Bucket"].remedy


# -- refusals -------------------------------------------------------------------------------------------------------


@contextmanager
def no_bucket(s3: S3) -> Iterator[None]:
    with reached(s3.environment | SETTINGS | {"FORECAST_LAKE_URI": "s3://never-made/lake"}):
        yield


@contextmanager
def no_credentials(s3: S3) -> Iterator[None]:
    with reached({name: value for name, value in s3.environment.items() if "KEY" not in name}):
        yield


@contextmanager
def nobody(s3: S3) -> Iterator[None]:
    with reached(s3.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}):
        yield


def refused(code: str, status: int) -> Callable[[S3], Any]:
    @contextmanager
    def world(s3: S3) -> Iterator[None]:
        with refusing(code, status) as url, reached(s3.environment | {"AWS_ENDPOINT_URL": url}):
            yield

    return world


WORLDS: dict[str, tuple[Callable[[S3], Any], str]] = {
    "bucket missing": (no_bucket, "(NoSuchBucket): there is no such bucket: make it with `forecast aws bootstrap`"),
    "access denied": (refused("AccessDenied", 403), "(AccessDenied): these credentials may not do that"),
    "expired": (refused("ExpiredToken", 400), "(ExpiredToken): the credentials have expired: sign in again"),
    "another region": (refused("PermanentRedirect", 301), "(PermanentRedirect): the bucket is in another region"),
    "no credentials": (no_credentials, "(NoCredentialsError): there are no AWS credentials: sign in"),
    "nobody answers": (nobody, "(EndpointConnectionError): AWS cannot be reached from here"),
}


@pytest.mark.parametrize("world", WORLDS)
def test_whoever_is_refused_is_told_why_and_what_to_do(s3: S3, world: str, home: Path) -> None:
    enter, said = WORLDS[world]
    with enter(s3):
        for command in (["refresh", "--week", "2023-11-10"], ["show"], ["accuracy"]):
            done = forecast(*command)
            assert done.exit_code == 1
            assert words(done).startswith("Error: cannot "), done.output
            assert said in words(done)
            assert words(done).endswith("What was stored is as it was")
            assert "Traceback" not in done.output
        doctor = forecast("doctor")
        assert doctor.exit_code == 1
        assert said in words(doctor)
    assert not home.exists(), "nothing was begun"


def test_the_lake_of_the_settings_has_their_region(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_lake().region == REGION
    monkeypatch.setenv("FORECAST_REGION", "eu-west-1")
    assert configured_lake().region == "eu-west-1"
