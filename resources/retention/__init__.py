"""What the platform made on the way and keeps no longer: runs, jobs, models, logs. Tables are never among it.

Every function here gives what has outlived its use as `Removal`s, oldest first, and removes nothing itself. Each is
removed alone: a process that is killed between two of them, or within one, leaves nothing half, and the next one goes
on.
"""

from resources.retention.removal import Ages, Removal

__all__ = ["Ages", "Removal"]
