"""What a request may not ask for although its shape allows it."""

import pytest
from botocore.exceptions import ClientError

S3 = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/"}


def algorithm(**changes):
    return {"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File"} | changes}


def channels(*names, **source):
    found = [{"ChannelName": name, "DataSource": {"S3DataSource": S3 | source}} for name in names]
    return {"InputDataConfig": found}


def metric(regex):
    return algorithm(MetricDefinitions=[{"Name": "mse", "Regex": regex}])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(metric("("), "no regular expression", id="metric that does not compile"),
        pytest.param(metric("mse"), "no group", id="metric without a group"),
        pytest.param({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "TrainingImage", id="no image"),
        pytest.param(
            {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 9}},
            "Invalid MaxWaitTimeInSeconds",
            id="spot without a wait",
        ),
        pytest.param(
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 8},
            },
            "Invalid MaxWaitTimeInSeconds",
            id="wait shorter than the run",
        ),
        pytest.param(
            {"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 10}},
            "EnableManagedSpotTraining",
            id="wait without spot",
        ),
        pytest.param(channels("a", "a"), "Duplicate channel names", id="channel named twice"),
        pytest.param(channels(".."), "not a channel name", id="channel elsewhere"),
        pytest.param(channels("a", S3Uri="s3://bucket/../x"), "leads out of its bucket", id="key that escapes"),
        pytest.param(channels("a", S3Uri="https://host/key"), "not an s3://bucket/key address", id="not s3"),
        pytest.param(channels("a", S3DataType="ManifestFile"), "ManifestFile is not supported", id="manifest"),
        pytest.param(algorithm(TrainingInputMode="Pipe") | channels("a"), "Pipe mode is not supported", id="pipe"),
        pytest.param(
            {"CheckpointConfig": {"S3Uri": "s3://bucket/c", "LocalPath": "/tmp/c"}}, "below /opt/ml", id="local path"
        ),
        pytest.param(
            {"OutputDataConfig": {"S3OutputPath": "s3://Bad_Bucket/x"}}, "not a bucket name", id="bucket name"
        ),
        pytest.param(
            {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}},
            "is 1 Instances, with current utilization of 0 Instances and a request delta of 2",
            id="two instances",
        ),
    ],
)
def test_a_training_job_is_refused(local, changes, words):
    local.put("s3://bucket/data/a", "1")
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_training_job(**local.training_request("job", **changes))
    assert local.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def processing_input(**source):
    whole = {"S3Uri": "s3://bucket/x", "LocalPath": "/opt/ml/processing/input/a", "S3DataType": "S3Prefix"} | source
    return {"InputName": "a", "S3Input": whole}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param([processing_input(LocalPath="/opt/ml/processing/../x")], "below /opt/ml/processing", id="up"),
        pytest.param([processing_input(LocalPath="/tmp/x")], "below /opt/ml/processing", id="elsewhere"),
        pytest.param([processing_input(), processing_input()], "LocalPath of its own", id="same path twice"),
        pytest.param([processing_input(S3DataType="ManifestFile")], "not supported", id="manifest"),
        pytest.param([{"InputName": "a"}], "not supported", id="no source"),
    ],
)
def test_a_processing_job_is_refused(local, changes, words):
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_processing_job(**local.processing_request("job", ProcessingInputs=changes))


SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        pytest.param({}, "or else a ServerlessConfig", id="nothing to run on"),
        pytest.param({"ServerlessConfig": SERVERLESS | {"MemorySizeInMB": 1500}}, "not 1500", id="odd memory"),
        pytest.param(
            {"ServerlessConfig": SERVERLESS, "InstanceType": "ml.t2.medium"}, "both a ServerlessConfig", id="both"
        ),
        pytest.param(
            {"ServerlessConfig": SERVERLESS | {"ProvisionedConcurrency": 6}}, "more than MaxConcurrency", id="too warm"
        ),
        pytest.param({"ModelName": "none", "ServerlessConfig": SERVERLESS}, "Could not find model", id="no model"),
    ],
)
def test_an_endpoint_configuration_is_refused(local, variant, words):
    local.sagemaker.create_model(ModelName="m", ExecutionRoleArn=local.role, PrimaryContainer={"Image": "i"})
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_endpoint_config(
            EndpointConfigName="c", ProductionVariants=[{"VariantName": "v", "ModelName": "m"} | variant]
        )


@pytest.mark.parametrize(
    ("container", "words"),
    [
        pytest.param({}, "Image or a ModelPackageName", id="no image"),
        pytest.param({"Image": "i", "ModelDataUrl": "s3://bucket/none.tar.gz"}, "Could not find model data", id="data"),
        pytest.param({"Image": "i", "Mode": "MultiModel"}, "not supported", id="several models"),
        pytest.param({"ModelPackageName": "none/1"}, "does not exist", id="no package"),
    ],
)
def test_a_model_is_refused(local, container, words):
    with pytest.raises(ClientError, match=words):
        local.sagemaker.create_model(ModelName="m", ExecutionRoleArn=local.role, PrimaryContainer=container)
