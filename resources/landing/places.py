"""Where files land, by what a user names."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from resources.lake import Lake
from resources.landing.arrival import Place
from resources.landing.errors import LandingPlaceError
from resources.landing.folder import WatchedFolder
from resources.landing.queue import Queue


def open_place(spec: str, *, cursor: str | None, lake: Lake, region: str) -> Place:
    """The place that a user names.

    Args:
        spec: A folder of this machine as a path or `file:///...`, or the URL of an SQS queue.
        cursor: What the look before said, if there was one.
        lake: Where what a queue brings and is refused is copied to.
        region: Of a queue.

    Raises:
        LandingPlaceError: It names neither.
    """
    parts = urlsplit(spec)
    if parts.scheme in {"http", "https"} and parts.netloc:
        return Queue(spec, region=region, lake=lake)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return WatchedFolder(Path(url2pathname(parts.path)), cursor=cursor)
    if "://" in spec:
        raise LandingPlaceError(spec, "it is neither a folder nor the URL of a queue")
    return WatchedFolder(Path(spec).expanduser().absolute(), cursor=cursor)
