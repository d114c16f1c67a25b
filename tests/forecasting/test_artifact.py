import io
import json
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting import artifact, models
from forecasting.configuration import SEASONAL_NAIVE, Configuration
from forecasting.errors import ArtifactError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def built(simulated):
    entry = models.fit(simulated, Configuration(harmonics=2)).entry
    return artifact.build_artifact({"SIM": entry}, provenance={"week": "2023-11-10", "code_version": "abc"})


def archive(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return path


def test_holds_what_it_was_given(built, simulated):
    assert built["schema_version"] == 1
    assert built["provenance"] == {"week": "2023-11-10", "code_version": "abc"}
    assert built["series"]["SIM"] == models.fit(simulated, Configuration(harmonics=2)).entry
    assert built["digest"] == artifact.digest(built)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_survives_its_text_to_the_last_bit(simulated, provenance):
    entry = models.fit(simulated, SEASONAL_NAIVE).entry
    one = artifact.build_artifact({"SIM": entry}, provenance=provenance)
    again = json.loads(artifact.dumps(one))
    assert again == one
    assert artifact.digest(again) == one["digest"]


def test_the_digest_does_not_depend_on_the_order_of_members(built):
    assert artifact.digest(dict(reversed(built.items()))) == built["digest"]


def test_the_digest_tells_artifacts_apart(built):
    other = artifact.build_artifact(built["series"], provenance={"week": "2023-11-17"})
    assert other["digest"] != built["digest"]


@pytest.mark.parametrize(
    ("entries", "provenance", "message"),
    [
        ({}, {}, "series: it is empty"),
        ({"A": {"unique_id": "A"}}, {}, "series A"),
        (None, {"loss": float("nan")}, "not JSON compliant"),
        (None, {"loss": np.float32(1)}, "not JSON serializable"),
    ],
    ids=["empty", "malformed", "nan", "numpy"],
)
def test_nothing_unreadable_is_built(built, entries, provenance, message):
    with pytest.raises(ArtifactError, match=message):
        artifact.build_artifact(built["series"] if entries is None else entries, provenance=provenance)


def test_goes_through_the_archive(built):
    packed = artifact.pack(built)
    assert artifact.unpack(packed) == built
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["forecaster.json"]


def test_the_same_artifact_gives_the_same_bytes(built, monkeypatch):
    one = artifact.pack(built)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert artifact.pack(built) == one


def test_reads_what_tar_makes_of_a_folder(built, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "forecaster.json").write_text(artifact.dumps(built))
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    assert artifact.unpack((tmp_path / "model.tar.gz").read_bytes()) == built


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "it holds nothing"),
        ([("model.pkl", b"x")], "it holds model.pkl"),
        ([("forecaster.json", b"{}"), ("more.txt", b"x")], "it holds forecaster.json, more.txt"),
        ([("forecaster.json", b"{}"), ("forecaster.json", b"{}")], "one file forecaster.json is expected"),
        ([("../forecaster.json", b"{}")], r"it holds \.\./forecaster.json"),
        ([("/forecaster.json", b"{}")], "it holds /forecaster.json"),
        ([("forecaster.json", (tarfile.SYMTYPE, "/etc/passwd"))], "one file forecaster.json is expected"),
        ([("forecaster.json", (tarfile.LNKTYPE, "other"))], "one file forecaster.json is expected"),
        ([("forecaster.json", (tarfile.DIRTYPE, ""))], "one file forecaster.json is expected"),
    ],
    ids=["empty", "other", "more", "twice", "parent", "root", "symlink", "hardlink", "folder"],
)
def test_other_archives_are_refused(tmp_path, members, message):
    with pytest.raises(ArtifactError, match=message):
        artifact.unpack(archive(tmp_path / "model.tar.gz", *members).read_bytes())


def test_a_damaged_artifact_is_named_with_its_archive(built, tmp_path):
    damaged = artifact.dumps(built).replace('"n":160', '"n":161').encode()
    with pytest.raises(ArtifactError, match=r"model\.tar\.gz/forecaster\.json: series SIM\.fourier\.phase"):
        artifact.unpack(archive(tmp_path / "model.tar.gz", ("forecaster.json", damaged)).read_bytes())


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:200], lambda b: b"no archive", lambda b: b""], ids=["cut", "text", "empty"]
)
def test_what_is_no_archive_is_refused(built, spoil):
    with pytest.raises(ArtifactError, match=r"model\.tar\.gz: it is not a readable"):
        artifact.unpack(spoil(artifact.pack(built)))


def test_a_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(artifact, "MAX_BYTES", 1000)
    bomb = archive(tmp_path / "model.tar.gz", ("forecaster.json", bytes(5000)))
    with pytest.raises(ArtifactError, match="it unpacks to more than the 1000 bytes"):
        artifact.unpack(bomb.read_bytes())
