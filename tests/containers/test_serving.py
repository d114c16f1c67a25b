"""The endpoint as the process that SageMaker starts: health, answers, refusals, start-up and end."""

import csv
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forecasting import forecaster
from tests.served import CUTOFF, Endpoint, save, sealed, small_artifact, start, until_healthy


@pytest.fixture(scope="module")
def artifact() -> dict[str, object]:
    return small_artifact()


@pytest.fixture(scope="module")
def endpoint(artifact: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    running = start(save(tmp_path_factory.mktemp("serving") / "ml", artifact))
    until_healthy(running)
    yield running
    running.process.terminate()
    assert running.process.communicate(timeout=30) == ("", "")
    assert running.process.returncode == 0


def test_short_form_answers_in_the_columns_of_the_reference(endpoint: Endpoint) -> None:
    answer = endpoint.invoke({"periods": "10", "conf": "0.9", "series": "WGFUPUS2"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    rows = answer.json
    assert isinstance(rows, list)
    assert len(rows) == 10
    assert list(rows[0]) == ["date", "lower_pi_0.9", "predictions", "upper_pi_0.9"]
    assert [row["date"] for row in rows[:2]] == ["2023-11-17", "2023-11-24"]


@pytest.mark.parametrize("interval", ["conformal", "normal"])
def test_answer_equals_the_forecaster_to_the_last_bit(
    endpoint: Endpoint, artifact: dict[str, object], interval: str
) -> None:
    levels = [50, 80, 97.5, 99.9]
    body = {"periods": 104, "levels": levels, "series": ["WGFUPUS2"], "interval": interval}
    entry = artifact["series"]["WGFUPUS2"]
    rows = forecaster.forecast(entry, horizon=104, levels=levels, interval=interval)
    stated = {"unique_id": "WGFUPUS2", "cutoff": CUTOFF, "interval": interval}
    assert endpoint.invoke(body).json == [stated | row for row in rows]


def test_csv_equals_json_to_the_last_bit(endpoint: Endpoint) -> None:
    body = {"periods": 30, "levels": [80, 90]}
    asked_by_header = endpoint.invoke(body, Accept="text/csv")
    asked_by_field = endpoint.invoke(body | {"format": "csv"}, Accept="application/json")
    assert asked_by_header.body == asked_by_field.body
    assert asked_by_header.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(asked_by_header.body.decode())))
    expected = endpoint.invoke(body).json
    assert isinstance(expected, list)
    assert [{name: str(value) for name, value in row.items()} for row in expected] == rows
    assert [float(row["lo-80"]) for row in rows] == [row["lo-80"] for row in expected]


def test_full_form_answers_for_all_series_and_says_which_interval_each_has(endpoint: Endpoint) -> None:
    rows = endpoint.invoke({"periods": 2, "levels": [80]}).json
    assert isinstance(rows, list)
    assert [(row["unique_id"], row["horizon"], row["interval"]) for row in rows] == [
        ("WDIUPUS2", 1, "normal"),
        ("WDIUPUS2", 2, "normal"),
        ("WGFUPUS2", 1, "conformal"),
        ("WGFUPUS2", 2, "conformal"),
    ]
    assert list(rows[0]) == ["unique_id", "ds", "cutoff", "horizon", "interval", "mean", "lo-80", "hi-80"]


def test_conformal_intervals_are_refused_where_a_series_is_not_calibrated(endpoint: Endpoint) -> None:
    answer = endpoint.invoke({"interval": "conformal", "series": "WDIUPUS2"})
    assert (answer.status, answer.json["field"]) == (400, "interval")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        pytest.param("POST", "/invocations", {"periods": 0}, {}, 400, id="wrong value"),
        pytest.param("POST", "/invocations", {"conf": 0.9}, {}, 400, id="series not named"),
        pytest.param("POST", "/invocations", {}, {"Content-Type": "text/csv"}, 415, id="csv in"),
        pytest.param(
            "POST", "/invocations", {}, {"Content-Type": "application/json; charset=utf-16"}, 415, id="charset"
        ),
        pytest.param("POST", "/invocations", {}, {"Accept": "image/png"}, 406, id="picture out"),
        pytest.param("POST", "/invocations", b" " * 1_000_001, {}, 413, id="large body"),
        pytest.param("GET", "/invocations", None, {}, 405, id="wrong method"),
        pytest.param("POST", "/ping", {}, {}, 405, id="ping posted"),
        pytest.param("GET", "/docs", None, {}, 404, id="unknown path"),
    ],
)
def test_refusals_are_json(
    endpoint: Endpoint, method: str, path: str, body: object, headers: dict[str, str], status: int
) -> None:
    answer = endpoint.ask(method, path, body, headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["error"]


def test_body_of_unknown_length_is_limited_too(endpoint: Endpoint) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
    chunks = (b" " * 100_000 for _ in range(11))
    connection.request("POST", "/invocations", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        pytest.param("*/*", "application/json", id="anything"),
        pytest.param("application/*", "application/json", id="any application"),
        pytest.param("text/csv, application/json;q=0.5", "text/csv", id="csv preferred"),
        pytest.param("text/csv;q=0.4, application/json", "application/json", id="json preferred"),
        pytest.param("text/csv;q=0.1, */*", "text/csv", id="named before wildcard"),
    ],
)
def test_accept_header_chooses_the_form(endpoint: Endpoint, accept: str, media: str) -> None:
    answer = endpoint.invoke({"periods": 1}, Accept=accept)
    assert answer.headers["content-type"].split(";")[0] == media


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="no json"),
        pytest.param('{"schema_version": 1}', id="members missing"),
        pytest.param('{"schema_version": 99}', id="other version"),
        pytest.param(None, id="no file"),
    ],
)
def test_unusable_artifact_ends_the_container_with_a_reason(tmp_path: Path, content: str | None) -> None:
    root = tmp_path if content is None else save(tmp_path, content)
    process = start(root).process
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("ServingError: ")
    assert "forecaster.json" in err
    assert "Traceback" not in err


def test_edited_artifact_is_not_served(tmp_path: Path, artifact: dict[str, object]) -> None:
    process = start(save(tmp_path, artifact | {"provenance": {"week": "2030-01-04"}})).process
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "edited or damaged" in err


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        pytest.param({"SAGEMAKER_BIND_TO_PORT": "http"}, "SAGEMAKER_BIND_TO_PORT", id="port"),
        pytest.param({"FORECAST_DEFAULT_SERIES": "X"}, "default series 'X' is not in the artifact", id="series"),
    ],
)
def test_wrong_environment_is_named(
    tmp_path: Path, artifact: dict[str, object], environment: dict[str, str], reason: str
) -> None:
    process = start(save(tmp_path, artifact), **environment).process
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert reason in err


@pytest.mark.parametrize("where", ["environment", "provenance"])
def test_default_series_answers_the_short_form(tmp_path: Path, artifact: dict[str, object], where: str) -> None:
    content = {name: value for name, value in artifact.items() if name != "digest"}
    if where == "provenance":
        content["provenance"] = {"default_series": "WDIUPUS2"}
    given = {"FORECAST_DEFAULT_SERIES": "WDIUPUS2"} if where == "environment" else {}
    running = start(save(tmp_path, sealed(content)), **given)
    until_healthy(running)
    short = running.invoke({"periods": 1, "conf": 0.9}).json
    full = running.invoke({"periods": 1, "levels": [90], "series": "WDIUPUS2"}).json
    running.process.terminate()
    running.process.communicate(timeout=30)
    assert short[0]["predictions"] == full[0]["mean"]


def test_request_in_flight_is_answered_after_sigterm(
    tmp_path: Path, artifact: dict[str, object], wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    running = start(save(tmp_path, artifact))
    until_healthy(running)
    body = json.dumps({"periods": 1, "levels": [90]}).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as connection:
        connection.sendall(head.encode() + body[:5])
        time.sleep(0.2)
        running.process.send_signal(signal.SIGTERM)

        def refuses_new_connections() -> bool:
            with socket.socket() as other:
                return other.connect_ex(("127.0.0.1", running.port)) != 0

        wait_until(refuses_new_connections)
        connection.sendall(body[5:])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b'"WGFUPUS2"' in answer
    running.process.communicate(timeout=30)
    assert running.process.returncode == 0


def test_serving_imports_no_numerical_stack() -> None:
    code = (
        "import sys, containers.serving.__main__, containers.serving.app, uvicorn; "
        "print([m for m in ('numpy', 'pandas', 'pyarrow', 'pydantic', 'dagster_pipes', 'scipy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_first_ping_passes_well_within_the_limit_of_sagemaker(tmp_path: Path, artifact: dict[str, object]) -> None:
    root = save(tmp_path, artifact)
    began = time.monotonic()
    running = start(root)
    until_healthy(running)
    took_s = time.monotonic() - began
    running.process.terminate()
    running.process.communicate(timeout=30)
    # About 0.2 s on an idle machine; the margin is for a loaded one.
    assert took_s < 3


def test_defect_is_answered_as_one_and_its_reason_goes_to_stderr_without_the_request(
    tmp_path: Path, artifact: dict[str, object]
) -> None:
    naive = artifact["series"]["WDIUPUS2"]
    overflowing = naive | {"seasonal_naive": {"values": [1000.0] * 52, "sigma": 1.0}}
    content = {"schema_version": 1, "provenance": {}, "series": {"WDIUPUS2": overflowing}}
    running = start(save(tmp_path, sealed(content)))
    until_healthy(running)
    answer = running.invoke({"periods": 7, "levels": [61.25]})
    assert (answer.status, answer.json) == (500, {"error": "internal error"})
    assert running.ask("GET", "/ping").status == 200
    running.process.terminate()
    _, err = running.process.communicate(timeout=30)
    assert "OverflowedForecastError: series WDIUPUS2" in err
    assert "61.25" not in err


def test_idle_connection_does_not_delay_the_end(tmp_path: Path, artifact: dict[str, object]) -> None:
    running = start(save(tmp_path, artifact))
    until_healthy(running)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("GET", "/ping")
    connection.getresponse().read()
    running.process.terminate()
    running.process.communicate(timeout=10)
    assert running.process.returncode == 0
    connection.close()
