"""What Dagster and a job say to each other through Pipes, kept where it outlives the Dagster process.

Dagster's own injectors delete the context when they end, a job that is taken up may be about to read it. Dagster's own
readers begin at an empty or a new place, and read in a thread that gives up ten seconds after a job's end; a process
that takes up a job needs all that was said, from the first word on, and no more waiting than that takes.
"""

import json
import uuid
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol, cast

import dagster as dg
from dagster_pipes import (
    PIPES_PROTOCOL_VERSION,
    PIPES_PROTOCOL_VERSION_FIELD,
    PipesContextData,
    PipesDefaultContextLoader,
    PipesDefaultMessageWriter,
    PipesMessage,
    PipesParams,
)


class JobMessageReader(dg.PipesMessageReader):
    """Hands a job's messages to Dagster, each once and in their order, whenever it is asked to read.

    One job may be several processes, one after the other, where spot capacity was lost: each opens and closes Pipes.
    Only the last of them closes it for Dagster.
    """

    def __init__(self) -> None:
        self._handler: dg.PipesMessageHandler | None = None
        self._closed: PipesMessage | None = None

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Within the block, `read` has somebody to hand messages to."""
        self._handler = handler
        with self._opened() as params:
            yield params

    def read(self) -> None:
        """Hand over what has come since the last call."""
        for line in self._lines():
            message = _message(line)
            if self._closed is not None:
                self._hand_over(_log("The job's process ended before its work was done, and was started again"))
                self._closed = None
            if message["method"] == "closed":
                self._closed = message
            else:
                self._hand_over(message)

    def finish(self) -> None:
        """Hand over the last of it, after the job's end."""
        self.read()
        if self._closed is not None:
            self._hand_over(self._closed)
            self._closed = None

    @property
    def expected_writer_count(self) -> int:
        """One process writes at a time."""
        return 1

    def _hand_over(self, message: PipesMessage) -> None:
        if self._handler is None:
            raise RuntimeError("messages are read within read_messages")
        self._handler.handle_message(message)

    @abstractmethod
    def _opened(self) -> AbstractContextManager[PipesParams]:
        """What the messages are read from, for the time of the block, and how the job finds it."""

    @abstractmethod
    def _lines(self) -> Iterator[str]:
        """The messages that have come since the last call, as JSON."""


class Messages(Protocol):
    """Where contexts and messages of jobs are kept: each job has a place of its own, which never changes."""

    def injector(self, job: str) -> dg.PipesContextInjector:
        """Puts a job's context there."""

    def reader(self, job: str) -> JobMessageReader:
        """Reads a job's messages from there."""

    def kept(self, job: str) -> bool:
        """Whether a job has said anything, and it is there still."""

    def environment(self, session: dg.PipesSession, *, longest: int) -> Mapping[str, str]:
        """The variables that lead a job there.

        Args:
            session: Of the job.
            longest: Characters that a value may have. They may come out longer, where they do not go shorter.
        """


class FileMessages:
    """Contexts and messages in a folder that jobs reach by the same path.

    Args:
        folder: The folder; it has one folder a job.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def injector(self, job: str) -> dg.PipesContextInjector:
        """Writes `context.json`."""
        return _FileContextInjector(self._folder / job / "context.json")

    def reader(self, job: str) -> JobMessageReader:
        """Reads `messages.jsonl`."""
        return _FileMessageReader(self._folder / job / "messages.jsonl")

    def kept(self, job: str) -> bool:
        """Whether there is a `messages.jsonl`."""
        return (self._folder / job / "messages.jsonl").is_file()

    def environment(self, session: dg.PipesSession, *, longest: int) -> Mapping[str, str]:
        """Both paths, as any Pipes process reads them."""
        del longest
        return session.get_bootstrap_env_vars()


class _FileContextInjector(dg.PipesContextInjector):
    """Replaces the file at once: a job that is taken up may be about to read it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def inject_context(self, context: PipesContextData) -> Iterator[PipesParams]:
        """Write the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        part.write_text(json.dumps(context))
        part.replace(self._path)
        yield {PipesDefaultContextLoader.FILE_PATH_KEY: str(self._path)}

    def no_messages_debug_text(self) -> str:
        """Where the context is."""
        return f"Attempted to inject context through {self._path}."


class _FileMessageReader(JobMessageReader):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: IO[str] | None = None
        self._line = ""

    @contextmanager
    def _opened(self) -> Iterator[PipesParams]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        with self._path.open(encoding="utf-8") as self._file:
            yield {PipesDefaultMessageWriter.FILE_PATH_KEY: str(self._path)}

    def _lines(self) -> Iterator[str]:
        if self._file is None:
            raise RuntimeError("messages are read within read_messages")
        while part := self._file.readline():
            self._line += part
            if self._line.endswith("\n"):  # what does not is still being written
                line, self._line = self._line, ""
                yield line

    def no_messages_debug_text(self) -> str:
        """Where messages were expected."""
        return f"Attempted to read messages from {self._path}."


def _message(line: str) -> PipesMessage:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if isinstance(found, dict) and PIPES_PROTOCOL_VERSION_FIELD in found:
        return cast(PipesMessage, found)
    return _log(f"A message of the job is damaged and is left out: {line[:200]!r}", level="WARNING")


def _log(text: str, *, level: str = "INFO") -> PipesMessage:
    """A message that says something in Dagster's log."""
    said = {"method": "log", "params": {"message": text, "level": level}}
    return cast(PipesMessage, {PIPES_PROTOCOL_VERSION_FIELD: PIPES_PROTOCOL_VERSION, **said})
