"""Models and the model registry."""

import threading

import pytest
from botocore.exceptions import ClientError

GROUP = "forecasts"


def register(twin, **changes):
    container = {"Image": twin.image, "ModelDataUrl": "s3://bucket/model.tar.gz", "Environment": {"A": "package"}}
    specification = {"Containers": [container], "SupportedContentTypes": ["application/json"]}
    request = {"ModelPackageGroupName": GROUP, "InferenceSpecification": specification}
    return twin.sagemaker.create_model_package(**(request | changes))["ModelPackageArn"]


@pytest.fixture
def group(twin):
    twin.put("s3://bucket/model.tar.gz", "an archive")
    return twin.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)["ModelPackageGroupArn"]


def test_a_package_is_registered_approved_and_used(twin, group):
    arn = register(twin, CustomerMetadataProperties={"week": "2024-05-17", "old": "1"})
    package = twin.sagemaker.describe_model_package(ModelPackageName=arn)
    assert arn.endswith(f":model-package/{GROUP}/1")
    assert (package["ModelPackageVersion"], package["ModelPackageStatus"]) == (1, "Completed")
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    container = {"ModelPackageName": arn, "Environment": {"B": "container"}}
    with pytest.raises(ClientError, match="PendingManualApproval, not Approved"):
        twin.sagemaker.create_model(ModelName="m", ExecutionRoleArn=twin.role, PrimaryContainer=container)
    twin.sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="checked",
        CustomerMetadataProperties={"by": "me"},
        CustomerMetadataPropertiesToRemove=["old"],
    )
    updated = twin.sagemaker.describe_model_package(ModelPackageName=f"{GROUP}/1")
    assert (updated["ModelApprovalStatus"], updated["ApprovalDescription"]) == ("Approved", "checked")
    assert updated["CustomerMetadataProperties"] == {"week": "2024-05-17", "by": "me"}
    twin.sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataPropertiesToRemove=["week", "by"])
    assert "CustomerMetadataProperties" not in twin.sagemaker.describe_model_package(ModelPackageName=arn)
    assert updated["LastModifiedTime"] > package["CreationTime"]
    twin.sagemaker.create_model(ModelName="m", ExecutionRoleArn=twin.role, PrimaryContainer=container)
    assert twin.sagemaker.describe_model(ModelName="m")["PrimaryContainer"] == container


def test_versions_are_listed_by_approval_in_either_order(twin, group):
    arns = [register(twin, ModelApprovalStatus=status) for status in ("Approved", "Rejected", "Approved")]
    asked = {"ModelPackageGroupName": GROUP, "SortBy": "CreationTime"}
    newest_first = twin.sagemaker.list_model_packages(**asked, SortOrder="Descending", ModelApprovalStatus="Approved")[
        "ModelPackageSummaryList"
    ]
    assert [item["ModelPackageArn"] for item in newest_first] == [arns[2], arns[0]]
    assert all("ModelPackageName" not in item for item in newest_first)
    first = twin.sagemaker.list_model_packages(**asked, MaxResults=1)
    assert [item["ModelPackageVersion"] for item in first["ModelPackageSummaryList"]] == [1]
    rest = twin.sagemaker.list_model_packages(**asked, NextToken=first["NextToken"])
    assert [item["ModelPackageVersion"] for item in rest["ModelPackageSummaryList"]] == [2, 3]
    assert twin.sagemaker.list_model_packages()["ModelPackageSummaryList"] == []
    assert len(twin.sagemaker.list_model_packages(ModelPackageType="Versioned")["ModelPackageSummaryList"]) == 3


def test_a_version_is_never_given_out_twice(twin, group):
    arns = [register(twin), register(twin)]
    twin.sagemaker.delete_model_package(ModelPackageName=arns[1])
    assert register(twin).endswith(f"{GROUP}/3")
    with pytest.raises(ClientError, match=f"{GROUP}/2 does not exist"):
        twin.sagemaker.describe_model_package(ModelPackageName=arns[1])


def test_versions_of_racing_creators_are_one_to_n(local):
    local.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    threads = [threading.Thread(target=register, args=(local,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = local.sagemaker.list_model_packages(ModelPackageGroupName=GROUP, MaxResults=20)
    assert sorted(item["ModelPackageVersion"] for item in listed["ModelPackageSummaryList"]) == list(range(1, 9))


def test_a_group_is_listed_described_and_deleted_once_it_is_empty(twin, group):
    arn = register(twin)
    (listed,) = twin.sagemaker.list_model_package_groups(NameContains="fore")["ModelPackageGroupSummaryList"]
    assert (listed["ModelPackageGroupArn"], listed["ModelPackageGroupStatus"]) == (group, "Completed")
    assert twin.sagemaker.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupName"] == GROUP
    with pytest.raises(ClientError, match="Model Package Group already exists"):
        twin.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    with pytest.raises(twin.sagemaker.exceptions.ConflictException):
        twin.sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)
    twin.sagemaker.delete_model_package(ModelPackageName=arn)
    twin.sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)
    with pytest.raises(ClientError, match="does not exist"):
        twin.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelPackageName": "x"}, "Both ModelPackageName and ModelPackageGroupName"),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "Tags are not allowed"),
        ({"ModelPackageGroupName": "none"}, "does not exist"),
        ({"CustomerMetadataProperties": {"passed": "A,B"}}, "customerMetadataProperties.passed.member.*pattern"),
        ({"CustomerMetadataProperties": {"a": "x" * 257}}, "length less than or equal to 256"),
    ],
    ids=["two names", "tags", "no group", "a comma in a fact", "a long fact"],
)
def test_a_package_is_refused(local, changes, words):
    local.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    with pytest.raises(ClientError, match=words):
        register(local, **changes)


def test_models_are_listed_newest_first_and_deleted(twin):
    for name in ("a", "b"):
        twin.sagemaker.create_model(ModelName=name, ExecutionRoleArn=twin.role, PrimaryContainer={"Image": "i"})
    assert [model["ModelName"] for model in twin.sagemaker.list_models()["Models"]] == ["b", "a"]
    twin.sagemaker.delete_model(ModelName="a")
    for operation in (twin.sagemaker.describe_model, twin.sagemaker.delete_model):
        with pytest.raises(ClientError, match='Could not find model "arn:.*:model/a"'):
            operation(ModelName="a")


def test_tags_are_kept_with_their_resource(twin):
    arn = twin.sagemaker.create_model(
        ModelName="m",
        ExecutionRoleArn=twin.role,
        PrimaryContainer={"Image": "i"},
        Tags=[{"Key": "team", "Value": "a"}],
    )["ModelArn"]
    twin.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}, {"Key": "week", "Value": "1"}])
    twin.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["week"])
    assert twin.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "b"}]


@pytest.mark.parametrize("name", ["model/none", "model/../model/m", "colour/blue", "model-package/../../s3"])
def test_tags_of_what_is_not_there_are_refused(local, name):
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:{name}"
    with pytest.raises(ClientError, match="Could not find resource"):
        local.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
