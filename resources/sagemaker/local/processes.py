"""Processes: started without the caller's secrets or streams, recognised later, ended as a group.

Standard library only: supervisors import this without the site packages.
"""

import ctypes
import fnmatch
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from resources.sagemaker.local.objects import in_s3

INHERITED = (
    *("PATH", "HOME", "LANG", "LC_*", "TMPDIR", "TZ", "PYTHON*", "VIRTUAL_ENV", "SSL_CERT_FILE"),
    "SAGEMAKER_LOCAL_*",
)
"""What a supervisor gets of its caller's environment. Credentials and tokens are not in it."""

ACCESS = ("AWS_*",)
"""What it gets besides where it reads and writes S3 itself, and its containers get of it as they get a role on AWS."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def inherited_environment(environment: Mapping[str, str], *, access: bool = False) -> dict[str, str]:
    """The part of an environment that is passed on (see ``INHERITED``), with access to AWS if that is asked for."""
    patterns = INHERITED + (ACCESS if access else ())
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def container_environment(requested: Mapping[str, str]) -> dict[str, str]:
    """The environment of a container: that of its supervisor without the twin's own settings, and the request's."""
    inherited = inherited_environment(os.environ, access=True)  # a supervisor has it in S3 only
    kept = {name: value for name, value in inherited.items() if not name.startswith("SAGEMAKER_LOCAL_")}
    return kept | {"PYTHONUNBUFFERED": "1"} | dict(requested)


def started_at(pid: int) -> str | None:
    """A mark of when a process started, which tells it from a later one of the same number; None: not running."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = shown.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def kill_group(pid: int, started: str) -> None:
    """Kill the process group that a child led, unless its number belongs to another process by now."""
    if started_at(pid) in (None, started):  # a group outlives its leader, and keeps the number from being reused
        signal_group(pid, signal.SIGKILL)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process group; nothing happens where it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM where only zombies are left
        return


def start_child(
    arguments: list[str], *, environment: Mapping[str, str], folder: Path
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start a container's command as the leader of its own group; it dies with its supervisor (Linux).

    Returns:
        The process, and the stream of its output and errors as one.

    Raises:
        OSError: The command cannot be started.
    """
    supervisor = os.getpid()

    def die_with_the_supervisor() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:  # it died before it could be tied to
                os._exit(1)

    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_the_supervisor,  # noqa: PLW1509 - the function calls nothing that takes a lock
    )
    if process.stdout is None:
        raise RuntimeError("a child without an output pipe")
    return process, process.stdout


def launch_supervisor(home: Path, lock: int) -> None:
    """Start the supervisor of a resource: a process that outlives the caller and holds none of its streams.

    Args:
        home: The folder of the resource.
        lock: Open file descriptor of its lock, held; the supervisor inherits it.

    Raises:
        subprocess.CalledProcessError: The interpreter could not be started; see ``supervisor.log`` in the folder.
    """
    script = Path(__file__).with_name("detach.py")
    real = in_s3(home.parent.parent)
    with (home / "supervisor.log").open("ab") as log:
        # -I: no script folder on the path, which has an http.py. -S: no site packages, a start in 8 ms, not 15; boto3
        # is one.
        subprocess.run(
            [sys.executable, "-I", *([] if real else ["-S"]), str(script), str(home), str(lock)],
            check=True,
            cwd=home,
            env=inherited_environment(os.environ, access=real),
            pass_fds=(lock,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
