"""The gateway image answers events as Lambda brings them: through its runtime client, from a server of Lambda's API."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import images as built_by_hand
from tests.environments import environment
from tests.served import save, small_artifact, start, until_healthy

pytestmark = pytest.mark.slow
NEXT, DONE = "/2018-06-01/runtime/invocation/next", "/2018-06-01/runtime/invocation/"


@dataclass
class Lambda:
    """A server of Lambda's runtime API: gives out events, takes answers. It is the SageMaker runtime as well."""

    model_port: int
    events: "queue.Queue[tuple[str, object] | None]" = field(default_factory=queue.Queue)
    answers: "queue.Queue[tuple[str, object]]" = field(default_factory=queue.Queue)
    invoked: list[str] = field(default_factory=list)

    def ask(self, event: object) -> tuple[str, dict[str, object]]:
        """What the function says to an event: ("response" or "error", its content)."""
        self.events.put((f"request-{len(self.invoked)}", event))
        return self.answers.get(timeout=60)  # type: ignore[return-value]

    def post(self, body: object, **changes: object) -> tuple[str, dict[str, object]]:
        event = {
            "httpMethod": "POST",
            "path": "/forecast",
            "headers": {"Content-Type": "application/json"},
            "queryStringParameters": None,
            "requestContext": {"requestId": "one"},
            "body": body if isinstance(body, str) else json.dumps(body),
            "isBase64Encoded": False,
        }
        return self.ask(event | changes)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                assert self.path == NEXT
                waiting = outer.events.get()
                if waiting is None:
                    self.close_connection = True
                    return
                name, event = waiting
                deadline = str(int((time.time() + 29) * 1000))
                self.answer(
                    200,
                    json.dumps(event).encode(),
                    {
                        "Lambda-Runtime-Aws-Request-Id": name,
                        "Lambda-Runtime-Deadline-Ms": deadline,
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:f",
                        "Content-Type": "application/json",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.startswith(DONE) or self.path.endswith("/init/error"):
                    self.answer(202, b"{}", {"Content-Type": "application/json"})
                    outer.answers.put((self.path.rpartition("/")[2], json.loads(body)))
                    return
                outer.invoked.append(self.path)
                status, kind, said = forwarded(outer.model_port, body, self.headers["Accept"])
                if status == 200:
                    self.answer(200, said, {"Content-Type": kind})
                    return
                error = {
                    "Message": "Received client error",
                    "OriginalStatusCode": status,
                    "OriginalMessage": said.decode(),
                }
                self.answer(424, json.dumps(error).encode(), {"x-amzn-ErrorType": "ModelError"})

        return Handler


def forwarded(port: int, body: bytes, accept: str) -> tuple[int, str, bytes]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json", "Accept": accept})
    response = connection.getresponse()
    found = response.status, response.headers["Content-Type"], response.read()
    connection.close()
    return found


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lambda]:
    environment("gateway")
    folder = tmp_path_factory.mktemp("gateway")
    image = built_by_hand.build("gateway", folder / "image")
    model = start(save(folder / "ml", small_artifact()))
    until_healthy(model)
    made = Lambda(model.port)
    server = ThreadingHTTPServer(("127.0.0.1", 0), made.handler())
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    address = f"127.0.0.1:{server.server_address[1]}"
    started = image.started(
        AWS_LAMBDA_RUNTIME_API=address,
        AWS_LAMBDA_FUNCTION_NAME="f",
        AWS_LAMBDA_FUNCTION_VERSION="1",
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE="256",
        AWS_LAMBDA_LOG_GROUP_NAME="g",
        AWS_LAMBDA_LOG_STREAM_NAME="s",
        AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME=f"http://{address}",
        AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        ENDPOINT_NAME="petroleum-demand",
        HOME=str(folder),
    )
    try:
        yield made
    finally:
        started.kill()
        started.communicate()
        made.events.put(None)
        server.shutdown()
        thread.join()
        server.server_close()
        model.process.terminate()
        model.process.communicate(timeout=30)


def test_an_event_is_answered_with_the_forecast_of_the_model(gateway: Lambda) -> None:
    how, answer = gateway.post({"periods": 3, "conf": 0.9, "series": "WGFUPUS2"})
    assert (how, answer["statusCode"]) == ("response", 200)
    assert gateway.invoked[-1] == "/endpoints/petroleum-demand/invocations"
    rows = json.loads(str(answer["body"]))
    assert [row["date"] for row in rows] == ["2023-11-17", "2023-11-24", "2023-12-01"]


def test_what_the_model_refuses_comes_back_in_its_words(gateway: Lambda) -> None:
    how, answer = gateway.post({"periods": -3, "conf": 0.9, "series": "WGFUPUS2"})
    assert (how, answer["statusCode"]) == ("response", 400)
    assert json.loads(str(answer["body"]))["field"] == "periods"


def test_the_loop_goes_on_after_a_refusal(gateway: Lambda) -> None:
    asked = len(gateway.invoked)
    how, answer = gateway.post("{not json")
    assert (how, answer["statusCode"]) == ("response", 400)
    assert len(gateway.invoked) == asked
    how, answer = gateway.post({"periods": 1, "conf": 0.9, "series": "WGFUPUS2"})
    assert (how, answer["statusCode"]) == ("response", 200)
