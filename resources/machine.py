"""This machine, told from others."""

import contextlib
import os
from pathlib import Path


def machine() -> str:
    """What tells the processes of this machine from those of others: its name, boot and table of processes.

    Containers can share a name, and a process id means something in its own table only.
    """
    parts = [os.uname().nodename]
    with contextlib.suppress(OSError):  # elsewhere than on Linux the name has to do
        parts += [
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            str(Path("/proc/self/ns/pid").readlink()),
        ]
    return " ".join(parts)
