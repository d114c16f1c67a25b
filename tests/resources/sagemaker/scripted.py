"""An account whose jobs live as a test says: it answers unchanged boto3 clients, through botocore's before-send."""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.awsrequest
import dagster_pipes
from botocore.compat import HTTPHeaders
from botocore.config import Config

from resources.sagemaker.pipes.kinds import KINDS, JobKind

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
Fields = dict[str, Any]


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An error that AWS answers with."""

    def __init__(self, code: str, message: str = "no", status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


THROTTLED = Refusal("ThrottlingException", "Rate exceeded")
EXPIRED = Refusal("ExpiredTokenException", "The security token included in the request is expired")
DENIED = Refusal("AccessDeniedException", "User is not authorized to perform this action")


@dataclass
class Job:
    """One job: what it was asked for, and what is left of its life: what each further describe call answers."""

    kind: JobKind
    request: Fields
    life: deque[Fields | Refusal]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    stopped: bool = False

    @property
    def name(self) -> str:
        return str(self.request[self.kind.name_field])

    @property
    def arn(self) -> str:
        word = self.kind.api.replace("_", "-")
        return f"arn:aws:sagemaker:us-east-1:123456789012:{word}/{self.name}"


class Account:
    """Jobs by name, and every call that was made.

    Attributes:
        lives: Of the jobs that will be created, one after the other: the fields that each describe call adds, the last
            one for ever. What is an exception is raised.
        before: What the next calls of an operation are answered with, before anything else.
        calls: Operations with their requests.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.lives: deque[list[Fields | Refusal]] = deque()
        self.stopping: list[Fields | Refusal] = []
        self.before: defaultdict[str, deque[Refusal | None]] = defaultdict(deque)
        self.answers: dict[str, Callable[[Fields], Fields]] = {}
        self.calls: list[tuple[str, Fields]] = []

    def client(self, service: str) -> Any:
        made = _session().client(service, config=Config(retries={"total_max_attempts": 1}))
        made.meta.events.register(f"before-send.{service}", self._answered)
        return made

    def named(self, operation: str) -> list[Fields]:
        """The requests of an operation."""
        return [request for name, request in self.calls if name == operation]

    def refuse(self, operation: str, *refusals: Refusal | None) -> None:
        """Answer the next calls so; None lets one through."""
        self.before[operation].extend(refusals)

    def _answered(self, request: Any, **_: object) -> botocore.awsrequest.AWSResponse:
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        asked = json.loads(request.body)
        self.calls.append((operation, asked))
        try:
            if self.before[operation] and (refusal := self.before[operation].popleft()):
                raise refusal
            status, answer = 200, self._answer(operation, asked)
        except Refusal as refusal:
            status, answer = refusal.status, {"__type": refusal.code, "message": refusal.message}
        body = json.dumps(answer, default=lambda moment: moment.timestamp()).encode()
        return botocore.awsrequest.AWSResponse(request.url, status, HTTPHeaders(), _Raw(body))

    def _answer(self, operation: str, asked: Fields) -> Fields:
        if operation in self.answers:
            return self.answers[operation](asked)
        if operation == "DescribeLogStreams":
            raise Refusal("ResourceNotFoundException")
        verb, kind = _verb(operation)
        name = asked[kind.name_field]
        if verb == "Create":
            if name in self.jobs:
                raise Refusal("ResourceInUse", f"{name} already exists")
            self.jobs[name] = Job(kind, asked, deque(self.lives.popleft()))
            return {f"{kind.noun}Arn": self.jobs[name].arn}
        job = self.jobs.get(name)
        if job is None:
            raise Refusal("ValidationException", "Requested resource not found.")
        if verb == "Stop":
            job.stopped, job.life = True, deque(self.stopping)
            return {}
        return self._described(job)

    def _described(self, job: Job) -> Fields:
        fields = job.life.popleft() if len(job.life) > 1 else job.life[0]
        if isinstance(fields, Refusal):
            raise fields
        if fields.get(f"{job.kind.noun}Status") == "Completed" and "Environment" in job.request:
            report(job.request["Environment"])
        return {**job.request, f"{job.kind.noun}Arn": job.arn, "CreationTime": job.created, **fields}


@cache
def _session() -> boto3.session.Session:
    """One for all clients: it keeps the models of the services, which take long to load."""
    return boto3.session.Session("test", "test", region_name="us-east-1")


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._body


def _verb(operation: str) -> tuple[str, JobKind]:
    for verb in ("Create", "Describe", "Stop"):
        for kind in KINDS.values():
            if operation == f"{verb}{kind.noun}":
                return verb, kind
    raise AssertionError(f"nobody asked for {operation}")


def report(environment: Mapping[str, str]) -> None:
    """What the process of a job does, once: it reports through Pipes that its asset is materialized."""
    path = Path(dagster_pipes.decode_param(environment["DAGSTER_PIPES_MESSAGES"])["path"])
    if path.read_text():
        return
    key = json.loads(path.with_name("context.json").read_text())["asset_keys"][0]
    said = {"asset_key": key, "metadata": {}, "data_version": "v1"}
    messages = {"opened": {"extras": {}}, "report_asset_materialization": said, "closed": {}}
    version = {dagster_pipes.PIPES_PROTOCOL_VERSION_FIELD: dagster_pipes.PIPES_PROTOCOL_VERSION}
    lines = [json.dumps({**version, "method": method, "params": params}) for method, params in messages.items()]
    path.write_text("".join(f"{line}\n" for line in lines))


def training(status: str, *steps: str, minutes: int = 10, **fields: Any) -> Fields:
    """A description of a training job in a status, with its steps so far, a minute apart."""
    transitions = [
        {"Status": step, "StartTime": NOW + timedelta(minutes=n), "StatusMessage": f"{step} it is"}
        for n, step in enumerate(steps)
    ]
    times = {"TrainingStartTime": NOW, "TrainingEndTime": NOW + timedelta(minutes=minutes)}
    return {
        "TrainingJobStatus": status,
        "SecondaryStatus": steps[-1] if steps else status,
        "SecondaryStatusTransitions": transitions,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/model.tar.gz"},
        **(times if status == "Completed" else {}),
        **fields,
    }
