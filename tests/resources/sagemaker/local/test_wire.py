"""The wire: values over every shape of the services, and what the service refuses in which words."""

import json
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from resources.sagemaker.local.operations import LocalSageMaker
from resources.sagemaker.local.wire import decode, encode, handle, service_model, violations


def sample(shape, within=()):
    """A value of a shape, with every member once; of a union, one member."""
    kind = shape.type_name
    if kind == "structure":
        if shape.name in within:
            return {}
        members = list(shape.members.items())
        if getattr(shape, "is_tagged_union", False):
            members = members[:1]
        return {name: sample(member, (*within, shape.name)) for name, member in members}
    if kind == "list":
        return [sample(shape.member, within)] if shape.member.name not in within else []
    if kind == "map":
        return {"key": sample(shape.value, within)}
    simple = {
        "string": "text",
        "integer": 3,
        "long": 2**40,
        "float": 0.5,
        "double": 0.25,
        "boolean": True,
        "timestamp": datetime(2024, 5, 17, 14, 30, tzinfo=UTC),
        "blob": b"\x00bytes",
    }
    return simple[kind]


@pytest.mark.parametrize("name", ["sagemaker", "logs"])
def test_every_shape_travels_as_botocore_sends_and_reads_it(name):
    model = service_model(name)
    serializer = create_serializer("json", include_validation=False)
    parser = create_parser("json")
    checked = 0
    for operation in map(model.operation_model, model.operation_names):
        if operation.input_shape:
            value = sample(operation.input_shape)
            body = json.loads(serializer.serialize_to_request(value, operation)["body"])
            assert decode(operation.input_shape, body) == value, operation.name
            assert encode(operation.input_shape, value) == body, operation.name
            checked += 1
        if operation.output_shape and not getattr(operation, "has_event_stream_output", False):
            value = sample(operation.output_shape)
            body = json.dumps(encode(operation.output_shape, value)).encode()
            parsed = parser.parse({"status_code": 200, "headers": {}, "body": body}, operation.output_shape)
            del parsed["ResponseMetadata"]
            assert parsed == value, operation.name
            checked += 1
    assert checked > {"sagemaker": 700, "logs": 150}[name]


def call(root, operation, body, prefix="SageMaker"):
    target = {"X-Amz-Target": f"{prefix}.{operation}"}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, headers, payload = handle(LocalSageMaker(root), "POST", "/", target, raw)
    return status, headers.get("x-amzn-errortype"), json.loads(payload)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"TrainingJobName": "bad_name!"},
            "1 validation error detected: Value 'bad_name!' at 'trainingJobName' failed to satisfy constraint: Member "
            "must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
            id="pattern",
        ),
        pytest.param(
            {"TrainingJobName": "a" * 64},
            "at 'trainingJobName' failed to satisfy constraint: Member must have length less than or equal to 63",
            id="length",
        ),
        pytest.param(
            {"RetryStrategy": {"MaximumRetryAttempts": 31}},
            "Value '31' at 'retryStrategy.maximumRetryAttempts' failed to satisfy constraint: Member must have value "
            "less than or equal to 30",
            id="value",
        ),
        pytest.param(
            {"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "Foo"}},
            "Value 'Foo' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must "
            "satisfy enum value set: [Pipe, File, FastFile]",
            id="enumeration",
        ),
        pytest.param(
            {"HyperParameters": {"k": "v" * 2501}},
            "at 'hyperParameters.k.member' failed to satisfy constraint: Member must have length less than or equal",
            id="value of a map",
        ),
        pytest.param(
            {"OutputDataConfig": {"S3OutputPath": "file:///tmp"}},
            "Value 'file:///tmp' at 'outputDataConfig.s3OutputPath' failed to satisfy constraint",
            id="address",
        ),
        pytest.param({"Tags": [{"Key": "k" * 129, "Value": ""}]}, "at 'tags.1.member.key' failed", id="list"),
    ],
)
def test_what_botocore_lets_through_is_refused_in_the_words_of_the_service(local, changes, words):
    with pytest.raises(ClientError) as caught:
        local.sagemaker.create_training_job(**local.training_request("job", **changes))
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert words in error["Message"]
    assert "1 validation error detected" in error["Message"] or "2 validation errors" in error["Message"]


def test_all_violations_are_named_at_once():
    shape = service_model("sagemaker").operation_model("ListTrainingJobs").input_shape
    found = list(violations(shape, {"MaxResults": 101, "SortBy": "Colour", "NameContains": "ok"}))
    assert [line.split("'")[3] for line in found] == ["maxResults", "sortBy"]


@pytest.mark.parametrize(
    ("operation", "body", "code"),
    [
        pytest.param("DescribeTrainingJob", {}, "ValidationException", id="missing member"),
        pytest.param("DescribeTrainingJob", {"TrainingJobName": 3}, "ValidationException", id="wrong type"),
        pytest.param("ListTrainingJobs", {"Colour": "blue"}, "ValidationException", id="unknown member"),
        pytest.param("ListTrainingJobs", {"CreationTimeAfter": "soon"}, "ValidationException", id="no time"),
        pytest.param("ListTrainingJobs", {"CreationTimeAfter": 1e300}, "SerializationException", id="no such time"),
        pytest.param("ListTrainingJobs", b"{", "SerializationException", id="no JSON"),
        pytest.param("CreateCluster", {}, "UnknownOperationException", id="operation that is not here"),
        pytest.param("InvokeEndpoint", {}, "UnknownOperationException", id="operation of another service"),
        pytest.param("__class__", {}, "UnknownOperationException", id="no operation"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_by_name(root, operation, body, code):
    status, kind, payload = call(root, operation, body)
    assert (status, kind, payload["__type"]) == (400, code, code)
    assert payload["message"]


def test_a_null_is_a_member_left_out(root):
    status, _, payload = call(root, "ListTrainingJobs", {"NameContains": None})
    assert (status, payload) == (200, {"TrainingJobSummaries": []})


def test_an_unknown_operation_is_not_retried(over_http):
    with pytest.raises(ClientError) as caught:
        over_http.sagemaker.list_clusters()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


ARN = "arn:aws:sagemaker:us-east-1:000000000000"


def ways_to_be_refused(twin):
    """The error table of the reference: what is asked, and what the service answers."""
    sm = twin.sagemaker
    empty = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/none/"}}}
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.t2.medium", "InitialInstanceCount": 1}
    request = twin.training_request
    return {
        "describe a missing training job": (
            lambda: sm.describe_training_job(TrainingJobName="none"),
            "ValidationException",
            "Requested resource not found.",
        ),
        "create a training job twice": (
            lambda: sm.create_training_job(**request("there")),
            "ResourceInUse",
            "Training job names must be unique within an AWS account and region, and a training job with this name "
            f"already exists ({ARN}:training-job/there)",
        ),
        "create an endpoint configuration twice": (
            lambda: sm.create_endpoint_config(EndpointConfigName="there", ProductionVariants=[variant]),
            "ValidationException",
            f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/there".',
        ),
        "create an endpoint twice": (
            lambda: sm.create_endpoint(EndpointName="there", EndpointConfigName="there"),
            "ValidationException",
            f'Cannot create already existing endpoint "{ARN}:endpoint/there".',
        ),
        "stop a job that has ended": (
            lambda: sm.stop_training_job(TrainingJobName="there"),
            "ValidationException",
            "The request was rejected because the training job is in status Failed.",
        ),
        "a bad name": (
            lambda: sm.create_model(ModelName="bad_name", ExecutionRoleArn=twin.role),
            "ValidationException",
            "1 validation error detected: Value 'bad_name' at 'modelName' failed to satisfy constraint: Member must "
            "satisfy regular expression pattern: [a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?",
        ),
        "an empty prefix": (
            lambda: sm.create_training_job(**request("job", InputDataConfig=[{"ChannelName": "c", **empty}])),
            "ValidationException",
            'No S3 objects found under S3 URL "s3://bucket/none/" given in input data source.',
        ),
        "describe a missing endpoint": (
            lambda: sm.describe_endpoint(EndpointName="none"),
            "ValidationException",
            f'Could not find endpoint "{ARN}:endpoint/none".',
        ),
        "describe a missing model package group": (
            lambda: sm.describe_model_package_group(ModelPackageGroupName="none"),
            "ValidationException",
            f"ModelPackageGroup {ARN}:model-package-group/none does not exist.",
        ),
    }


def test_errors_have_the_codes_and_words_of_the_service(twin):
    twin.train("there")  # there is no image: it fails
    twin.sagemaker.create_model(ModelName="m", ExecutionRoleArn=twin.role, PrimaryContainer={"Image": twin.image})
    for name, (ask, code, words) in ways_to_be_refused(twin).items():
        if name == "create an endpoint configuration twice":
            ask()
        if name == "create an endpoint twice":
            ask()
            twin.settled("there")
        with pytest.raises(ClientError) as caught:
            ask()
        error = caught.value.response["Error"]
        assert (error["Code"], error["Message"][: len(words)]) == (code, words), name
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_modelled_exceptions_are_raised_as_such(twin):
    twin.train("there")
    with pytest.raises(twin.sagemaker.exceptions.ResourceInUse):
        twin.sagemaker.create_training_job(**twin.training_request("there"))
    with pytest.raises(twin.logs.exceptions.ResourceNotFoundException, match="log group does not exist"):
        twin.logs.describe_log_streams(logGroupName="/aws/sagemaker/ProcessingJobs")
