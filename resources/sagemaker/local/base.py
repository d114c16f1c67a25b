"""What the operations of every kind share: finding a resource, creating one, its tags."""

from pathlib import Path

from resources.sagemaker.local.objects import ObjectError, RefusedError, objects_of
from resources.sagemaker.local.store import (
    KINDS,
    ExistsError,
    Kind,
    Store,
    Wire,
    exclusive,
    get_json,
    put_json,
)
from resources.sagemaker.local.wire import AwsError, invalid

_MOST_TAGS = 50


class Base:
    """The store and the buckets behind the operations.

    Args:
        root: Folder that holds this machine's SageMaker; made where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.root.mkdir(parents=True, exist_ok=True)
        self.store = Store(self.root)
        self.objects = objects_of(self.root)

    def list_tags(self, request: Wire) -> Wire:
        """ListTags."""
        return {"Tags": get_json(self._tagged(request["ResourceArn"]) / "tags.json") or []}

    def add_tags(self, request: Wire) -> Wire:
        """AddTags: a key that is there takes the new value."""
        home = self._tagged(request["ResourceArn"])
        with exclusive(home / "tags.lock"):
            tags = {tag["Key"]: tag for tag in (get_json(home / "tags.json") or []) + request["Tags"]}
            if len(tags) > _MOST_TAGS:
                raise AwsError("ResourceLimitExceeded", f"A resource has at most {_MOST_TAGS} tags.")
            put_json(home / "tags.json", list(tags.values()))
        return {"Tags": list(tags.values())}

    def delete_tags(self, request: Wire) -> Wire:
        """DeleteTags."""
        home = self._tagged(request["ResourceArn"])
        with exclusive(home / "tags.lock"):
            tags = get_json(home / "tags.json") or []
            put_json(home / "tags.json", [tag for tag in tags if tag["Key"] not in request["TagKeys"]])
        return {}

    def _tagged(self, arn: str) -> Path:
        path, _, name = arn.rpartition(":")[2].partition("/")
        for kind in KINDS:
            if kind.path == path and arn == kind.arn(name) and self.store.read(kind, name) is not None:
                return self.store.folder(kind, name)
        raise invalid(f'Could not find resource "{arn}".')

    def _new(self, kind: Kind, name: str, request: Wire, status: Wire, *, taken: AwsError) -> str:
        """Create a resource and return its ARN; ``taken`` is raised where the name is."""
        try:
            self.store.register(kind, name, request, status)
        except ExistsError as error:
            raise taken from error
        return kind.arn(name)

    def _found(self, kind: Kind, name: str, *, missing: AwsError | None = None) -> Wire:
        """The record of a resource; where there is none ``missing`` is raised, or what most kinds say."""
        record = self.store.read(kind, name)
        if record is None:
            raise missing or invalid(f'Could not find {kind.words} "{kind.arn(name)}".')
        return record

    def _all(self, kind: Kind) -> list[Wire]:
        records = (self.store.read(kind, name) for name in self.store.names(kind))
        return [record for record in records if record is not None]

    def _check_address(self, uri: str) -> None:
        try:
            self.objects.check(uri)
        except ObjectError as error:
            raise invalid(f"{error}. This machine keeps objects at s3://bucket/key only.") from error

    def _names(self, uri: str) -> tuple[list[str], str]:
        """The names of the objects under a prefix; and, where S3 refuses to tell, a sentence that says so."""
        try:
            return self.objects.names(uri), ""
        except RefusedError as error:
            return [], f" S3 answers: {error}."


def exists(kind: Kind, name: str) -> AwsError:
    """What most kinds say to a name that is taken."""
    return invalid(f'Cannot create already existing {kind.words} "{kind.arn(name)}".')


def unsupported(what: str) -> AwsError:
    """The error of a request that is right, for a feature that this machine does not have."""
    return invalid(f"{what} is not supported by SageMaker on this machine.")
