"""The model artifact: one `forecaster.json` with every series, and the `model.tar.gz` it travels in.

Nothing is executed to read it, and the same model always gives the same bytes.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from forecasting import forecaster, schema
from forecasting.errors import ArtifactError

FILE_NAME = "forecaster.json"
_ARCHIVE = "model.tar.gz"
MAX_BYTES = 64 * 2**20
"""More than a thousand series need; what unpacks to more is not one of ours."""

_NAMES_SHOWN, _NAME_SHOWN = 5, 80

digest = schema.digest


def build_artifact(entries: Mapping[str, Mapping[str, Any]], *, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The artifact of some series, checked as a server would check it.

    Args:
        entries: The entry of each series, as `models.fit` gave it, conformal scores and held-out scores filled in.
        provenance: What it was made from: week, code version, data checksum; anything JSON can say.

    Returns:
        `{"schema_version": 1, "provenance", "series", "digest"}`.

    Raises:
        ArtifactError: There is no series, or an entry or the provenance is not what the forecaster reads.
    """
    artifact: dict[str, Any] = {
        "schema_version": schema.SCHEMA_VERSION,
        "provenance": dict(provenance),
        "series": {unique_id: dict(entry) for unique_id, entry in entries.items()},
    }
    try:
        artifact["digest"] = digest(artifact)
        return forecaster.load(dumps(artifact))
    except (TypeError, ValueError) as error:
        raise ArtifactError("artifact", str(error)) from error


def gated(
    candidate: Mapping[str, Any], stand_ins: Mapping[str, Mapping[str, Any]], passing: Sequence[str]
) -> dict[str, Any]:
    """The artifact that may be published: the candidate of every series that passed, a stand-in for every other.

    Args:
        candidate: The artifact of all candidates.
        stand_ins: An entry for every series, to take the place of its candidate.
        passing: The series whose candidate may be published.
    """
    passed = {name: candidate["series"][name] for name in passing}
    return build_artifact({**stand_ins, **passed}, provenance=candidate["provenance"])


def dumps(artifact: Mapping[str, Any]) -> str:
    """The canonical text: sorted keys, no spaces, floats that read back as they were, nothing that is not finite.

    Raises:
        ValueError: A number is not finite.
    """
    return schema.canonical(dict(artifact))


def pack(artifact: Mapping[str, Any]) -> bytes:
    """The `model.tar.gz` with the artifact alone, the same bytes for the same artifact.

    Args:
        artifact: What `build_artifact` gave.
    """
    text = dumps(artifact).encode()
    member = tarfile.TarInfo(FILE_NAME)
    member.size = len(text)
    member.mode = 0o644
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        tar.addfile(member, io.BytesIO(text))
    return packed.getvalue()


def unpack(packed: bytes) -> dict[str, Any]:
    """The artifact of a `model.tar.gz`, checked from end to end; nothing is written to disk.

    Args:
        packed: The archive, ours or one that `tar` made of a folder with nothing but `forecaster.json`.

    Raises:
        ArtifactError: It is not such an archive, or the artifact in it is damaged.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(packed)), mode="r:") as tar:
            text = _only_member(tar, _ARCHIVE)
        return forecaster.load(text)
    except forecaster.ForecasterError as error:
        raise ArtifactError(f"{_ARCHIVE}/{FILE_NAME}", str(error)) from error
    except ArtifactError:
        raise
    # What `tarfile` raises of damaged headers is not all its own: numbers that are none, headers without end.
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise ArtifactError(_ARCHIVE, f"it is not a readable .tar.gz: {error}") from error


def _unzipped(packed: bytes) -> bytes:
    """All of a `.gz`, which bounds whatever its headers declare."""
    with gzip.open(io.BytesIO(packed)) as zipped:
        content = zipped.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ArtifactError(_ARCHIVE, f"it unpacks to more than the {MAX_BYTES} bytes that are expected at most")
    return content


def _only_member(tar: tarfile.TarFile, where: str) -> bytes:
    members = [member for member in tar if not (member.isdir() and PurePosixPath(member.name) == PurePosixPath("."))]
    names = [member.name for member in members]
    # A sparse file declares more bytes than it holds.
    plain = all(member.isreg() and not member.issparse() for member in members)
    if [str(PurePosixPath(name)) for name in names] != [FILE_NAME] or not plain:
        listed = ", ".join(name[:_NAME_SHOWN] for name in names[:_NAMES_SHOWN]) + (
            ", ..." if len(names) > _NAMES_SHOWN else ""
        )
        raise ArtifactError(where, f"it holds {listed or 'nothing'}; one file {FILE_NAME} is expected")
    file = tar.extractfile(members[0])
    return file.read() if file else b""
