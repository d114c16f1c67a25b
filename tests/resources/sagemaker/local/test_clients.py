"""Clients of the twin, and what stands for images."""

import http.client
import io
import subprocess
import sys
from pathlib import Path

import pytest

from resources.sagemaker.local.clients import local_client, register_image
from resources.sagemaker.local.processes import inherited_environment


def test_a_client_of_another_service_is_refused(root):
    with pytest.raises(ValueError, match="no local 's3'"):
        local_client("s3", root)


def test_the_users_credentials_and_endpoints_are_not_asked(root, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    assert local_client("sagemaker", root).list_models()["Models"] == []


def test_a_registered_image_keeps_the_others(local):
    register_image(local.root, "one", {"train": [sys.executable, "-c", "print('one')"]})
    register_image(local.root, "two", {"train": [sys.executable, "-c", "print('two')"]})
    for image in ("one", "two"):
        local.train(image, AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"})
        assert local.lines("TrainingJobs", f"{image}/") == [image]


def test_a_body_may_be_a_file(twin, echo):
    twin.command(serve=echo)
    twin.config("c")
    twin.endpoint("e", "c")
    assert twin.invoke("e", io.BytesIO(b"from a file"))["body"] == "from a file"


def test_a_body_without_a_length_is_refused_over_http(over_http):
    connection = http.client.HTTPConnection(over_http.sagemaker.meta.endpoint_url.removeprefix("http://"))
    connection.putrequest("POST", "/endpoints/e/invocations")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 411
    answer.read()
    connection.close()


def test_a_fault_of_the_twin_is_answered_and_shown(over_http, caplog):
    (over_http.root / "model").write_text("not a folder")
    connection = http.client.HTTPConnection(over_http.sagemaker.meta.endpoint_url.removeprefix("http://"))
    connection.request("POST", "/", b"{}", {"X-Amz-Target": "SageMaker.ListModels"})
    answer = connection.getresponse()
    assert answer.status == 500
    answer.read()
    connection.close()
    assert "NotADirectoryError" in caplog.text


def test_only_what_is_needed_of_the_environment_is_passed_on():
    environment = dict.fromkeys(("PATH", "LC_TIME", "PYTHONPATH", "AWS_TOKEN", "FORECAST_KEY", "PATHS"), "x")
    assert set(inherited_environment(environment)) == {"PATH", "LC_TIME", "PYTHONPATH"}


def test_a_supervisor_needs_the_standard_library_alone():
    source = Path(__file__).parents[4] / "resources/sagemaker/local"
    script = (
        "import sys, types\n"
        "for name, path in (('resources', sys.argv[1] + '/../..'), ('resources.sagemaker', sys.argv[1] + '/..'),"
        " ('resources.sagemaker.local', sys.argv[1])):\n"
        "    sys.modules[name] = types.ModuleType(name); sys.modules[name].__path__ = [path]\n"
        "import resources.sagemaker.local.supervisor\n"
        "print('http.client' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, str(source)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
