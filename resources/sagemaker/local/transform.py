"""A batch transform job, as its supervisor runs it: the container serves, and is asked with all that a prefix holds.

An object that is refused fails the job, and the others go on: what was answered whole is stored, as
``<name>.out``, and nothing of the rest. Standard library only: supervisors import this without the site packages.
"""

import http.client
import json
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from resources.sagemaker.local.logs import LogWriter
from resources.sagemaker.local.serving_process import STARTUP_S, ServingProcess
from resources.sagemaker.local.store import Wire
from resources.sagemaker.local.supervision import LONGEST_REASON, ClientFaultError, Supervised, refusals

LOG_GROUP = "TransformJobs"
_LOOK_S = 0.05
_TERMINATION_S = 30.0
_TIMEOUT_S = 600
_RETRIES = 3
_MIB = 1024 * 1024
_STRATEGIES = {"MultiRecord": "MULTI_RECORD", "SingleRecord": "SINGLE_RECORD"}


class RecordError(Exception):
    """A request that was not answered as it should be.

    Attributes:
        client: Whether the request is at fault, not the container.
    """

    def __init__(self, said: str, *, client: bool) -> None:
        super().__init__(said)
        self.client = client


@dataclass(frozen=True)
class _Plan:
    """How the container is asked.

    Attributes:
        at_once: Requests at the same time.
        payload_bytes: Most of a request's body; 0 for no limit.
        single: One record a request.
    """

    at_once: int
    payload_bytes: int
    single: bool

    def __str__(self) -> str:
        strategy = _STRATEGIES["SingleRecord" if self.single else "MultiRecord"]
        return (
            f"MaxConcurrentTransforms={self.at_once}, MaxPayloadInMB={self.payload_bytes // _MIB}, "
            f"BatchStrategy={strategy}"
        )


def supervise(job: Supervised) -> None:
    """Run a transform job to its end: model, container, records, outputs."""
    instance = f"{job.home.name}/i-{uuid.uuid4().hex[:17]}"
    log = LogWriter(job.root, LOG_GROUP, f"{instance}/data-log")
    process = ServingProcess(job, job.home, job.status["resolved"])
    job.save(TransformStartTime=time.time())
    try:
        faults = _transformed(job, process, instance, log)
        stopped = job.stopping
        if not stopped:
            with refusals("Failed to upload output."):
                job.objects.upload(job.home / "output", job.request["TransformOutput"]["S3OutputPath"])
    except ClientFaultError as fault:
        _end(job, "Failed", FailureReason=f"ClientError: {fault}"[:LONGEST_REASON])
        return
    finally:
        process.terminate(_TERMINATION_S)
        job.save(children=[])
    if stopped:
        _tidy(job)
        _end(job, "Stopped")
        return
    if faults:
        side = "ClientError" if all(fault.client for fault in faults) else "AlgorithmError"
        _end(job, "Failed", FailureReason=f"{side}: {faults[0]} See job logs for more information"[:LONGEST_REASON])
        return
    _tidy(job)
    _end(job, "Completed")


def _tidy(job: Supervised) -> None:
    """Remove what the instance would take with it; after a failure it stays, to be looked at."""
    for folder in ("ml", "input", "output"):
        shutil.rmtree(job.home / folder, ignore_errors=True)


def _end(job: Supervised, status: str, **changes: object) -> None:
    job.save(TransformJobStatus=status, TransformEndTime=time.time(), **changes)


def _transformed(job: Supervised, process: ServingProcess, instance: str, log: LogWriter) -> list[RecordError]:
    """Have everything under the prefix answered into the folder ``output``: what went wrong."""
    request, given = job.request, job.home / "input"
    source = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    with refusals("Data download failed:Unable to download object"):
        found = job.objects.download(source, given)
    if not found:
        raise ClientFaultError(f"Data download failed: no objects under {source}")
    process.fetch_model()
    (job.home / "output").mkdir()
    job.save(children=[process.start(environment=_environment(request), log_group=LOG_GROUP, stream=instance)])
    if not process.comes_up(STARTUP_S):
        return [] if job.stopping else [RecordError("The container did not pass the ping health check.", client=False)]
    plan = _plan(request, process.port)
    log.write(str(plan))
    with ThreadPoolExecutor(1) as worker:
        work = worker.submit(_answer_all, job, process, plan, log)
        while not work.done():
            job.pause(_LOOK_S)
            if job.stopping:
                process.kill()  # whoever waits for an answer gets none, and the work ends
        return work.result()


def _environment(request: Wire) -> dict[str, str]:
    """What a container of a transform job is told, besides what any container is."""
    at_once = request.get("MaxConcurrentTransforms")
    return {
        **request.get("Environment", {}),
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(request.get("MaxPayloadInMB", 6)),
        "SAGEMAKER_BATCH_STRATEGY": _STRATEGIES[request.get("BatchStrategy", "MultiRecord")],
        **({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(at_once)} if at_once else {}),
    }


def _plan(request: Wire, port: int) -> _Plan:
    """What the request says; where it leaves it open what the container asks for; else what SageMaker does."""
    wanted: Wire = {"MaxConcurrentTransforms": 1, "MaxPayloadInMB": 6, "BatchStrategy": "MULTI_RECORD"}
    wanted |= _execution_parameters(port)
    wanted |= {key: request[key] for key in ("MaxConcurrentTransforms", "MaxPayloadInMB") if key in request}
    if "BatchStrategy" in request:
        wanted["BatchStrategy"] = _STRATEGIES[request["BatchStrategy"]]
    return _Plan(
        max(1, int(wanted["MaxConcurrentTransforms"])),
        int(wanted["MaxPayloadInMB"]) * _MIB,
        wanted["BatchStrategy"] == "SINGLE_RECORD",
    )


def _execution_parameters(port: int) -> Wire:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/execution-parameters", headers={"Connection": "close"})
        answer = connection.getresponse()
        found = json.loads(answer.read()) if answer.status == 200 else {}
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return dict(found) if isinstance(found, dict) else {}


def _answer_all(job: Supervised, process: ServingProcess, plan: _Plan, log: LogWriter) -> list[RecordError]:
    """Answer every object, one after the other, the requests of each as many at once as may be: what went wrong."""
    faults = []
    given, wanted = job.request["TransformInput"], job.request["TransformOutput"]
    ending = b"\n" if wanted.get("AssembleWith", "None") == "Line" else b""
    source = given["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://")
    with ThreadPoolExecutor(plan.at_once) as pool:
        for file in sorted(path for path in (job.home / "input").rglob("*") if path.is_file()):
            name = file.relative_to(job.home / "input")
            part = job.home / "part"
            try:
                payloads = _payloads(_content(file, given), plan, split=given.get("SplitType", "None") == "Line")
                with part.open("wb") as output:
                    for answer in pool.map(lambda payload: _answer(job, process, payload), payloads):
                        output.write(answer + (b"" if answer.endswith(ending) else ending))
            except RecordError as error:
                if job.stopping:
                    break
                log.write(f"{source.rstrip('/')}: {name}: {'ClientError' if error.client else 'AlgorithmError'}")
                log.write(f"{source.rstrip('/')}: {name}: {error}")
                faults.append(error)
            else:
                target = job.home / "output" / name.with_name(f"{name.name}.out")
                target.parent.mkdir(parents=True, exist_ok=True)
                part.rename(target)
    return faults


def _content(file: Path, given: Wire) -> bytes:
    content = file.read_bytes()
    if given.get("CompressionType", "None") == "None":
        return content
    import gzip
    import zlib

    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordError(f"{file.name} is not gzip: {error}.", client=True) from error


def _payloads(content: bytes, plan: _Plan, *, split: bool) -> Iterator[bytes]:
    """The bodies of the requests of an object.

    Raises:
        RecordError: A record alone is larger than a request may be.
    """
    records = [line for line in content.split(b"\n") if line] if split else [content]
    together: list[bytes] = []
    size = 0
    for record in records:
        if plan.payload_bytes and len(record) > plan.payload_bytes:
            most = plan.payload_bytes // _MIB
            raise RecordError(f"A record of {len(record)} bytes is larger than MaxPayloadInMB={most}.", client=True)
        if together and (plan.single or (plan.payload_bytes and size + len(record) + 1 > plan.payload_bytes)):
            yield b"\n".join(together)
            together, size = [], 0
        together.append(record)
        size += len(record) + 1
    if together:
        yield b"\n".join(together)


def _answer(job: Supervised, process: ServingProcess, payload: bytes) -> bytes:
    """The container's answer; its errors are asked again, those of the request are not.

    Raises:
        RecordError: There is none.
    """
    client = job.request.get("ModelClientConfig", {})
    tries = 1 + client.get("InvocationsMaxRetries", _RETRIES)
    for left in reversed(range(tries)):
        try:
            return _asked(job, process.port, payload, client.get("InvocationsTimeoutInSeconds", _TIMEOUT_S))
        except RecordError as error:
            if error.client or not left or job.stopping or not process.running:
                raise
    raise AssertionError(tries)  # the last try returns or raises


def _asked(job: Supervised, port: int, payload: bytes, timeout_s: float) -> bytes:
    content_type = job.request["TransformInput"].get("ContentType")
    accept = job.request["TransformOutput"].get("Accept")
    headers = {"Connection": "close"}
    headers |= {"Content-Type": content_type} if content_type else {}
    headers |= {"Accept": accept} if accept else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", "/invocations", payload, headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise RecordError("Unable to get response from algorithm.", client=False) from error
    finally:
        connection.close()
    if answer.status >= 400:
        said = body[:512].decode(errors="replace")
        raise RecordError(
            f"Bad HTTP status received from algorithm: {answer.status}: {said}.", client=answer.status < 500
        )
    return body
