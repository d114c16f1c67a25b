"""The operations of batch transform jobs."""

from resources.sagemaker.local.base import unsupported
from resources.sagemaker.local.jobs import Jobs, check_one_instance
from resources.sagemaker.local.listing import page
from resources.sagemaker.local.store import MODEL, REGION, TRANSFORM_JOB, Wire
from resources.sagemaker.local.wire import AwsError, invalid

_MOST_PAYLOAD_MB = 100
_DEFAULT_PAYLOAD_MB = 6


class TransformJobs(Jobs):
    """Batch transform jobs: a model's container, asked with what is under a prefix."""

    def create_transform_job(self, request: Wire) -> Wire:
        """CreateTransformJob. The model's container is kept with it: the model may go."""
        name = request["TransformJobName"]
        model = self._found(MODEL, request["ModelName"])
        self._check_transform(request)
        taken = AwsError(
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name already exists "
            f"({TRANSFORM_JOB.arn(name)})",
        )
        status = {"TransformJobStatus": "InProgress", "resolved": model["resolved"]}
        return {"TransformJobArn": self._new(TRANSFORM_JOB, name, request, status, taken=taken)}

    def describe_transform_job(self, request: Wire) -> Wire:
        """DescribeTransformJob."""
        return self._job(TRANSFORM_JOB, request["TransformJobName"])

    def stop_transform_job(self, request: Wire) -> Wire:
        """StopTransformJob. A job that is stopped stores nothing."""
        return self._stop(TRANSFORM_JOB, request["TransformJobName"])

    def list_transform_jobs(self, request: Wire) -> Wire:
        """ListTransformJobs."""
        jobs = self._all(TRANSFORM_JOB)
        return page(TRANSFORM_JOB, jobs, request, key="TransformJobSummaries", ascending=False)

    def _check_transform(self, request: Wire) -> None:
        check_one_instance(request["TransformResources"], "transform job")
        given, wanted = request["TransformInput"], request["TransformOutput"]
        source = given["DataSource"]["S3DataSource"]
        if source["S3DataType"] != "S3Prefix":
            raise unsupported(f"S3DataType {source['S3DataType']}")
        split = given.get("SplitType", "None")
        if split not in {"None", "Line"}:
            raise unsupported(f"SplitType {split}")
        for key in ("DataProcessing", "DataCaptureConfig"):
            if key in request:
                raise unsupported(key)
        payload_mb, at_once = request.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB), request.get("MaxConcurrentTransforms")
        if payload_mb > _MOST_PAYLOAD_MB or payload_mb * (at_once or 1) > _MOST_PAYLOAD_MB:
            raise invalid(
                f"MaxPayloadInMB ({payload_mb}) times MaxConcurrentTransforms ({at_once or 1}) must not exceed "
                f"{_MOST_PAYLOAD_MB} MB."
            )
        self._check_address(wanted["S3OutputPath"])
        self._check_address(source["S3Uri"])
        found, said = self._names(source["S3Uri"])
        if not found:
            raise invalid(
                f'No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. Please ensure that '
                f"the bucket exists in the selected region ({REGION}) and that objects exist under that S3 prefix."
                f"{said}"
            )
