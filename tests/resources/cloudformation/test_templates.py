"""The templates: valid for CloudFormation, small enough for a request, and the bucket as data deserve it."""

from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint_file
from cfnlint.config import ManualArgs

from tests.policies import TEMPLATES, Template, load


@pytest.fixture(scope="module")
def base() -> Template:
    return load(
        "base.yaml", "petroleum-demand", EndpointName="an-endpoint", ModelGroup="a-group", Database="a_database"
    )


def properties(template: Template, name: str) -> Any:
    return template.resources[name]["Properties"]


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.name)
def test_cloudformation_takes_the_template(path: Path) -> None:
    """cfn-lint, with AWS's own schemas of every property; warnings count."""
    assert [str(match) for match in lint_file(path, config=ManualArgs(regions=["us-east-1"]))] == []
    assert len(path.read_bytes()) < 51_200


def test_what_cloudformation_would_not_take_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((TEMPLATES / "base.yaml").read_text().replace("BlockPublicAcls", "BlockPublicAkls"))
    assert any("BlockPublicAkls" in str(match) for match in lint_file(wrong, config=ManualArgs(regions=["us-east-1"])))


def test_the_bucket_is_private_encrypted_and_versioned(base: Template) -> None:
    bucket = properties(base, "Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    [encryption] = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    [policy] = base.resolve(properties(base, "BucketPolicy")["PolicyDocument"])["Statement"]
    assert (policy["Effect"], policy["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_bucket_outlives_the_stack(base: Template) -> None:
    bucket = base.resources["Bucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert [name for name, each in base.resources.items() if each.get("DeletionPolicy", "Delete") != "Delete"] == [
        "Bucket"
    ]


def test_only_what_can_be_made_again_goes_with_age(base: Template) -> None:
    """Versions that were overwritten, uploads that were never finished, the jobs' files, the results of queries."""
    rules = base.resolve(properties(base, "Bucket")["LifecycleConfiguration"]["Rules"])
    current = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    assert current == {"lake/jobs/": 90, "athena/": 7}
    assert [
        rule for rule in rules if "NoncurrentVersionExpiration" in rule and "AbortIncompleteMultipartUpload" in rule
    ]


def test_only_the_bucket_may_tell_the_queue(base: Template) -> None:
    [statement] = base.resolve(properties(base, "LandingQueuePolicy")["PolicyDocument"])["Statement"]
    bucket = base.resolve({"Fn::GetAtt": ["Bucket", "Arn"]})
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": bucket}
    assert statement["Action"] == "sqs:SendMessage"
    [notification] = properties(base, "Bucket")["NotificationConfiguration"]["QueueConfigurations"]
    assert notification["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "landing/"}]


def test_queues_and_topic_are_encrypted_and_lost_messages_kept(base: Template) -> None:
    assert all(properties(base, name)["SqsManagedSseEnabled"] for name in ("LandingQueue", "LandingDeadQueue"))
    assert properties(base, "Alerts")["KmsMasterKeyId"] == "alias/aws/sns"
    queue = properties(base, "LandingQueue")
    held_s = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
    assert 8 * 3600 < held_s < queue["MessageRetentionPeriod"], "an outage of hours sends nothing to the dead"


def test_images_are_scanned_immutable_and_counted(base: Template) -> None:
    repositories = [each["Properties"] for each in base.resources.values() if each["Type"] == "AWS::ECR::Repository"]
    names = {base.resolve(each["RepositoryName"]) for each in repositories}
    assert names == {f"petroleum-demand/{image}" for image in ("processing", "training", "serving", "gateway")}
    for each in repositories:
        assert each["ImageScanningConfiguration"] == {"ScanOnPush": True}
        assert each["ImageTagMutability"] == "IMMUTABLE"
        assert "imageCountMoreThan" in each["LifecyclePolicy"]["LifecyclePolicyText"]


def test_a_query_cannot_read_without_limit(base: Template) -> None:
    configuration = base.resolve(properties(base, "WorkGroup")["WorkGroupConfiguration"])
    assert configuration["BytesScannedCutoffPerQuery"] == 2**30
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert configuration["ResultConfiguration"]["OutputLocation"].endswith("/athena/")
