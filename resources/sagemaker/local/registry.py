"""The operations of models and of the model registry."""

import time
from pathlib import Path

from resources.sagemaker.local.base import Base, exists, unsupported
from resources.sagemaker.local.listing import page
from resources.sagemaker.local.store import (
    MODEL,
    MODEL_PACKAGE,
    MODEL_PACKAGE_GROUP,
    Wire,
    exclusive,
    get_json,
    put_json,
)
from resources.sagemaker.local.wire import AwsError, invalid

_NOBODY: Wire = {}
"""The user profile behind a resource: there is none outside SageMaker Studio."""
_RUN = ("Image", "ModelDataUrl", "ModelDataSource", "Environment")
_UPDATED = (
    *("ModelApprovalStatus", "ApprovalDescription", "InferenceSpecification", "SourceUri", "ModelCard"),
    *("ModelLifeCycle", "ModelPackageRegistrationType"),
)

_LEFT_OUT_IF_EMPTY = frozenset({"CustomerMetadataProperties", "AdditionalInferenceSpecifications"})


class Registry(Base):
    """Models, model package groups and model packages."""

    def create_model(self, request: Wire) -> Wire:
        """CreateModel. What the model's package says is kept with it: the package may change or go."""
        name = request["ModelName"]
        containers = [request["PrimaryContainer"]] if "PrimaryContainer" in request else request.get("Containers", [])
        if not containers:
            raise invalid("Either PrimaryContainer or Containers must be specified.")
        if len(containers) > 1:
            raise unsupported("A model of several containers")
        resolved = self._resolved(containers[0])
        arn = self._new(MODEL, name, request, {"resolved": resolved}, taken=exists(MODEL, name))
        return {"ModelArn": arn}

    def describe_model(self, request: Wire) -> Wire:
        """DescribeModel."""
        return self._found(MODEL, request["ModelName"])

    def delete_model(self, request: Wire) -> Wire:
        """DeleteModel. Endpoints that serve it go on."""
        if not self.store.remove(MODEL, request["ModelName"]):
            raise invalid(f'Could not find model "{MODEL.arn(request["ModelName"])}".')
        return {}

    def list_models(self, request: Wire) -> Wire:
        """ListModels."""
        return page(MODEL, self._all(MODEL), request, key="Models", ascending=False)

    def create_model_package_group(self, request: Wire) -> Wire:
        """CreateModelPackageGroup."""
        name = request["ModelPackageGroupName"]
        taken = invalid(f"Model Package Group already exists: {MODEL_PACKAGE_GROUP.arn(name)}")
        status = {"ModelPackageGroupStatus": "Completed", "CreatedBy": _NOBODY, "last_version": 0}
        return {"ModelPackageGroupArn": self._new(MODEL_PACKAGE_GROUP, name, request, status, taken=taken)}

    def describe_model_package_group(self, request: Wire) -> Wire:
        """DescribeModelPackageGroup."""
        return self._group(_name(request["ModelPackageGroupName"]))

    def list_model_package_groups(self, request: Wire) -> Wire:
        """ListModelPackageGroups."""
        groups = self._all(MODEL_PACKAGE_GROUP)
        return page(MODEL_PACKAGE_GROUP, groups, request, key="ModelPackageGroupSummaryList", ascending=True)

    def delete_model_package_group(self, request: Wire) -> Wire:
        """DeleteModelPackageGroup; it must be empty."""
        name = _name(request["ModelPackageGroupName"])
        self._group(name)
        with exclusive(self.root / "registry.lock"):
            if self._versions(name):
                raise AwsError("ConflictException", f"Model Package Group {name} cannot be deleted: it is not empty.")
            self.store.remove(MODEL_PACKAGE_GROUP, name)
        return {}

    def create_model_package(self, request: Wire) -> Wire:
        """CreateModelPackage: the next version of a group."""
        if "ModelPackageName" in request and "ModelPackageGroupName" in request:
            raise invalid(
                "Both ModelPackageName and ModelPackageGroupName are provided in the input. "
                "Cannot determine which one to use."
            )
        if "ModelPackageName" in request:
            raise unsupported("A model package outside a group")
        if "ModelPackageGroupName" not in request:
            raise invalid("Missing ARN.")
        if request.get("Tags"):
            raise invalid("Tags are not allowed on a versioned model package; tag its group.")
        group = _name(request["ModelPackageGroupName"])
        with exclusive(self.root / "registry.lock"):
            self._group(group)
            home = self.store.folder(MODEL_PACKAGE_GROUP, group)
            counted = get_json(home / "status.json")
            version = counted["last_version"] + 1
            put_json(home / "status.json", counted | {"last_version": version})
            asked = request | {"ModelPackageGroupName": group, "ModelPackageVersion": version}
            name = f"{group}/{version}"
            status = {
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "ModelApprovalStatus": request.get("ModelApprovalStatus", "PendingManualApproval"),
                "CreatedBy": _NOBODY,
            }
            arn = self._new(MODEL_PACKAGE, name, asked, status, taken=exists(MODEL_PACKAGE, name))
        return {"ModelPackageArn": arn}

    def describe_model_package(self, request: Wire) -> Wire:
        """DescribeModelPackage, by ARN or by ``group/version``."""
        package = self._package(_name(request["ModelPackageName"]))
        told = {key: value for key, value in package.items() if value or key not in _LEFT_OUT_IF_EMPTY}
        return told | {"ModelPackageName": package["ModelPackageGroupName"]}

    def update_model_package(self, request: Wire) -> Wire:
        """UpdateModelPackage: approval, metadata and description."""
        arn = request["ModelPackageArn"]
        name = _name(arn)
        self._package(name)
        home = self.store.folder(MODEL_PACKAGE, name)
        with exclusive(home / "update.lock"):
            record = self._package(name)
            changes = {key: request[key] for key in _UPDATED if key in request}
            gone = request.get("CustomerMetadataPropertiesToRemove", [])
            metadata = record.get("CustomerMetadataProperties", {}) | request.get("CustomerMetadataProperties", {})
            metadata = {key: value for key, value in metadata.items() if key not in gone}
            more = request.get("AdditionalInferenceSpecificationsToAdd", [])
            specifications = record.get("AdditionalInferenceSpecifications", []) + more
            changes |= {
                "CustomerMetadataProperties": metadata,
                "AdditionalInferenceSpecifications": specifications,
                "LastModifiedTime": time.time(),
                "LastModifiedBy": _NOBODY,
            }
            put_json(home / "status.json", get_json(home / "status.json") | changes)
        return {"ModelPackageArn": MODEL_PACKAGE.arn(name)}

    def list_model_packages(self, request: Wire) -> Wire:
        """ListModelPackages. Without a group or a type only unversioned ones, of which there are none here."""
        if "ModelPackageGroupName" in request:
            group = _name(request["ModelPackageGroupName"])
            self._group(group)
            names = self._versions(group)
        elif request.get("ModelPackageType", "Unversioned") == "Unversioned":
            names = []
        else:
            names = [name for group in self.store.names(MODEL_PACKAGE_GROUP) for name in self._versions(group)]
        approval = request.get("ModelApprovalStatus")
        records = (self.store.read(MODEL_PACKAGE, name) for name in names)
        kept = [
            record for record in records if record is not None and approval in (None, record["ModelApprovalStatus"])
        ]
        listed = page(MODEL_PACKAGE, kept, request, key="ModelPackageSummaryList", ascending=True)
        summaries = [
            {key: value for key, value in record.items() if key != "ModelPackageName"}
            for record in listed["ModelPackageSummaryList"]
        ]
        return listed | {"ModelPackageSummaryList": summaries}

    def delete_model_package(self, request: Wire) -> Wire:
        """DeleteModelPackage. Its number is not given out again."""
        name = _name(request["ModelPackageName"])
        self._package(name)
        self.store.remove(MODEL_PACKAGE, name)
        return {}

    def _group(self, name: str) -> Wire:
        missing = invalid(f"ModelPackageGroup {MODEL_PACKAGE_GROUP.arn(name)} does not exist.")
        return self._found(MODEL_PACKAGE_GROUP, name, missing=missing)

    def _package(self, name: str) -> Wire:
        missing = invalid(f"ModelPackage {MODEL_PACKAGE.arn(name)} does not exist.")
        if "/" not in name:
            raise missing
        return self._found(MODEL_PACKAGE, name, missing=missing)

    def _versions(self, group: str) -> list[str]:
        folder: Path = self.store.folder(MODEL_PACKAGE, group)
        return [f"{group}/{version.name}" for version in folder.iterdir()] if folder.is_dir() else []

    def _resolved(self, container: Wire) -> Wire:
        """What a container runs: image, model data and environment, from its package where it names one."""
        if container.get("Mode", "SingleModel") != "SingleModel":
            raise unsupported("A multi-model container")
        resolved = {key: container[key] for key in _RUN if key in container}
        if "ModelPackageName" in container:
            package = self._package(_name(container["ModelPackageName"]))
            if package["ModelApprovalStatus"] != "Approved":
                raise invalid(
                    f"Cannot create a model from ModelPackage {package['ModelPackageArn']}: its approval status is "
                    f"{package['ModelApprovalStatus']}, not Approved."
                )
            packed = package["InferenceSpecification"]["Containers"][0]
            environment = packed.get("Environment", {}) | container.get("Environment", {})
            resolved = {key: packed[key] for key in _RUN if key in packed} | {"Environment": environment}
        if "Image" not in resolved:
            raise invalid("A container must have an Image or a ModelPackageName.")
        source = resolved.get("ModelDataSource", {}).get("S3DataSource")
        uri = source["S3Uri"] if source else resolved.get("ModelDataUrl")
        if uri is not None:
            self._check_address(uri)
            found, said = self._names(uri)
            if not found:
                raise invalid(f"Could not find model data at {uri}.{said}")
        return resolved


def _name(name_or_arn: str) -> str:
    """The name in a name or an ARN; that of a model package is ``group/version``."""
    if not name_or_arn.startswith("arn:"):
        return name_or_arn
    return name_or_arn.rpartition(":")[2].partition("/")[2]
