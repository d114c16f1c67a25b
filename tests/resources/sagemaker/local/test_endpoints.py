"""Endpoints: created, invoked, updated without a dropped request, rolled back, restarted, deleted."""

import json
import os
import signal
import tarfile
import threading
import time
import urllib.request

import pytest
from botocore.exceptions import ClientError, WaiterError

from resources.sagemaker.local.clients import endpoint_url, local_client


@pytest.fixture
def serving(twin, echo):
    twin.command(serve=echo)
    return twin


@pytest.fixture
def served(local, echo):
    local.command(serve=echo)
    return local


def pack_model(twin, uri):
    twin.put("s3://bucket/model.json", '{"a": 1}')
    with tarfile.open(twin.file(uri), "w:gz") as archive:
        archive.add(twin.file("s3://bucket/model.json"), "model.json")


def test_an_endpoint_lives_from_its_model_to_its_end(serving):
    pack_model(serving, "s3://bucket/model.tar.gz")
    serving.config("c", {"VERSION": "one"}, ModelDataUrl="s3://bucket/model.tar.gz")
    endpoint = serving.endpoint("e", "c")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "c")
    (variant,) = endpoint["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    assert variant["DeployedImages"][0]["SpecifiedImage"] == serving.image
    serving.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e")

    answer = serving.runtime.invoke_endpoint(EndpointName="e", Body=b"hello", ContentType="text/plain")
    said = json.loads(answer["Body"].read())
    assert (said["version"], said["body"], said["type"]) == ("one", "hello", "text/plain")
    assert json.loads(said["model"]) == {"a": 1}
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "AllTraffic")
    assert serving.lines("Endpoints/e", "AllTraffic/") == ["serving one"]

    listed = serving.sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]
    assert [item["EndpointName"] for item in listed] == ["e"]
    serving.sagemaker.delete_endpoint(EndpointName="e")
    waiter = serving.sagemaker.get_waiter("endpoint_deleted")
    waiter.wait(EndpointName="e", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})
    with pytest.raises(ClientError, match="Endpoint e of account 000000000000 not found"):
        serving.invoke("e")
    assert serving.lines("Endpoints/e", "AllTraffic/") == ["serving one"]
    serving.sagemaker.delete_endpoint_config(EndpointConfigName="c")
    assert serving.sagemaker.list_endpoint_configs()["EndpointConfigs"] == []


def test_an_instance_based_endpoint_reports_its_instances(served):
    served.sagemaker.create_model(ModelName="m", ExecutionRoleArn=served.role, PrimaryContainer={"Image": served.image})
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1}
    served.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    (shown,) = served.endpoint("e", "c")["ProductionVariants"]
    assert (shown["CurrentInstanceCount"], shown["DesiredInstanceCount"]) == (1, 1)


def test_the_model_of_an_approved_package_is_served(served):
    pack_model(served, "s3://bucket/model.tar.gz")
    served.sagemaker.create_model_package_group(ModelPackageGroupName="g")
    container = {
        "Image": served.image,
        "ModelDataUrl": "s3://bucket/model.tar.gz",
        "Environment": {"VERSION": "package"},
    }
    arn = served.sagemaker.create_model_package(
        ModelPackageGroupName="g",
        ModelApprovalStatus="Approved",
        InferenceSpecification={"Containers": [container]},
    )["ModelPackageArn"]
    served.sagemaker.create_model(
        ModelName="c", ExecutionRoleArn=served.role, PrimaryContainer={"ModelPackageName": arn}
    )
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    variant = {"VariantName": "v", "ModelName": "c", "ServerlessConfig": serverless}
    served.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    served.endpoint("e", "c")
    said = served.invoke("e")
    assert (said["version"], json.loads(said["model"])) == ("package", {"a": 1})


@pytest.mark.parametrize(
    ("environment", "source"),
    [({"PING": "500"}, None), ({}, "raise SystemExit(1)")],
    ids=["never well", "ends at once"],
)
def test_an_endpoint_that_does_not_answer_its_ping_fails(served, monkeypatch, environment, source):
    monkeypatch.setenv("SAGEMAKER_LOCAL_STARTUP_S", "0.5")
    if source:
        served.command(serve=source)
    served.config("c", environment)
    endpoint = served.endpoint("e", "c")
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert endpoint_url(served.root, "e") is None
    with pytest.raises(WaiterError):
        served.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e")
    served.sagemaker.delete_endpoint(EndpointName="e")
    waiter = served.sagemaker.get_waiter("endpoint_deleted")
    waiter.wait(EndpointName="e", WaiterConfig={"Delay": 0.05, "MaxAttempts": 100})


def test_unsafe_model_data_fails_the_endpoint(served, tmp_path):
    served.put("s3://bucket/x", "x")
    with tarfile.open(served.file("s3://bucket/model.tar.gz"), "w:gz") as archive:
        archive.add(served.file("s3://bucket/x"), "../../escape")
    served.config("c", ModelDataUrl="s3://bucket/model.tar.gz")
    assert "outside the destination" in served.endpoint("e", "c")["FailureReason"]
    assert not list(tmp_path.rglob("escape"))


def test_a_failed_update_rolls_back(serving, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_LOCAL_STARTUP_S", "1.5")
    serving.config("good", {"VERSION": "good"})
    serving.config("bad", {"VERSION": "bad", "PING": "500"})
    serving.config("better", {"VERSION": "better"})
    serving.endpoint("e", "good")
    serving.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="bad")
    assert serving.sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Updating"
    for refused in (
        lambda: serving.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="better"),
        lambda: serving.sagemaker.delete_endpoint(EndpointName="e"),
    ):
        with pytest.raises(ClientError, match='Cannot update in-progress endpoint "arn'):
            refused()
    assert serving.invoke("e")["version"] == "good"
    endpoint = serving.settled("e")
    assert (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]) == ("InService", "good")
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert serving.invoke("e")["version"] == "good"
    serving.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="better")
    endpoint = serving.settled("e")
    assert endpoint["EndpointConfigName"] == "better"
    assert "FailureReason" not in endpoint
    assert serving.invoke("e")["version"] == "better"


def test_an_endpoint_moves_to_instances_and_never_back(served):
    served.config("serverless")
    variant = {"VariantName": "v", "ModelName": "serverless", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1}
    served.sagemaker.create_endpoint_config(EndpointConfigName="instances", ProductionVariants=[variant])
    served.endpoint("e", "serverless")
    served.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="instances")
    assert served.settled("e")["EndpointConfigName"] == "instances"
    with pytest.raises(ClientError, match="from instances to serverless"):
        served.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="serverless")


@pytest.mark.parametrize("gone", ["old", "new"])
def test_an_update_needs_both_configurations(served, gone):
    for name in ("old", "new"):
        served.config(name)
    served.endpoint("e", "old")
    served.sagemaker.delete_endpoint_config(EndpointConfigName=gone)
    with pytest.raises(ClientError, match=f'Could not find endpoint configuration "arn:.*/{gone}"'):
        served.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="new")


def poll(twin, stop, failures, seen, body=b"sleep 0.01"):
    client = local_client("sagemaker-runtime", twin.root)
    while not stop.is_set():
        try:
            answer = client.invoke_endpoint(EndpointName="e", Body=body)
            if answer["ResponseMetadata"]["RetryAttempts"]:
                failures.append("retried")
            seen.append(json.loads(answer["Body"].read())["version"])
        except ClientError as error:
            failures.append(str(error))


def update_under_load(twin, *, pollers, updates):
    for number in range(updates + 1):
        twin.config(f"c{number}", {"VERSION": str(number)})
    twin.endpoint("e", "c0")
    stop, failures, seen = threading.Event(), [], []
    threads = [threading.Thread(target=poll, args=(twin, stop, failures, seen)) for _ in range(pollers)]
    for thread in threads:
        thread.start()
    try:
        for number in range(updates + 1):
            if number:
                twin.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=f"c{number}")
                assert twin.settled("e")["EndpointConfigName"] == f"c{number}"
            deadline = time.monotonic() + 30
            while str(number) not in seen:  # every version answers some poller before the next one comes
                assert time.monotonic() < deadline, f"nobody was answered by version {number}"
                time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return failures, seen


def test_updates_drop_no_request(served):
    failures, seen = update_under_load(served, pollers=6, updates=4)
    assert failures == []
    assert set(seen) == set("01234")


@pytest.mark.slow
def test_many_updates_under_many_pollers_drop_no_request(served):
    failures, seen = update_under_load(served, pollers=40, updates=20)
    assert failures == []
    assert len(seen) > 1000


def test_an_update_waits_for_the_request_that_is_being_answered(served, until):
    served.config("old", {"VERSION": "old"})
    served.config("new", {"VERSION": "new"})
    served.endpoint("e", "old")
    pid = served.invoke("e")["pid"]
    answers = []
    client = local_client("sagemaker-runtime", served.root)

    def ask():
        answer = client.invoke_endpoint(EndpointName="e", Body=b"sleep 1")
        answers.append(json.loads(answer["Body"].read())["version"])

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    served.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="new")
    served.settled("e")
    assert served.invoke("e")["version"] == "new"
    assert pid in served.pids()
    thread.join()
    assert answers == ["old"]
    until(lambda: pid not in served.pids(), "end of the old process")


def answered(twin):
    """An answer, or None from a process that is about to be gone: its port takes connections to the last."""
    try:
        return twin.invoke("e")
    except twin.runtime.exceptions.ModelError:
        return None


def test_a_serving_process_that_dies_is_started_again(served, until):
    served.config("c")
    served.endpoint("e", "c")
    pid = served.invoke("e")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: answered(served), "answer")["pid"] != pid
    assert served.sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_a_request_that_ends_its_container_is_a_model_error(served, until):
    served.config("c")
    served.endpoint("e", "c")
    pid = served.invoke("e")["pid"]
    with pytest.raises(served.runtime.exceptions.ModelError, match=r"server error \(0\) from primary"):
        served.invoke("e", b"die")
    assert until(lambda: answered(served), "answer")["pid"] != pid


def test_an_error_of_the_container_is_passed_on(serving):
    serving.config("c")
    serving.endpoint("e", "c")
    with pytest.raises(serving.runtime.exceptions.ModelError) as caught:
        serving.invoke("e", b"refuse")
    error = caught.value.response
    assert 'Received client error (400) from primary with message "not like this"' in error["Error"]["Message"]
    assert (error["OriginalStatusCode"], error["OriginalMessage"]) == (400, "not like this")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_a_body_too_large_for_a_serverless_endpoint_is_refused(served):
    served.config("c")
    served.endpoint("e", "c")
    with pytest.raises(ClientError, match="HTTP content length exceeded 4194304 bytes") as caught:
        served.runtime.invoke_endpoint(EndpointName="e", Body=bytes(4 * 1024 * 1024 + 1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_the_address_of_the_serving_process_follows_the_endpoint(served):
    assert endpoint_url(served.root, "e") is None
    served.config("c", {"VERSION": "direct"})
    served.endpoint("e", "c")
    request = urllib.request.Request(f"{endpoint_url(served.root, 'e')}/invocations", b"{}")
    with urllib.request.urlopen(request) as answer:
        assert json.loads(answer.read())["version"] == "direct"
