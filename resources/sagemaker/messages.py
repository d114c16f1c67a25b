"""What Dagster and a job say to each other through Pipes, in files that outlive the Dagster process."""

import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import dagster as dg
from dagster_pipes import PipesContextData, PipesDefaultContextLoader, PipesDefaultMessageWriter, PipesParams


class KeptContextInjector(dg.PipesContextInjector):
    """Tell a job its context by a file that is replaced at once, and kept.

    Dagster's own injector writes it in place and deletes it when it ends; a job that is taken up may be about to read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def inject_context(self, context: PipesContextData) -> Iterator[PipesParams]:
        """Write the file."""
        part = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}")
        part.write_text(json.dumps(context))
        part.replace(self._path)
        yield {PipesDefaultContextLoader.FILE_PATH_KEY: str(self._path)}

    def no_messages_debug_text(self) -> str:
        """Where the context is."""
        return f"Attempted to inject context through {self._path}."


class ReplayingFileMessageReader(dg.PipesMessageReader):
    """Read a job's messages from a file, from its first line on, and keep the file.

    Dagster's own reader empties the file when it starts and deletes it when it ends; a process that takes up a job
    needs what was said before it came.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Read in a thread until the session closes, then to the end of the file."""
        self._path.touch()
        closed = Event()
        thread = Thread(target=self._read, args=(handler, closed), daemon=True)
        thread.start()
        try:
            yield {PipesDefaultMessageWriter.FILE_PATH_KEY: str(self._path)}
        finally:
            closed.set()
            thread.join()

    def _read(self, handler: dg.PipesMessageHandler, closed: Event) -> None:
        try:
            with self._path.open(encoding="utf-8") as file:
                line = ""
                while True:
                    last_look = closed.is_set()
                    line += file.readline()
                    if line.endswith("\n"):
                        handler.handle_message(json.loads(line))
                        line = ""
                    elif last_look:
                        return
                    else:
                        closed.wait(0.05)
        except BaseException:
            handler.report_pipes_framework_exception(type(self).__name__, sys.exc_info())
            raise

    @property
    def expected_writer_count(self) -> int:
        """One process writes."""
        return 1

    def no_messages_debug_text(self) -> str:
        """Where messages were expected."""
        return f"Attempted to read messages from {self._path}."
