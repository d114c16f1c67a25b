"""API Gateway on this machine, asked over HTTP, under a clock that the test turns."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from containers.serving.protocol import BoundedProtocol
from resources.api.gateway.app import BODY_LIMIT_BYTES, Gateway
from resources.api.gateway.state import CONFIG, KEY, PROBE, checksum
from resources.sagemaker.local.store import put_json
from tests.served import Answer, free_port

Event = Mapping[str, Any]


def echo(event: Event) -> dict[str, Any]:
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}


class Api:
    """A gateway that runs in this process."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self.seconds, self.now = 0.0, datetime(2026, 11, 21, tzinfo=UTC)
        self.function: Callable[[Event], Mapping[str, Any]] = echo
        self.configure()
        put_json(home / KEY, {"sha256": checksum("right")})

    def configure(self, **changes: Any) -> None:
        config = {"stage": "v1", "rate_per_s": 10, "burst": 20, "quota_per_month": 1000, "endpoint": "e"}
        put_json(self.home / CONFIG, config | changes)

    def ask(
        self,
        key: str | None = "right",
        path: str = "/v1/forecast",
        method: str = "POST",
        body: bytes = b"{}",
        **headers: str,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, given | ({} if key is None else {"x-api-key": key}))
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def message(self, **asked: Any) -> tuple[int, Any]:
        answer = self.ask(**asked)
        return answer.status, answer.json["message"]  # type: ignore[index]


@contextmanager
def running(home: Path, *, limit_s: float = 20) -> Iterator[Api]:
    api = Api(home)
    gateway = Gateway(
        home,
        lambda event: api.function(event),  # noqa: PLW0108 - tests exchange it
        limit_s=limit_s,
        clock=lambda: api.seconds,
        now=lambda: api.now,
    )
    config = uvicorn.Config(
        gateway, port=api.port, http=BoundedProtocol, lifespan="off", ws="none", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        threading.Event().wait(0.005)
    yield api
    server.should_exit = True
    thread.join()
    gateway.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as started:
        yield started


def test_the_function_gets_a_proxy_event_and_the_caller_its_answer(api: Api) -> None:
    asked = api.ask(body='{"conf": 0.9, "ü": 1}'.encode(), content_type="application/json", accept="text/csv")
    assert asked.status == 200
    assert asked.headers["x-amzn-requestid"] == asked.json["requestContext"]["requestId"]  # type: ignore[index]
    event = dict(asked.json)  # type: ignore[call-overload]
    assert (event["httpMethod"], event["resource"], event["path"]) == ("POST", "/forecast", "/forecast")
    assert (event["body"], event["isBase64Encoded"]) == ('{"conf": 0.9, "ü": 1}', False)
    assert (event["headers"]["content-type"], event["headers"]["accept"]) == ("application/json", "text/csv")
    assert event["multiValueHeaders"]["accept"] == ["text/csv"]
    assert event["queryStringParameters"] is None
    assert event["requestContext"]["path"] == "/v1/forecast"
    queried = dict(api.ask(path="/v1/forecast?a=1&a=2").json)  # type: ignore[call-overload]
    assert queried["queryStringParameters"] == {"a": "2"}
    assert queried["multiValueQueryStringParameters"] == {"a": ["1", "2"]}


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        pytest.param({"key": None}, 403, "Forbidden", id="no key"),
        pytest.param({"key": "wrong"}, 403, "Forbidden", id="wrong key"),
        pytest.param({"key": ""}, 403, "Forbidden", id="empty key"),
        pytest.param({"key": checksum("right")}, 403, "Forbidden", id="the checksum is no key"),
        pytest.param({"path": "/"}, 403, "Missing Authentication Token", id="root"),
        pytest.param({"path": "/v2/forecast"}, 403, "Missing Authentication Token", id="stage"),
        pytest.param({"path": "/v1/forecast/x"}, 403, "Missing Authentication Token", id="path"),
        pytest.param({"method": "GET"}, 403, "Missing Authentication Token", id="method"),
        pytest.param({"method": "OPTIONS", "key": None}, 403, "Missing Authentication Token", id="options"),
        pytest.param({"host": "evil.example"}, 421, "Misdirected Request", id="a page that renamed this machine"),
        pytest.param({"host": "127.0.0.1.evil.example:80"}, 421, "Misdirected Request", id="a name alike"),
        pytest.param(
            {"body": b"x" * (BODY_LIMIT_BYTES + 1)}, 413, "HTTP content length exceeded 10485760 bytes.", id="too large"
        ),
    ],
)
def test_what_is_not_let_in_is_answered_as_api_gateway_does(
    api: Api, asked: dict[str, Any], status: int, message: str
) -> None:
    reached: list[Event] = []
    api.function = lambda event: reached.append(event) or echo(event)  # type: ignore[func-returns-value]
    assert api.message(**asked) == (status, message)
    assert reached == []
    assert api.message(host="localhost", key="wrong") == (403, "Forbidden")


def test_under_load_exactly_burst_and_rate_are_let_in(api: Api) -> None:
    with ThreadPoolExecutor(16) as callers:

        def load(requests: int) -> Counter[int]:
            return Counter(callers.map(lambda _: api.ask().status, range(requests)))

        assert load(200) == {200: 20, 429: 180}
        api.seconds += 1.5
        assert load(100) == {200: 15, 429: 85}
        assert api.message() == (429, "Too Many Requests")
        assert Counter(callers.map(lambda _: api.ask(key="wrong").status, range(50))) == {403: 50}
        api.seconds += 0.1
        assert api.ask().status == 200, "whoever has no key takes nobody's turn"


def test_the_quota_of_a_month_is_counted_over_what_was_let_in(api: Api) -> None:
    api.configure(burst=5, quota_per_month=7)
    assert Counter(api.ask().status for _ in range(10)) == {200: 5, 429: 5}
    api.seconds += 60
    assert [api.ask().status for _ in range(2)] == [200, 200]
    assert api.message() == (429, "Limit Exceeded")
    api.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert api.ask().status == 200


def test_limits_stage_and_key_change_while_it_runs(api: Api) -> None:
    api.configure(stage="v2", burst=2)
    assert api.message() == (403, "Missing Authentication Token")
    assert [api.ask(path="/v2/forecast").status for _ in range(3)] == [200, 200, 429]
    put_json(api.home / KEY, {"sha256": checksum("next")})
    assert api.message(path="/v2/forecast") == (403, "Forbidden")
    assert api.ask(key="next", path="/v2/forecast").status == 200, "a new key has a burst of its own"
    (api.home / KEY).unlink()
    assert api.message(key="next", path="/v2/forecast") == (403, "Forbidden")


def test_the_deployers_key_takes_nobodys_turn_and_ends_with_its_file(api: Api) -> None:
    api.configure(burst=1, quota_per_month=1)
    put_json(api.home / PROBE, {"sha256": checksum("probe")})
    assert [api.ask(key="probe").status for _ in range(3)] == [200, 200, 200]
    assert api.ask().status == 200
    (api.home / PROBE).unlink()
    assert api.message(key="probe") == (403, "Forbidden")


def test_a_function_that_raises_or_hangs_is_told_without_its_reason(tmp_path: Path) -> None:
    done = threading.Event()

    def raises(event: Event) -> Mapping[str, Any]:
        raise RuntimeError("arn:aws")

    def hangs(event: Event) -> Mapping[str, Any]:
        done.wait(10)
        return echo(event)

    with running(tmp_path, limit_s=0.1) as api:
        api.function = raises
        assert api.message() == (502, "Internal server error")
        api.function = hangs
        assert api.message() == (504, "Endpoint request timed out")
        done.set()
        api.function = echo
        assert api.ask().status == 200
