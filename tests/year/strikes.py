"""What strikes the machine: processes that are killed, a disk that is full."""

import os
import signal
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from resources.eia.calendar import due
from tests.daemon import Service
from tests.refreshes import ENDPOINT
from tests.year.client import Client
from tests.year.ledger import Entry
from tests.year.machine import Disk, Step, YearMachine, wait
from tests.year.plan import Fault


class Strikes:
    """Strikes a machine.

    Args:
        machine: Which.
        client: Told of kills that may cost it requests.
        disk: What lake and history are on.
    """

    def __init__(self, machine: YearMachine, client: Client, disk: Disk) -> None:
        self._machine, self._client, self._disk = machine, client, disk

    def strike(self, fault: Fault, entry: Entry, step: Step | None) -> None:
        """Do what a fault asks for.

        Args:
            fault: Which.
            entry: Told that it struck, and what made up for it.
            step: The step in whose middle it strikes, its process standing still; None outside of any.

        Raises:
            YearError: It could not be done, or what should make up for it did not come.
        """
        entry.began = time.monotonic()
        match fault.kind:
            case "daemon killed":
                self._go_on(step)
                self._kill_a_service(entry, self._machine.daemon, self._machine.daemon_is_ready, fault)
            case "webserver restarted":
                self._go_on(step)
                self._restart_the_webserver(entry)
            case "endpoint process killed":
                self._go_on(step)
                self._kill_the_endpoint(entry)
            case "disk full":
                self._fill_the_disk(entry, step)
            case _:
                assert step is not None
                os.kill(step.pid, signal.SIGKILL)
                wait(lambda: not _lives(step.pid), f"end of process {step.pid}", 30)
                entry.hit(run=step.run_id[:8], gone=step.pid)

    def _go_on(self, step: Step | None) -> None:
        """Only the disk and the worker are struck while a step stands still."""
        if step is not None:
            os.kill(step.pid, signal.SIGCONT)

    def _kill_a_service(self, entry: Entry, service: Service, ready: Callable[[], None], fault: Fault) -> None:
        pid = service.pid
        service.kill()
        entry.hit(gone=pid, exit=service.process.returncode if service.process else None)
        time.sleep(fault.chance().uniform(1, 5))  # what an init system waits before it starts it again
        service.start()
        ready()
        entry.healed(f"started again as {service.pid}")

    def _restart_the_webserver(self, entry: Entry) -> None:
        service = self._machine.webserver
        pid = service.pid
        service.stop()
        entry.hit(gone=pid)
        service.start()
        self._machine.webserver_is_ready()
        entry.healed(f"answers as {service.pid}")

    def _kill_the_endpoint(self, entry: Entry) -> None:
        pid = wait(lambda: self._machine.child("endpoint", ENDPOINT), "serving process", 60)
        asked, newest = self._client.asked, self._client.newest
        self._client.endpoint_is_killed()
        os.kill(pid, signal.SIGKILL)
        wait(lambda: not _lives(pid), f"end of process {pid}", 30)
        entry.hit(gone=pid)
        wait(lambda: self._machine.child("endpoint", ENDPOINT) not in {None, pid}, "new serving process", 60)
        wait(lambda: self._client.asked > asked + 5 and self._client.newest, "answers", 60)
        assert newest is not None
        entry.healed(f"its supervisor started {self._machine.child('endpoint', ENDPOINT)}")

    def _fill_the_disk(self, entry: Entry, step: Step | None) -> None:
        logs = [service.log for service in self._machine.services]
        before = {path: path.stat().st_size for path in logs}
        entry.hit(write=self._disk.fill())
        try:
            self._go_on(step)
            if step is None:
                self._machine.set_clock(due(date.fromisoformat(entry.week)) + timedelta(minutes=1))

            def said() -> str:
                for path in logs:
                    text = path.read_bytes()[before[path] :].decode(errors="replace")
                    for words in ("No space left on device", "database or disk is full"):
                        if words in text:
                            return words
                return ""

            entry.hit(platform=wait(said, "word of the full disk", 90))
            time.sleep(5)  # it stays full for some ticks of every sensor
        finally:
            self._disk.empty()
        if not self._machine.daemon.runs():  # an init system starts it again
            entry.evidence["daemon ended"] = (
                self._machine.daemon.process.returncode if self._machine.daemon.process else None
            )
            self._machine.daemon.start()
            self._machine.daemon_is_ready()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
