"""One kind of job through boto3: described, created, stopped, with the patience that each needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from resources.aws import error_code, is_missing
from resources.sagemaker.pipes.errors import EnvironmentTooLongError, JobRequestError
from resources.sagemaker.pipes.kinds import JobKind, Request
from resources.sagemaker.pipes.patience import Patience

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


class NotToBeHadError(Exception):
    """A job was not created: the account's quota has no instance of its type left."""


@dataclass(frozen=True)
class JobControl:
    """The jobs of one kind.

    Attributes:
        client: boto3 client of SageMaker.
        kind: Their kind.
        patience: How long calls are tried again.
        warn: Told of waits.
    """

    client: "SageMakerClient"
    kind: JobKind
    patience: Patience
    warn: Callable[[str], object]

    def describe(self, name: str) -> Request | None:
        """The description of a job; None where there is none."""
        from botocore.exceptions import ClientError

        try:
            found: Request = self._ask(f"follow SageMaker job {name}, which goes on by itself", "describe", name)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        return found

    def create(self, request: Request) -> str | None:
        """Create a job; gives its ARN, or None where one of its name is there already.

        Raises:
            NotToBeHadError: There is no instance of its type.
            JobRequestError: SageMaker refuses the request.
        """
        from botocore.exceptions import ClientError, ParamValidationError

        name = self.kind.name(request)
        self._check_environment(name, request)
        create = getattr(self.client, f"create_{self.kind.api}")
        try:
            made = self.patience.ask(f"create SageMaker job {name}", lambda: create(**request), warn=self.warn)
        except ParamValidationError as error:
            raise JobRequestError(name=name, said=str(error)) from error
        except ClientError as error:
            match error_code(error):
                case "ResourceInUse":
                    return None
                case "ResourceLimitExceeded":
                    raise NotToBeHadError(error.response["Error"]["Message"]) from error
                case code:
                    raise JobRequestError(name=name, said=f"{code}: {error.response['Error']['Message']}") from error
        return str(made[f"{self.kind.noun}Arn"])

    def stop(self, name: str, *, within_s: float | None = None) -> None:
        """Tell a job to stop; nothing happens where it has ended by itself, or never began.

        Args:
            name: The job.
            within_s: Patience for this call, where it is another one.
        """
        from botocore.exceptions import ClientError

        patience = self.patience if within_s is None else replace(self.patience, within_s=within_s)
        try:
            self._ask(f"stop SageMaker job {name}: stop it in the console", "stop", name, patience=patience)
        except ClientError as error:
            # It ended by itself meanwhile, or was not created yet; anything else must be seen.
            if "in status" not in str(error) and not is_missing(error):
                raise

    def longest_value(self) -> int | None:
        """Characters that a value in the environment of a job may have; None where it has no environment."""
        shape = self._environment
        return None if shape is None else int(shape.value.metadata["max"])

    @property
    def _environment(self) -> Any:  # noqa: ANN401 - botocore's shape
        operations = self.client.meta.service_model
        operation = self.client.meta.method_to_api_mapping[f"create_{self.kind.api}"]
        return operations.operation_model(operation).input_shape.members.get("Environment")  # type: ignore[union-attr]

    def _check_environment(self, name: str, request: Request) -> None:
        longest = self.longest_value()
        for variable, value in request.get("Environment", {}).items():
            if longest is not None and len(value) > longest:
                raise EnvironmentTooLongError(name=name, variable=variable, length=len(value), longest=longest)

    def _ask(self, what: str, verb: str, name: str, *, patience: Patience | None = None) -> Any:  # noqa: ANN401
        call = getattr(self.client, f"{verb}_{self.kind.api}")
        return (patience or self.patience).ask(what, lambda: call(**{self.kind.name_field: name}), warn=self.warn)
