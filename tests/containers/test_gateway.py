"""The Lambda handler, with a real client of boto3 and a runtime that says whatever SageMaker may say."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.gateway import invocation
from containers.gateway.handler import Handler
from containers.gateway.request import BODY_LIMIT_BYTES
from tests.runtime import SECRET_NAMES, Reply, Runtime, failing, model_error, runtime
from tests.served import free_port

KEY = "a-key-that-nobody-may-read"
BODY = '{"periods": 3, "conf": 0.9}'


def client(url: str, **changes: Any) -> Any:
    config = invocation.client_config().merge(Config(**changes))
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )


def event(body: str | None = BODY, **changes: Any) -> dict[str, Any]:
    """A request of API Gateway's proxy integration, version 1.0."""
    headers = {"Content-Type": "application/json", "x-api-key": KEY, **changes.pop("headers", {})}
    return {
        "resource": "/forecast",
        "path": "/forecast",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "requestContext": {"requestId": "r-1", "stage": "v1", "identity": {"apiKey": KEY, "sourceIp": "127.0.0.1"}},
        "body": body,
        "isBase64Encoded": False,
        **changes,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Runtime]:
    with runtime() as running:
        yield running


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def handler(server: Runtime, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> Handler:
    monkeypatch.setattr(invocation, "PAUSE_S", 0.0)
    server.script()
    return Handler(client(server.url), "petroleum-endpoint", log=lines.append)


def said(answer: dict[str, Any]) -> dict[str, str]:
    """The JSON of an error, which names nothing behind the API."""
    assert answer["headers"]["Content-Type"] == "application/json"
    assert [name for name in (*SECRET_NAMES, KEY) if name in json.dumps(answer)] == []
    fields: dict[str, str] = json.loads(answer["body"])
    assert set(fields) <= {"error", "field"}
    return fields


# -- what is passed on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
def test_the_body_reaches_the_endpoint_as_it_came_and_its_answer_the_caller(
    handler: Handler, server: Runtime, encoded: bool
) -> None:
    server.script(Reply(body=b'[{"predictions":9000.5}]'))
    body = base64.b64encode(BODY.encode()).decode() if encoded else BODY
    answer = handler(event(body, isBase64Encoded=encoded))
    assert (answer["statusCode"], answer["body"]) == (200, '[{"predictions":9000.5}]')
    assert answer["headers"]["Content-Type"] == "application/json"
    [(path, headers, sent)] = server.seen
    assert path == "/endpoints/petroleum-endpoint/invocations"
    assert (headers["content-type"], headers["accept"], sent) == ("application/json", "*/*", BODY.encode())


def test_a_caller_who_accepts_csv_gets_csv(handler: Handler, server: Runtime) -> None:
    server.script(Reply(body=b"date,predictions\n", headers={"Content-Type": "text/csv; charset=utf-8"}))
    answer = handler(event(headers={"accept": "text/csv"}))
    assert (answer["body"], answer["headers"]["Content-Type"]) == ("date,predictions\n", "text/csv; charset=utf-8")
    assert server.seen[0][1]["accept"] == "text/csv"


def test_the_key_of_the_caller_goes_no_further(handler: Handler, server: Runtime, lines: list[str]) -> None:
    handler(event())
    assert KEY not in str(server.seen)
    assert KEY not in "".join(lines)


# -- what is refused before it costs an invocation -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        pytest.param(event(httpMethod="GET"), 405, "POST", id="method"),
        pytest.param(event(queryStringParameters={"periods": "3"}), 400, "address", id="query"),
        pytest.param(event(headers={"Content-Type": "text/csv"}), 415, "content type", id="content type"),
        pytest.param(event(headers={"Content-Type": "application/json; charset=latin1"}), 415, "UTF-8", id="charset"),
        pytest.param(event(headers={"accept": "text/csv\r\nX: y"}), 406, "text/csv", id="accept"),
        pytest.param(event(headers={"accept": "a" * 2000}), 406, "text/csv", id="long accept"),
        pytest.param(event(None), 400, "JSON object", id="no body"),
        pytest.param(event("{"), 400, "JSON object", id="no JSON"),
        pytest.param(event("[1]"), 400, "JSON object", id="no object"),
        pytest.param(event("[" * 100_000), 400, "JSON object", id="deep"),
        pytest.param(event('{"a":"\ud800"}'), 400, "JSON object", id="half a character"),
        pytest.param(event("!", isBase64Encoded=True), 400, "encoding", id="no base64"),
        pytest.param(event("ÿ", isBase64Encoded=True), 400, "encoding", id="no ASCII"),
        pytest.param(event(" " * BODY_LIMIT_BYTES + "{}"), 413, "1000000 bytes", id="large"),
        pytest.param(event("A" * 3 * BODY_LIMIT_BYTES, isBase64Encoded=True), 413, "1000000 bytes", id="large base64"),
        pytest.param(event("{" + "é" * (BODY_LIMIT_BYTES // 2) + "}"), 413, "1000000 bytes", id="large in UTF-8"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words_and_not_sent(
    handler: Handler, server: Runtime, asked: dict[str, Any], status: int, words: str
) -> None:
    answer = handler(asked)
    assert answer["statusCode"] == status
    assert words in said(answer)["error"]
    assert server.seen == []


@settings(max_examples=50, deadline=None)
@given(text=st.text() | st.from_regex(r"\{.*\}", fullmatch=True), encoded=st.booleans())
def test_no_body_makes_it_fail(server: Runtime, text: str, encoded: bool) -> None:
    server.script()
    answer = Handler(FUZZED[server.url], "petroleum-endpoint", log=lambda _: None)(event(text, isBase64Encoded=encoded))
    assert answer["statusCode"] in {200, 400}


class _Clients(dict[str, Any]):
    def __missing__(self, url: str) -> Any:
        self[url] = client(url)
        return self[url]


FUZZED = _Clients()


# -- what the endpoint says when it does not answer ------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 406, 413, 415])
def test_the_models_own_refusal_reaches_the_caller_and_nothing_else_of_it(
    handler: Handler, server: Runtime, status: int
) -> None:
    words = {"error": "periods must be a whole number", "field": "periods", "stack": "arn:aws"}
    server.script(model_error(status, json.dumps(words)))
    answer = handler(event())
    assert answer["statusCode"] == status
    assert said(answer) == {"error": "periods must be a whole number", "field": "periods"}


@pytest.mark.parametrize("message", ["<html>arn:aws</html>", '{"error": ["arn:aws"]}', '["arn:aws"]', ""])
def test_a_refusal_in_another_form_is_told_in_our_words(handler: Handler, server: Runtime, message: str) -> None:
    server.script(model_error(400, message))
    assert said(handler(event())) == {"error": "the model refused the request"}


@pytest.mark.parametrize(
    ("replies", "status", "wait"),
    [
        pytest.param([model_error(500, "Traceback arn:aws")], 502, None, id="the model fails"),
        pytest.param([model_error(0, "Your invocation timed out")], 502, None, id="the model hangs"),
        pytest.param([model_error(404, "petroleum-endpoint")], 502, None, id="another model"),
        pytest.param([model_error(503, "busy")], 503, "1", id="the model is busy"),
        pytest.param([failing("ThrottlingException", 400)] * 2, 429, "1", id="throttled"),
        pytest.param([failing("ModelNotReadyException", 429)], 503, "5", id="not ready"),
        pytest.param([failing("ValidationError", 400)], 503, "30", id="no such endpoint"),
        pytest.param([failing("ServiceUnavailable", 503)] * 2, 503, "30", id="unavailable"),
        pytest.param([failing("InternalFailure", 500)] * 2, 502, "1", id="SageMaker fails"),
        pytest.param([failing("InternalDependencyException", 530)], 502, "1", id="what SageMaker needs fails"),
        pytest.param([failing("AccessDeniedException", 403)], 500, None, id="not allowed"),
        pytest.param([Reply(cut=True)] * 2, 502, None, id="cut off"),
        pytest.param([Reply(body=b"\xff")], 502, None, id="no text"),
        pytest.param([Reply(headers={"Content-Type": "text/html"})], 502, None, id="a page"),
    ],
)
def test_what_sagemaker_says_is_told_by_its_kind(
    handler: Handler, server: Runtime, lines: list[str], replies: list[Reply], status: int, wait: str | None
) -> None:
    server.script(*replies)
    answer = handler(event())
    assert (answer["statusCode"], answer["headers"].get("Retry-After")) == (status, wait)
    assert said(answer)["error"]
    assert server.replies == [], "asked as often as there is hope, and no more"
    assert json.loads(lines[0])["status"] == status


@pytest.mark.parametrize(
    "first", [failing("ThrottlingException", 400), failing("InternalFailure", 500), Reply(cut=True)]
)
def test_what_passes_is_asked_once_more(handler: Handler, server: Runtime, first: Reply) -> None:
    server.script(first, Reply())
    assert handler(event())["statusCode"] == 200
    assert len(server.seen) == 2


def test_what_took_long_is_not_asked_again(server: Runtime) -> None:
    server.script(failing("InternalFailure", 500))
    ticks = iter((0.0, 0.0, invocation.RETRY_WITHIN_S + 1, 9.0))
    slow = Handler(client(server.url), "petroleum-endpoint", log=lambda _: None, clock=lambda: next(ticks))
    assert slow(event())["statusCode"] == 502
    assert len(server.seen) == 1


def test_an_endpoint_that_does_not_answer_in_time_is_told_before_api_gateway_gives_up(server: Runtime) -> None:
    server.script(Reply(wait_s=0.5))
    hasty = Handler(client(server.url, read_timeout=0.1), "petroleum-endpoint", log=lambda _: None)
    answer = hasty(event())
    assert (answer["statusCode"], said(answer)["error"]) == (504, "the forecast took too long; try again")
    assert len(server.seen) == 1
    two_attempts = invocation.RETRY_WITHIN_S + invocation.PAUSE_S + 2 * invocation.CONNECT_S + invocation.READ_S
    assert two_attempts < invocation.API_GATEWAY_S - 1
    config = invocation.client_config()
    assert (config.connect_timeout, config.read_timeout) == (invocation.CONNECT_S, invocation.READ_S)
    assert config.retries["total_max_attempts"] == 1, "botocore's own attempts would not fit"


def test_nobody_at_the_address_is_a_bad_gateway() -> None:
    nowhere = Handler(client(f"http://127.0.0.1:{free_port()}"), "petroleum-endpoint", log=lambda _: None)
    assert nowhere(event())["statusCode"] == 502


# -- the log ---------------------------------------------------------------------------------------------------------


def test_every_request_has_a_line_of_json_with_its_number_status_and_duration(
    handler: Handler, server: Runtime, lines: list[str]
) -> None:
    server.script(Reply(), model_error(400, '{"error": "unknown field \'my secret\'"}'), model_error(500, ""))
    for _ in range(3):
        handler(event())
    handler(event("{", requestContext=None))
    first, refused, failed, unread = map(json.loads, lines)
    assert first.keys() == {"request_id", "status", "duration_ms"}
    assert (first["request_id"], first["status"]) == ("r-1", 200)
    assert first["duration_ms"] > 0
    assert refused.keys() == first.keys(), "what the caller wrote is not kept"
    assert failed["error"] == "the model failed to make the forecast"
    assert (unread["request_id"], unread["status"]) == (None, 400)


def test_a_defect_is_raised_for_lambda_to_record_and_has_its_line(lines: list[str]) -> None:
    broken = Handler(None, "petroleum-endpoint", log=lines.append)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        broken(event())
    assert json.loads(lines[0])["status"] == 500


def test_lambda_finds_its_entry_point(server: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    for name, value in {
        "ENDPOINT_NAME": "petroleum-endpoint",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": server.url,
    }.items():
        monkeypatch.setenv(name, value)
    server.script()
    function = importlib.import_module("containers.gateway.function")
    assert function.handler(event(), None)["statusCode"] == 200
