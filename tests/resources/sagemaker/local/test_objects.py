"""S3 as a folder: addresses, prefixes, and archives that stay where they belong."""

import io
import tarfile

import pytest

from resources.sagemaker.local.objects import ObjectError, ObjectStore


@pytest.fixture(params=["filter", "python-before-3.11.4"])
def unpacking(request, monkeypatch):
    """With the filter of tarfile, and without one."""
    if request.param != "filter":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    elif not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has no filter for archives")


@pytest.fixture
def objects(tmp_path):
    for key in ("data/train/a.csv", "data/train/deep/b.csv", "data/train2/c.csv", "data/train/.tmp-half"):
        file = tmp_path / "s3/bucket" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(key)
    return ObjectStore(tmp_path)


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("s3://bucket/data/train/", ["a.csv", "deep/b.csv"]),
        ("s3://bucket/data/train", ["a.csv", "deep/b.csv", "2/c.csv"]),
        ("s3://bucket/data/train/a.csv", ["a.csv"]),
        ("s3://bucket", ["data/train/a.csv", "data/train/deep/b.csv", "data/train2/c.csv"]),
        ("s3://bucket/none/", []),
        ("s3://no-bucket/data", []),
    ],
    ids=["folder", "prefix is text", "one object", "bucket", "empty", "no bucket"],
)
def test_a_prefix_covers_the_keys_that_start_with_it(objects, uri, names):
    assert objects.names(uri) == names


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/../other/x",
        "s3://bucket/a/../../x",
        "s3://bucket/a/..",
        "s3://../x",
        "s3:///x",
        "s3://Bucket/x",
        "s3://a_b/x",
        "https://bucket/x",
        "bucket/x",
        "",
    ],
)
def test_addresses_that_are_none_or_lead_elsewhere_are_refused(objects, uri):
    with pytest.raises(ObjectError):
        objects.path(uri)


def test_a_link_inside_a_bucket_may_not_lead_out_of_it(objects, tmp_path):
    (tmp_path / "s3/bucket/out").symlink_to(tmp_path)
    with pytest.raises(ObjectError, match="leads out"):
        objects.path("s3://bucket/out/x")


def test_a_bucket_may_be_a_link(objects, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "s3/lake").symlink_to(elsewhere)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/m.json").write_text("{}")
    objects.upload(tmp_path / "model", "s3://lake/models")
    assert (elsewhere / "models/m.json").read_text() == "{}"
    assert objects.names("s3://lake/models/") == ["m.json"]


@pytest.mark.usefixtures("unpacking")
def test_an_archive_is_packed_and_unpacked(objects, tmp_path):
    objects.upload_archive(tmp_path / "s3/bucket/data/train", "s3://bucket/out/model.tar.gz")
    objects.extract("s3://bucket/out/model.tar.gz", tmp_path / "model")
    assert (tmp_path / "model/deep/b.csv").read_text() == "data/train/deep/b.csv"
    assert [file.name for file in (tmp_path / "s3/bucket/out").iterdir()] == ["model.tar.gz"]


@pytest.mark.usefixtures("unpacking")
@pytest.mark.parametrize("member", ["../escape", "/escape", "link"])
def test_an_archive_that_would_write_elsewhere_is_refused(objects, tmp_path, member):
    target = tmp_path / "s3/bucket/bad.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        info = tarfile.TarInfo(member)
        if member == "link":
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info, io.BytesIO(b""))
    if member == "/escape":  # the leading slash is taken off, as tar does
        objects.extract("s3://bucket/bad.tar.gz", tmp_path / "model")
        assert (tmp_path / "model/escape").exists()
        return
    with pytest.raises(tarfile.TarError):
        objects.extract("s3://bucket/bad.tar.gz", tmp_path / "model")
    assert not (tmp_path / "escape").exists()
