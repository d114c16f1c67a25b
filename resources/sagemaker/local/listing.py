"""Lists as the service gives them: filtered, sorted, in pages."""

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

from resources.sagemaker.local.store import Json, Kind, Wire
from resources.sagemaker.local.wire import invalid

_BOUNDS: tuple[tuple[str, str, int], ...] = (
    ("CreationTimeAfter", "CreationTime", 1),
    ("CreationTimeBefore", "CreationTime", -1),
    ("LastModifiedTimeAfter", "LastModifiedTime", 1),
    ("LastModifiedTimeBefore", "LastModifiedTime", -1),
)


def page(kind: Kind, records: Iterable[Wire], request: Wire, *, key: str, ascending: bool) -> Wire:
    """One page of a list.

    Args:
        kind: What is listed.
        records: All of the kind.
        request: The list operation's input; its filters, order and page.
        key: Where the answer has the list.
        ascending: The order where the request names none.

    Raises:
        AwsError: The token was not given out by this list.
    """
    order = _order(kind, request.get("SortBy", "CreationTime"))
    kept = sorted((record for record in records if _matches(kind, record, request)), key=order)
    if request.get("SortOrder", "Ascending" if ascending else "Descending") == "Descending":
        kept.reverse()
    start = 0
    if token := request.get("NextToken"):
        last = _read_token(token)
        # The place after the last one given out, wherever it is now: new resources do not shift the pages.
        start = next((i + 1 for i, record in enumerate(kept) if _mark(kind, record) == last), len(kept))
    end = start + request.get("MaxResults", 10)
    more = {"NextToken": _token(_mark(kind, kept[end - 1]))} if end < len(kept) else {}
    return {key: kept[start:end]} | more


def _matches(kind: Kind, record: Wire, request: Wire) -> bool:
    named = request.get("NameContains", "").lower() in record.get(f"{kind.name}Name", "").lower()
    status = request.get("StatusEquals", record.get(f"{kind.name}Status")) == record.get(f"{kind.name}Status")
    within = all(sign * record[field] > sign * request[bound] for bound, field, sign in _BOUNDS if bound in request)
    return named and status and within


def _order(kind: Kind, by: str) -> Callable[[Wire], tuple[Any, ...]]:
    field = by if by == "CreationTime" else f"{kind.name}{by}"
    return lambda record: (record[field], *_mark(kind, record))


def _mark(kind: Kind, record: Wire) -> list[Any]:
    return [record["CreationTime"], record[f"{kind.name}Arn"]]


def _token(mark: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(mark).encode()).decode()


def _read_token(token: str) -> Json:
    try:
        return json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise invalid("The pagination token is invalid.") from error
