"""What the product does not do: run data as code, listen beyond this machine, read requests without bounds."""

import ast
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from resources.sagemaker.local import http as twin
from resources.sagemaker.local.http import BODY_LIMIT_BYTES, LocalServer
from resources.sagemaker.local.operations import LocalSageMaker
from tests.world import ROOT

ROOMS = ("forecasting", "containers", "resources", "forecast_assets", "jobs", "sensors")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]

# Each of them turns data into code, or a text into a command.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "codeop"}
CALLS = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "tempfile.mktemp"),
    *(
        "yaml.unsafe_load",
        "yaml.full_load",
        "pd.eval",
        "pd.read_pickle",
        "runpy.run_path",
        "runpy.run_module",
    ),
}
ARGUMENTS = {"allow_pickle", "shell"}


def findings(source: str, name: str) -> list[str]:
    """What a source says that could run data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            found += [f"{line} imports {each.name}" for each in node.names if each.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(f"{line} imports {node.module}")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS:
                found.append(f"{line} calls {called}")
            if called == "yaml.load" and ast.unparse(node.args[1] if len(node.args) > 1 else node) != "_Loader":
                found.append(f"{line} calls yaml.load")
            if called == "np.load" and "allow_pickle" not in {each.arg for each in node.keywords}:
                found.append(f"{line} calls np.load and does not say that it takes no pickles")
            found += [
                f"{line} passes {each.arg}"
                for each in node.keywords
                if each.arg in ARGUMENTS and ast.unparse(each.value) != "False"
            ]
            if called.endswith("extractall") and not {"filter", "members"} & {each.arg for each in node.keywords}:
                found.append(f"{line} extracts without a filter")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_in_the_product_runs_data(path: Path) -> None:
    assert findings(path.read_text(), str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "np.load(f)",
        "f(a, allow_pickle=True)",
        "run(a, shell=True)",
        "yaml.load(text, yaml.Loader)",
        "yaml.load(text)",
        "tar.extractall(folder)",
        "os.system(text)",
    ],
)
def test_the_search_finds_what_would(source: str) -> None:
    assert len(findings(source, "x.py")) == 1


def test_the_loader_of_settings_is_a_safe_one() -> None:
    import yaml

    from forecast_assets.settings_file import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)


def test_dagsters_webserver_listens_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forecast_assets.cli import main

    started = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS", ""))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("os.execv", lambda _, arguments: started.append(arguments))
    assert CliRunner().invoke(main, ["ui", "--port", "3456"]).exit_code == 0
    [arguments] = started
    assert arguments[arguments.index("-h") + 1] == "127.0.0.1"
    assert arguments[arguments.index("-p") + 1] == "3456"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setattr(twin._Handler, "timeout", 0.5)
    with LocalServer(LocalSageMaker(tmp_path), 0) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def status(server: LocalServer, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest("POST", "/", skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse().status
    connection.close()
    return answer


def test_the_control_plane_listens_on_loopback(server: LocalServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"Host": "127.0.0.1", "Content-Length": "0"}, 400, id="as it should be, but no operation"),
        pytest.param({"Host": "localhost:5101", "Content-Length": "0"}, 400, id="localhost"),
        pytest.param({"Host": "rebound.example:5101", "Content-Length": "0"}, 421, id="a name of somebody else's"),
        pytest.param({"Host": "127.0.0.1"}, 411, id="no length"),
        pytest.param({"Host": "127.0.0.1", "Content-Length": "-1"}, 400, id="a negative length"),
        pytest.param({"Host": "127.0.0.1", "Content-Length": "ten"}, 400, id="a length in words"),
        pytest.param({"Host": "127.0.0.1", "Content-Length": str(BODY_LIMIT_BYTES + 1)}, 413, id="too long"),
        pytest.param({"Host": "127.0.0.1", "Content-Length": "9" * 400}, 413, id="far too long"),
    ],
)
def test_the_control_plane_reads_no_request_without_bounds(
    server: LocalServer, headers: dict[str, str], expected: int
) -> None:
    assert status(server, headers) == expected


def test_the_control_plane_lets_go_of_who_says_nothing(server: LocalServer) -> None:
    for sent in (b"", b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{"):
        with socket.create_connection(server.server_address, timeout=10) as connection:
            connection.sendall(sent)
            assert connection.recv(1000) == b""  # closed, within the ten seconds that this waits
