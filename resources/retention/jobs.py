"""The jobs of the SageMaker on this machine: their records, logs, messages and outputs, and the logs of its endpoint.

In an account none of this is done: what jobs read and write goes by the lifecycle of the bucket, records and logs cost
nothing.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from resources import aws
from resources.retention.removal import Ages, Removal, discard, newest_change, size_of
from resources.sagemaker.local.store import ENDED, PROCESSING_JOB, TRAINING_JOB, TUNING_JOB, Store
from resources.sagemaker.platform import SageMaker

# Each with what lists it and what deletes one. Tuning jobs before their trials: what is left of one is no search.
_KINDS = (
    (TUNING_JOB, "list_hyper_parameter_tuning_jobs", "delete_hyper_parameter_tuning_job"),
    (TRAINING_JOB, "list_training_jobs", "delete_training_job"),
    (PROCESSING_JOB, "list_processing_jobs", "delete_processing_job"),
)
_OUTPUTS_LONGER_WEEKS = 1
"""How much longer outputs are kept than records: what may still be taken up has its outputs."""
_ENDPOINTS = "/aws/sagemaker/Endpoints/"


def old_jobs(sagemaker: SageMaker, ages: Ages, *, weeks: int, busy: Collection[str]) -> Iterator[Removal]:
    """Jobs that ended so many weeks ago, with their logs; then messages and outputs that no job is left of.

    Nothing of a job that runs goes, nor of weeks that are being made: a run may take up what ran for it before.

    Args:
        sagemaker: On this machine; of an account nothing is given.
        ages: How old they are.
        weeks: How long they are kept.
        busy: Weeks, as ISO dates, that runs are at work on.
    """
    if sagemaker.mode != "local":
        return
    client: Any = sagemaker.client()
    for kind, listing, deletion in _KINDS:
        for job in _listed(client, listing, f"{kind.name}Summaries"):
            name, has_ended = job[f"{kind.name}Name"], job[f"{kind.name}Status"] in ENDED
            if has_ended and not _is_of(name, busy) and ages.exceeds(job["LastModifiedTime"], weeks):
                home = Store(sagemaker.root).folder(kind, name)
                call = getattr(client, deletion)
                yield Removal("jobs", name, size_of(home), _unless_gone(call, **{f"{kind.name}Name": name}))
    for folder in (*_folders(sagemaker.messages_folder), *_outputs(sagemaker)):
        written = newest_change(folder)
        if written is None or _is_of(folder.name, busy) or not ages.exceeds(written, weeks + _OUTPUTS_LONGER_WEEKS):
            continue
        yield Removal("files of jobs", folder.name, size_of(folder), lambda folder=folder: discard(folder))  # type: ignore[misc]


def old_streams(sagemaker: SageMaker, ages: Ages, *, weeks: int) -> Iterator[Removal]:
    """Log streams of endpoints that nobody has written to for so many weeks; the newest of each endpoint stays."""
    if sagemaker.mode != "local":
        return
    logs = sagemaker.logs()
    groups = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=_ENDPOINTS)
    for group in [str(found["logGroupName"]) for page in groups for found in page["logGroups"]]:
        pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
        streams: list[Mapping[str, Any]] = [stream for page in pages for stream in page["logStreams"]]
        streams.sort(key=_last_event)
        for stream in streams[:-1]:
            name = str(stream["logStreamName"])
            if ages.exceeds(_last_event(stream) / 1000, weeks):
                call = _unless_gone(logs.delete_log_stream, logGroupName=group, logStreamName=name)
                yield Removal("logs", f"{group} {name}", 0, call)


def _last_event(stream: Mapping[str, Any]) -> int:
    """When a stream was written to last, in milliseconds since 1970."""
    return int(stream.get("lastEventTimestamp", stream["creationTime"]))


def _listed(client: Any, operation: str, key: str) -> list[Mapping[str, Any]]:  # noqa: ANN401 - of three kinds
    pages = client.get_paginator(operation).paginate(
        SortBy="CreationTime", SortOrder="Ascending", PaginationConfig={"PageSize": 100}
    )
    return [job for page in pages for job in page[key]]


def _is_of(name: str, weeks: Collection[str]) -> bool:
    """Whether a job or its folder is of one of these weeks, which its name says."""
    return any(week in name for week in weeks)


def _outputs(sagemaker: SageMaker) -> Iterator[Path]:
    """The folders below `jobs`, one for each outcome; checkpoints have a folder of their own in theirs."""
    for folder in _folders(sagemaker.lake.root / "jobs"):
        if folder.name == "checkpoints":
            yield from _folders(folder)
        else:
            yield folder


def _folders(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _unless_gone(call: Callable[..., Any], **request: str) -> Callable[[], None]:
    """A deletion to be made later; what is gone by then is no error."""
    from botocore.exceptions import ClientError

    def delete() -> None:
        try:
            call(**request)
        except ClientError as error:
            if not aws.is_missing(error):
                raise

    return delete
