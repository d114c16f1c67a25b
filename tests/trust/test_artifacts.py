"""Artifacts are data: whatever is done to one, it is refused by name, nothing is run, nothing is written elsewhere."""

import contextlib
import gzip
import io
import json
import pickle
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecasting import artifact, forecaster, schema
from forecasting.errors import ArtifactError
from resources.archive import ArchiveError, members
from resources.sagemaker.local.objects import ObjectStore
from tests.served import sealed, small_artifact

FAST = settings(max_examples=150, deadline=None, derandomize=True)
SLOW = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


class Boom:
    """What a pickle can hold: a call, made while it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return small_artifact()


@pytest.fixture(scope="module")
def packed(whole: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "model.tar.gz"
    path.write_bytes(artifact.pack(whole))
    return path


def unzipped(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def tar(path: Path, *entries: tuple[str, Any], **headers: Any) -> Path:
    """An archive of files (bytes), and of links and devices (their type and target)."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.pax_headers = headers
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                archive.addfile(info)
    return path


def refused(path: Path) -> str:
    """The message of the refusal, which names the file and says no more than can be read."""
    with pytest.raises(ArtifactError) as caught:
        artifact.unpack(path.read_bytes())
    message = str(caught.value)
    assert message.startswith("model.tar.gz")
    assert len(message) < 700
    return message


# -- damage -----------------------------------------------------------------------------------------------------------


def check_damage(path: Path, whole: dict[str, Any], content: bytes) -> None:
    """Damage is refused by name, or touched nothing that counts; every reader of archives agrees."""
    path.write_bytes(content)
    with contextlib.suppress(ArtifactError):
        assert artifact.unpack(content) == whole
    with contextlib.suppress(ArchiveError):
        members(content, where="model.tar.gz")


flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4)


def flipped(content: bytes, places: list[tuple[float, int]]) -> bytes:
    spoiled = bytearray(content)
    for place, bits in places:
        spoiled[int(place * len(spoiled))] ^= bits
    return bytes(spoiled)


def spoiled(packed: Path, places: list[tuple[float, int]], layer: str, kept: float) -> bytes:
    """An archive with bits flipped in the file itself, in the tar within it, or in the headers of that."""
    if layer == "gzip":
        content = flipped(packed.read_bytes(), places)
    elif layer == "tar":
        content = gzip.compress(flipped(unzipped(packed), places), compresslevel=1)
    else:
        whole = unzipped(packed)
        content = gzip.compress(flipped(whole[:512], places) + whole[512:], compresslevel=1)
    return content[: int(kept * len(content))]


layers = st.sampled_from(["gzip", "tar", "header"])
lengths = st.just(1.0) | st.floats(0, 1)


@FAST
@given(places=flips, layer=layers, kept=lengths)
def test_damage_is_refused_by_name(
    whole: dict[str, Any], packed: Path, places: list[tuple[float, int]], layer: str, kept: float
) -> None:
    check_damage(packed.with_name("spoiled") / "model.tar.gz", whole, spoiled(packed, places, layer, kept))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@SLOW
@given(places=flips, layer=layers, kept=lengths)
def test_thousands_of_damages_are_refused_by_name(
    whole: dict[str, Any], packed: Path, places: list[tuple[float, int]], layer: str, kept: float
) -> None:
    check_damage(packed.with_name("spoiled") / "model.tar.gz", whole, spoiled(packed, places, layer, kept))


@pytest.fixture(scope="module", autouse=True)
def _folder_for_the_spoiled(packed: Path) -> None:
    packed.with_name("spoiled").mkdir()


@FAST
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_by_name(whole: dict[str, Any], packed: Path, content: bytes) -> None:
    path = packed.with_name("spoiled") / "model.tar.gz"
    for written in (content, gzip.compress(content), gzip.compress(content.ljust(10240, b"\0"))):
        check_damage(path, whole, written)


# -- edits ------------------------------------------------------------------------------------------------------------


def leaves(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value that is no object and no list."""
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in leaves(inner, (*path, name))]
    if isinstance(value, list):
        return [leaf for number, inner in enumerate(value) for leaf in leaves(inner, (*path, number))]
    return [path]


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """A JSON value with another one in a place."""
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return value | {first: replaced(value[first], tuple(rest), new)}
    return [*value[:first], replaced(value[first], tuple(rest), new), *value[first + 1 :]]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([10**400, 1e299, -1e149]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def check_edit(whole: dict[str, Any], place: int, levels: int, value: object) -> None:
    """An edit is refused; one that was sealed again forecasts finite numbers or is refused just as well."""
    paths = leaves({name: part for name, part in whole.items() if name != "digest"})
    path = paths[place % len(paths)]
    edited = replaced(whole, path[: max(1, len(path) - levels)], value)
    if edited != whole:
        with pytest.raises(forecaster.ForecasterError):
            forecaster.load(json.dumps(edited))
    try:
        text = json.dumps(sealed({name: part for name, part in edited.items() if name != "digest"}))
    except ValueError:  # what JSON cannot write cannot be sealed
        return
    with contextlib.suppress(forecaster.ForecasterError):
        loaded = forecaster.load(text)
        for entry in loaded["series"].values():
            for row in forecaster.forecast(entry, horizon=104, interval=forecaster.best_interval(entry)):
                assert 0 <= row["lo-80"] <= row["mean"] <= row["hi-80"] < float("inf")


@FAST
@given(place=st.integers(0, 10**6), levels=st.integers(0, 3), value=json_values)
def test_an_edit_is_refused_by_name(whole: dict[str, Any], place: int, levels: int, value: object) -> None:
    check_edit(whole, place, levels, value)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@SLOW
@given(place=st.integers(0, 10**6), levels=st.integers(0, 3), value=json_values)
def test_thousands_of_edits_are_refused_by_name(whole: dict[str, Any], place: int, levels: int, value: object) -> None:
    check_edit(whole, place, levels, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "it is not JSON", id="empty"),
        pytest.param("[" * 100_000, "it is not JSON", id="deep"),
        pytest.param('{"a":' * 100_000, "it is not JSON", id="deep objects"),
        pytest.param('{"n": ' + "9" * 5000 + "}", "it is not JSON", id="number of 5000 digits"),
        pytest.param('{"n": NaN}', "NaN is not a number", id="NaN"),
        pytest.param('{"n": 1, "n": 2}', "n stands twice", id="twice"),
        pytest.param(b"\xff\xfe{}", "it is not JSON", id="another encoding"),
        pytest.param(
            '{"schema_version": 2}', "this forecaster reads 1: serve it with the version", id="a later version"
        ),
        pytest.param('{"schema_version": "1"}', "'1'; this forecaster reads 1", id="version as text"),
        pytest.param('{"schema_version": 1, "' + "x" * 10**6 + '": 1}', "is missing", id="a long name"),
    ],
)
def test_what_is_no_artifact_says_so_in_few_words(text: str | bytes, said: str) -> None:
    with pytest.raises(forecaster.ForecasterError, match=said) as caught:
        forecaster.load(text)
    assert len(str(caught.value)) < 600


def test_a_deep_provenance_is_refused_and_not_a_crash(whole: dict[str, Any]) -> None:
    for depth in (100, 900, 1500, 100_000):
        text = artifact.dumps(whole).replace(
            '"provenance":{', '"provenance":{"a":' + "[" * depth + "]" * depth + ",", 1
        )
        with pytest.raises(forecaster.ForecasterError):
            forecaster.load(text)


# -- what is no artifact ----------------------------------------------------------------------------------------------


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for content in (pickle.dumps(Boom(mark)), gzip.compress(pickle.dumps(Boom(mark)))):
        (tmp_path / "model.tar.gz").write_bytes(content)
        assert "not a readable .tar.gz" in refused(tmp_path / "model.tar.gz")
    assert "one file forecaster.json is expected" in refused(
        tar(tmp_path / "model.tar.gz", ("model.pkl", pickle.dumps(Boom(mark))))
    )
    refused(tar(tmp_path / "model.tar.gz", ("forecaster.json", pickle.dumps(Boom(mark)))))
    with pytest.raises(forecaster.ForecasterError):
        forecaster.load(pickle.dumps(Boom(mark)))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Boom(mark)))  # what whoever reads it as one would have done
    assert mark.exists()


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([("/tmp/forecaster.json", b"{}")], id="absolute"),
        pytest.param([("../forecaster.json", b"{}")], id="parent"),
        pytest.param([("a/../../forecaster.json", b"{}")], id="parent in the middle"),
        pytest.param([("forecaster.json", (tarfile.SYMTYPE, "/etc/passwd"))], id="symbolic link"),
        pytest.param([("forecaster.json", (tarfile.LNKTYPE, "/etc/passwd"))], id="hard link"),
        pytest.param([("forecaster.json", (tarfile.FIFOTYPE, ""))], id="pipe"),
        pytest.param([("forecaster.json", (tarfile.CHRTYPE, ""))], id="device"),
        pytest.param([("l", (tarfile.SYMTYPE, "..")), ("l/forecaster.json", b"{}")], id="through a link"),
        pytest.param([("forecaster.json", b"{}"), ("forecaster.json", b"{}")], id="twice"),
        pytest.param([(f"{n}.json", b"{}") for n in range(5000)], id="thousands"),
        pytest.param([("x" * 5000, b"{}")], id="a long name"),
    ],
)
def test_archives_of_other_things_are_refused_and_written_nowhere(
    tmp_path: Path, entries: list[tuple[str, Any]]
) -> None:
    path = tar(tmp_path / "model.tar.gz", *entries)
    assert "one file forecaster.json is expected" in refused(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([("/tmp/escaped", b"x")], id="absolute"),
        pytest.param([("../escaped", b"x")], id="parent"),
        pytest.param([("l", (tarfile.SYMTYPE, "..")), ("l/escaped", b"x")], id="through a link"),
        pytest.param([("escaped", (tarfile.SYMTYPE, "/etc/passwd"))], id="link out"),
        pytest.param([("escaped", (tarfile.LNKTYPE, "../../secret"))], id="hard link out"),
        pytest.param([("escaped", (tarfile.CHRTYPE, ""))], id="device"),
    ],
)
def test_the_object_store_unpacks_nothing_outside_its_folder(tmp_path: Path, entries: list[tuple[str, Any]]) -> None:
    bucket = tmp_path / "root" / "s3" / "models"
    bucket.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    tar(bucket / "model.tar.gz", *entries)
    target = tmp_path / "root" / "ml"
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(target)}
    with contextlib.suppress(tarfile.TarError, OSError):
        ObjectStore(tmp_path / "root").extract("s3://models/model.tar.gz", target)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(target)} == before
    assert not Path("/tmp/escaped").exists()
    for path in target.rglob("*"):
        assert path.resolve().is_relative_to(target.resolve())
        assert not path.is_file() or path.read_text() != "secret"


def sparse(declared: int) -> bytes:
    """A tar of one GNU sparse member that declares so many bytes and holds none."""
    info = tarfile.TarInfo("forecaster.json")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % declared
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def pax_of(size: int) -> bytes:
    """A tar that begins with an extended header of so many bytes."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, size
    return info.tobuf(tarfile.USTAR_FORMAT) + b"0" * size


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: unzipped_file("forecaster.json", bytes(80_000_000)), id="zeros"),
        pytest.param(lambda: bytes(80_000_000), id="nothing but zeros"),
        pytest.param(lambda: sparse(8**11 - 1), id="sparse"),
        pytest.param(lambda: pax_of(80_000_000), id="a header of 80 MB"),
        pytest.param(lambda: pax_of(1024) * 3000, id="headers of headers"),
    ],
)
def test_bombs_are_refused_within_bounded_memory(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(gzip.compress(make(), compresslevel=1))
    tracemalloc.start()
    try:
        refused(path)
        with pytest.raises(ArchiveError):
            members(path.read_bytes(), where="model.tar.gz", limit_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * artifact.MAX_BYTES


def test_headers_of_headers_are_refused_by_every_reader(tmp_path: Path) -> None:
    bucket = tmp_path / "s3" / "models"
    bucket.mkdir(parents=True)
    path = bucket / "model.tar.gz"
    path.write_bytes(gzip.compress(pax_of(1024) * 3000))
    assert "not a readable .tar.gz" in refused(path)
    with pytest.raises(ArchiveError, match=r"cannot read .*model\.tar\.gz"):
        members(path.read_bytes(), where="model.tar.gz")
    with pytest.raises(tarfile.TarError):
        ObjectStore(tmp_path).extract("s3://models/model.tar.gz", tmp_path / "ml")


def unzipped_file(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def test_the_digest_covers_every_member(whole: dict[str, Any]) -> None:
    assert set(whole) == {"schema_version", "provenance", "series", "digest"}
    for path in [("provenance", "week"), ("series", "WGFUPUS2", "arima", "sigma2"), ("series", "WDIUPUS2", "scores")]:
        edited = replaced(whole, path, {"a": 1} if path[-1] == "scores" else 0.5)
        with pytest.raises(forecaster.ChecksumError, match="edited or damaged, take it from the registry again"):
            forecaster.load(json.dumps(edited))
    assert schema.digest(whole) == whole["digest"]
