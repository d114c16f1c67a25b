"""The wire: requests read, checked, answered as the service does, whoever carried them.

The service's own model (botocore's) says how values travel and what they may be. Botocore checks types, required
members and minima; ``violations`` adds the maxima, patterns and enumerations that it leaves to the service.
"""

import base64
import binascii
import errno
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from resources.sagemaker.local.store import Json, Wire

if TYPE_CHECKING:
    from botocore.model import ServiceModel, Shape

Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an HTTP answer."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_TARGETS = {"SageMaker": "sagemaker", "Logs_20140328": "logs"}
# Letters, figures and spaces, as the patterns of tags and of a model's facts name them; Java's, not Python's.
_JAVA = ((r"\p{L}\p{Z}\p{N}_", r"\w \u00a0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"),)
_INVOCATION = re.compile(r"/endpoints/([^/]+)/invocations")


class AwsError(Exception):
    """An error that the service answers with.

    Attributes:
        code: Its name on the wire, such as ``ValidationException``.
        message: What the caller reads.
        status: HTTP status.
        fields: Further members of the error's shape.
    """

    def __init__(self, code: str, message: str, status: int = 400, fields: Wire | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.fields = code, message, status, fields or {}


def invalid(message: str) -> AwsError:
    """The error of a request that the service will not take: a ``ValidationException``."""
    return AwsError("ValidationException", message)


class Operations(Protocol):
    """What answers: one method per operation, named as boto3 names it, and the runtime's one operation."""

    def invoke_endpoint(self, name: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Answer an InvokeEndpoint; header names are in lower case."""


@cache
def service_model(name: str) -> "ServiceModel":
    """Botocore's model of a service: ``sagemaker``, ``logs`` or ``sagemaker-runtime``."""
    import botocore.session

    return botocore.session.get_session().get_service_model(name)


def decode(shape: "Shape", value: Json) -> Json:
    """A value as botocore's validator wants it (datetimes, bytes), from its JSON form. Nulls are left out.

    What does not fit the shape is passed on as it is, for the validator to name.
    """
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
        return {k: decode(members[k], v) if k in members else v for k, v in value.items() if v is not None}
    if kind == "list" and isinstance(value, list):
        return [decode(shape.member, item) for item in value]  # type: ignore[attr-defined]
    if kind == "map" and isinstance(value, dict):
        return {k: decode(shape.value, v) for k, v in value.items()}  # type: ignore[attr-defined]
    if kind == "timestamp" and isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if kind == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    return value


def encode(shape: "Shape", value: Json) -> Json:
    """The JSON form of a value. Members that the shape does not have, and those that are None, are left out."""
    kind = shape.type_name
    if kind == "structure":
        members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
        return {k: encode(member, value[k]) for k, member in members.items() if value.get(k) is not None}
    if kind == "list":
        return [encode(shape.member, item) for item in value]  # type: ignore[attr-defined]
    if kind == "map":
        return {k: encode(shape.value, v) for k, v in value.items()}  # type: ignore[attr-defined]
    if kind == "timestamp" and isinstance(value, datetime):
        return value.timestamp()
    if kind == "blob" and isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    for java, python in _JAVA:
        pattern = pattern.replace(java, python)
    try:
        return re.compile(re.sub(r"\)\$\{[0-9,]+\}$", ")", pattern))  # a length after the end, which is a limit as well
    except re.error:  # \p{P} and the like
        return None


def violations(shape: "Shape", value: Json, path: str = "") -> Iterator[str]:
    """What breaks a maximum, a pattern or an enumeration, in the service's words.

    Args:
        shape: The shape that the value should have.
        value: A decoded value that has passed botocore's validator.
        path: Where in the request the value stands, such as ``tags.1.member.key``.
    """
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        for name, item in value.items():
            member = f"{path}.{name[0].lower()}{name[1:]}".lstrip(".")
            yield from violations(shape.members[name], item, member)  # type: ignore[attr-defined]
    elif kind == "list":
        for number, item in enumerate(value, start=1):
            yield from violations(shape.member, item, f"{path}.{number}.member")  # type: ignore[attr-defined]
    elif kind == "map":
        for name, item in value.items():
            yield from violations(shape.key, name, f"{path}.{name}.key")  # type: ignore[attr-defined]
            yield from violations(shape.value, item, f"{path}.{name}.member")  # type: ignore[attr-defined]
    for must in _broken(kind, limits, getattr(shape, "enum", None), value):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {must}"


def _broken(kind: str, limits: Mapping[str, Any], enum: list[str] | None, value: Json) -> Iterator[str]:
    maximum, pattern = limits.get("max"), limits.get("pattern")
    if kind in {"string", "list", "map", "blob"} and maximum is not None and len(value) > maximum:
        yield f"have length less than or equal to {maximum}"
    if kind in {"integer", "long", "float", "double"} and maximum is not None and value > maximum:
        yield f"have value less than or equal to {maximum}"
    if kind == "string" and enum and value not in enum:
        yield f"satisfy enum value set: [{', '.join(enum)}]"
    if kind == "string" and pattern and (known := _compiled(pattern)) and not known.fullmatch(value):
        yield f"satisfy regular expression pattern: {pattern}"


def checked(shape: "Shape", request: Wire) -> Wire:
    """A request in its normal JSON form.

    Raises:
        AwsError: It does not fit the shape of the operation's input.
    """
    from botocore.validate import ParamValidator

    try:
        value = decode(shape, request)
    except (binascii.Error, OverflowError, OSError) as error:
        raise AwsError("SerializationException", str(error)) from error
    report = ParamValidator().validate(value, shape)
    found = report.generate_report().splitlines() if report.has_errors() else list(violations(shape, value))
    if found:
        plural = "" if len(found) == 1 else "s"
        raise invalid(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")
    normal: Wire = encode(shape, value)
    return normal


def handle(operations: Operations, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
    """Answer one request to SageMaker, its runtime or CloudWatch Logs.

    Args:
        operations: What answers.
        method: HTTP method.
        path: Path of the address, without the query.
        headers: Its headers. Signatures are not read.
        body: Its body.

    Returns:
        Status, headers and body; errors that the service declares are answers too.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        if invocation := _INVOCATION.fullmatch(path):
            return operations.invoke_endpoint(invocation[1], body, lower)
        return _call(operations, method, lower.get("x-amz-target", ""), body)
    except (AwsError, OSError) as failure:
        error = failure if isinstance(failure, AwsError) else _unwritten(failure)
        told = {"__type": error.code, "message": error.message, "Message": error.message, **error.fields}
        return error.status, _headers() | {"x-amzn-errortype": error.code}, json.dumps(told).encode()


def _unwritten(error: OSError) -> AwsError:
    """The answer where the disk takes no more; other faults are raised. Clients do not try again after a 507."""
    if error.errno not in _FULL:
        raise error
    return AwsError("InternalFailure", f"SageMaker on this machine cannot write: {error}. Free space, try again.", 507)


def _call(operations: Operations, method: str, target: str, body: bytes) -> Response:
    prefix, _, operation = target.partition(".")
    service = _TARGETS.get(prefix)
    if method != "POST" or service is None or operation not in service_model(service).operation_names:
        raise AwsError("UnknownOperationException", f"{method} {target or 'without X-Amz-Target'} is no operation")
    from botocore import xform_name

    answer = getattr(operations, xform_name(operation), None)
    if answer is None:
        raise AwsError("UnknownOperationException", f"{operation} is not part of SageMaker on this machine")
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise AwsError("SerializationException", f"the body is not JSON: {error}") from error
    model = service_model(service).operation_model(operation)
    wire = checked(model.input_shape, request) if model.input_shape else {}
    result = answer(wire)
    told = encode(model.output_shape, result) if model.output_shape else {}
    return 200, _headers(), json.dumps(told).encode()


def _headers() -> dict[str, str]:
    return {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
