"""Secrets of the environment stay there: no log, table, metadata, job or message has them, on bad days too.

EIA's API takes its key in the address, and answers by repeating it. Here a server on loopback does the same.
"""

import base64
import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from resources.eia.errors import EiaResponseError, SourceSpecError
from resources.eia.fetch import download
from resources.eia.files import open_files
from tests.eia_server import Reply, Seen, Server, serving
from tests.world import ROOT

WEEK = "2023-11-10"
ROUTE = "/v2/petroleum/cons/wpsup/data/"
CANARIES = {
    "EIA_API_KEY": "CANARYeiaCANARY0key1234567890abcdefghij",
    "PETROLEUM_API_KEY": "CANARYapiCANARYkeyOfTheApi1234567890123456",
    "AWS_ACCESS_KEY_ID": "AKIACANARYACCESSKEY1",
    "AWS_SECRET_ACCESS_KEY": "CANARYsecretCANARYsecretCANARYsecret1234",
    "AWS_SESSION_TOKEN": "CANARYsessionCANARYtoken",
    "DATABASE_URL": "postgresql://forecaster:CANARYdatabase@127.0.0.1/forecast",
}
IN_ADDRESS = "CANARYinTheAddress"
SECRETS = [value.encode() for name, value in CANARIES.items() if name != "DATABASE_URL"] + [
    b"CANARYdatabase",
    IN_ADDRESS.encode(),
]

# What a person would type, one after the other in one process, with every logger talking.
DRIVER = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
import dagster as dg
from forecast_assets import cli
from forecast_assets.definitions import build_defs
from forecast_assets.settings import load_settings
from resources.eia.client import EiaClient

server, week = sys.argv[1:]

def forecast(mode, *arguments):
    EiaClient.open.__func__.__kwdefaults__["api_url"] = f"{server}/{mode}/v2/"
    try:
        cli.main(arguments, standalone_mode=False)
    except (Exception, SystemExit) as error:
        print(f"{mode} {arguments[0]}: {type(error).__name__}: {error}")
    else:
        print(f"{mode} {arguments[0]}: done")

for mode in ("forbidden", "broken", "page", "no-rows", "hop"):
    forecast(mode, "refresh", "--week", week)
forecast("forbidden", "refresh")
forecast("good", "refresh", "--week", week)
forecast("good", "doctor")
forecast("forbidden", "doctor")
forecast("good", "endpoint", "invoke", "--periods", "2")
forecast("good", "api", "invoke", "--periods", "2")

with_password = server.replace("//", "//user:@ADDRESS@@") + "/good/WGFUPUS2.csv?token=@ADDRESS@"
for source in (with_password, with_password.replace("good", "forbidden")):
    defs = build_defs(settings=load_settings(eia_source=source))
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey("release"), dg.AssetKey("observations")],
            partition_key=week, instance=instance, raise_on_error=False,
        )
    print(f"address: {result.success}")
forecast("good", "endpoint", "stop")
""".replace("@ADDRESS@", IN_ADDRESS)

DAGSTER = """
telemetry: {enabled: false}
python_logs:
  python_log_level: DEBUG
  managed_python_loggers: [httpx, httpcore, resources, forecast_assets]
"""


def rows(csv: Path) -> list[dict[str, str]]:
    table = pd.read_csv(csv, dtype=str)
    return [
        {"period": day, "series": "WGFUPUS2", "value": value, "units": "MBBL/D"}
        for day, value in table.itertuples(index=False)
    ]


def script(server: Server, figures: list[dict[str, str]], csv: bytes) -> None:
    """EIA's API in several moods; whatever it says, it says the key too."""

    def key(seen: Seen) -> str:
        return seen.query["api_key"][0]

    def good(seen: Seen) -> Reply:
        ordered = figures[::-1] if seen.query["sort[0][direction]"] == ["desc"] else figures
        offset, length = int(seen.query["offset"][0]), int(seen.query["length"][0])
        answer = {
            "response": {"total": str(len(figures)), "data": ordered[offset : offset + length]},
            "request": {"command": ROUTE, "params": {"api_key": key(seen)}},
        }
        return Reply(body=json.dumps(answer).encode())

    def forbidden(seen: Seen) -> Reply:
        error = {"error": {"code": "API_KEY_INVALID", "message": f"An invalid api_key was supplied: {key(seen)}."}}
        return Reply(403, json.dumps(error).encode())

    def page(seen: Seen) -> Reply:
        return Reply(body=f"<html><title>No api_key {key(seen)}</title>{key(seen)}</html>".encode())

    def no_rows(seen: Seen) -> Reply:
        answer = {"request": {"params": {"api_key": key(seen)}}, "error": f"key {key(seen)}", "code": 400}
        return Reply(body=json.dumps(answer).encode())

    def hop(seen: Seen) -> Reply:
        return Reply(302, headers={"Location": f"http://127.0.0.2:9/?api_key={key(seen)}"})

    for mode, answer in (("good", good), ("forbidden", forbidden), ("page", page), ("no-rows", no_rows), ("hop", hop)):
        server.on(f"/{mode}{ROUTE}", answer)
    server.on(f"/broken{ROUTE}", lambda seen: Reply(500, f"no {key(seen)}".encode()))
    server.on("/good/WGFUPUS2.csv", Reply(body=csv))
    server.on("/forbidden/WGFUPUS2.csv", Reply(403, f"no {IN_ADDRESS} here".encode()))


def readings(path: Path) -> Iterator[bytes]:
    """What a file says: its bytes, and what is packed in them."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".gz":
        yield gzip.decompress(content)
    if path.suffix == ".parquet":
        yield pd.read_parquet(path, partitioning=None).to_csv().encode()
    for packed in re.findall(rb"[A-Za-z0-9+/_-]{24,}", content):
        plain = packed.translate(bytes.maketrans(b"-_", b"+/"))
        decoded = base64.b64decode(plain[: len(plain) // 4 * 4])
        yield decoded
        with contextlib.suppress(zlib.error):  # how Pipes passes what it passes
            yield zlib.decompressobj().decompress(decoded, 1_000_000)


def found_in(folder: Path) -> list[str]:
    """Where a secret is, and which."""
    return [
        f"{path}: {secret.decode()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for reading in readings(path)
        for secret in SECRETS
        if secret in reading
    ]


def test_no_secret_of_the_environment_is_written_or_said(shared_data: Path, tmp_path: Path) -> None:
    csv = shared_data / "weekly" / "WGFUPUS2.csv"
    home, lake = tmp_path / "dagster", tmp_path / "lake"
    home.mkdir()
    (home / "dagster.yaml").write_text(DAGSTER)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECAST_", "DAGSTER_", "AWS_"))}
    environment = {
        **kept,
        **CANARIES,
        "DAGSTER_HOME": str(home),
        "FORECAST_LAKE_URI": str(lake),
        "FORECAST_EIA_SOURCE": "api",
        "FORECAST_SERIES": "WGFUPUS2",
        "FORECAST_STEP": "52",
        "FORECAST_MAX_HARMONICS": "1",
        "FORECAST_SEARCH": "quick",
        "FORECAST_WORKERS": "1",
    }
    with serving() as server:
        script(server, rows(csv), csv.read_bytes())
        ended = subprocess.run(
            [sys.executable, "-c", DRIVER, server.url, WEEK],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=280,
            check=False,
        )
        asked = [seen for seen in server.seen if seen.query.get("api_key") == [CANARIES["EIA_API_KEY"]]]
    out, err = ended.stdout.decode(), ended.stderr.decode()
    (tmp_path / "said").write_text(out + err)

    # What was to happen did: each mood of the API failed by name, the refresh and the deployment went through.
    assert ended.returncode == 0, err[-3000:]
    failed = re.findall(r"^([a-z-]+) (refresh|doctor): \w*(?:Exception|Exit)\b", out, re.MULTILINE)
    moods = ["forbidden", "broken", "page", "no-rows", "hop", "forbidden"]
    assert failed == [*((mood, "refresh") for mood in moods), ("forbidden", "doctor")], out
    assert "good refresh: done" in out
    assert "good endpoint: done" in out
    assert re.search("^good api: .*answers 403", out, re.MULTILINE), "the API was asked with a key"
    assert "address: True\naddress: False" in out
    assert len(asked) >= 10
    assert {"httpx", "httpcore", "botocore"} <= set(re.findall(r"^(?:DEBUG|INFO):(\w+)", err, re.MULTILINE))
    assert (lake / "forecast" / f"week={WEEK}" / "data.parquet").is_file()
    assert list(home.rglob("*.db"))

    assert found_in(tmp_path) == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    secret = SECRETS[0]
    (tmp_path / "plain").write_bytes(b"x" + secret)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(secret))
    pd.DataFrame({"url": ["https://x?api_key=" + secret.decode()] * 100}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "params.json").write_bytes(b'"' + base64.b64encode(zlib.compress(b'{"key": "' + secret + b'"}')) + b'"')
    assert {line.split(": ")[0] for line in found_in(tmp_path)} == {str(path) for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", [name for name in CANARIES if name != "DATABASE_URL"])
def test_jobs_and_endpoints_are_started_without_the_callers_secrets(name: str) -> None:
    from resources.sagemaker.local.processes import inherited_environment

    assert inherited_environment({**CANARIES, "PATH": "/bin"}) == {"PATH": "/bin"}, name


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param("http://user:pass{}@[::1/x.csv", id="no address"),
        pytest.param("http://user:a/{}@127.0.0.1/x.csv", id="slash in the password"),
        pytest.param("http://user:{}@127.0.0.1:http/x.csv", id="no port"),
        pytest.param("ftp://user:{}@127.0.0.1/x.csv", id="another scheme"),
        pytest.param("http://user:{}@/x.csv", id="no host"),
    ],
)
def test_an_address_that_is_none_is_not_repeated_with_its_password(spec: str) -> None:
    with pytest.raises(SourceSpecError) as caught:
        open_files(spec.format(IN_ADDRESS), now=datetime.now)
    assert IN_ADDRESS not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__  # a traceback would show it


def test_an_answer_that_repeats_what_the_address_carries_is_not_repeated() -> None:
    with serving() as server:
        server.on("/x.csv", Reply(400, f"signature {IN_ADDRESS}1 of {IN_ADDRESS}2 is wrong for {IN_ADDRESS}3".encode()))
        url = server.url.replace("//", f"//{IN_ADDRESS}1:{IN_ADDRESS}2@") + f"/x.csv?X-Sig={IN_ADDRESS}3&page=5"
        with pytest.raises(EiaResponseError, match=r"signature \*\*\* of \*\*\* is wrong for \*\*\*") as caught:
            download(url)
    assert "page=5" in str(caught.value)
    assert IN_ADDRESS not in str(caught.value)
