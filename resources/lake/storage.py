"""Where a lake's bytes are: a folder of this machine, or a prefix of an S3 bucket; the layout is the same."""

from collections.abc import Iterator
from typing import Protocol


class Storage(Protocol):
    """Bytes by key, a relative POSIX path. A reader sees what was there before a write, or all of what is there after.

    Errors of what lies beneath are a `LakeError`, `FileNotFoundError` apart.
    """

    def where(self, key: str) -> str:
        """What people call the place of a key: a path or a URI."""

    def uri(self, key: str) -> str:
        """The place of a key as a URI, readable."""

    def read(self, key: str) -> bytes:
        """The bytes of a key.

        Raises:
            FileNotFoundError: There is nothing.
        """

    def write(self, key: str, content: bytes) -> None:
        """Put bytes in place of what is there, at once or not at all.

        Raises:
            LakeError: The system refused; the key is as it was.
        """

    def create(self, key: str, content: bytes) -> bool:
        """Put bytes where nothing is; False where something is, for one of several creators it is true.

        Raises:
            LakeError: The system refused.
        """

    def delete(self, key: str) -> None:
        """Remove a key; nothing happens where there is nothing.

        Raises:
            LakeError: The system refused; the key is as it was.
        """

    def written_at(self, key: str) -> int | None:
        """When a key was put in place, in nanoseconds since 1970; None where there is nothing."""

    def keys(self, folder: str) -> Iterator[str]:
        """Every key below a folder, in no particular order."""
