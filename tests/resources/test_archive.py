import gzip
import io
import random
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from resources.archive import ArchiveError, JobFiles, members


def packed(path: Path, *files: tarfile.TarInfo, content: bytes = b"{}") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for file in files:
            file.size = len(content) if file.isfile() else 0
            archive.addfile(file, io.BytesIO(content))
    return path


def test_files_come_by_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.tar.gz", tarfile.TarInfo("./forecaster.json"), tarfile.TarInfo("scores.parquet"))
    assert members(path.read_bytes(), where="a.tar.gz") == {"forecaster.json": b"{}", "scores.parquet": b"{}"}


def test_a_path_that_leads_out_and_a_link_write_nothing(tmp_path: Path) -> None:
    link = tarfile.TarInfo("forecaster.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = packed(tmp_path / "a.tar.gz", tarfile.TarInfo("../../escaped"), link)
    before = sorted(tmp_path.rglob("*"))
    assert members(path.read_bytes(), where="a.tar.gz") == {"../../escaped": b"{}"}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_damaged_archive_is_refused_by_name(tmp_path: Path, kept: float) -> None:
    content = packed(tmp_path / "a.tar.gz", tarfile.TarInfo("a"), content=random.Random(1).randbytes(5000)).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ArchiveError, match="a.tar.gz.*run the week again with --force"):
        members((tmp_path / "a.tar.gz").read_bytes(), where="a.tar.gz")


def test_a_bomb_is_refused_without_being_unpacked(tmp_path: Path) -> None:
    header = tarfile.TarInfo("forecaster.json")
    header.size = 2_000_000_000
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        file.write(header.tobuf())
        for _ in range(200):
            file.write(bytes(1_000_000))
    started = time.process_time()
    with pytest.raises(ArchiveError, match="unpacks to more than 1,000,000 bytes"):
        members((tmp_path / "a.tar.gz").read_bytes(), where="a.tar.gz", limit_bytes=1_000_000)
    assert time.process_time() - started < 0.5


def test_a_sparse_file_that_claims_what_it_has_not_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("forecaster.json")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % 8_000_000_000  # the size it unfolds to
    block[148:156] = b"%06o\0 " % (256 + sum(block[:148]) + sum(block[156:512]))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bytes(block) + bytes(1024)))
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        members((tmp_path / "a.tar.gz").read_bytes(), where="a.tar.gz")


def test_an_archive_with_any_byte_changed_is_read_or_refused_by_name(tmp_path: Path) -> None:
    content = packed(tmp_path / "a.tar.gz", tarfile.TarInfo("a"), content=b"{}" * 500).read_bytes()
    plain = gzip.decompress(content)
    draws = random.Random(1)
    for number in range(400):
        damaged = bytearray(plain if number % 2 else content)
        for _ in range(3):
            damaged[draws.randrange(min(len(damaged), 600))] = draws.randrange(256)
        (tmp_path / "b.tar.gz").write_bytes(gzip.compress(bytes(damaged), 1) if number % 2 else bytes(damaged))
        with suppress(ArchiveError):
            assert isinstance(members((tmp_path / "b.tar.gz").read_bytes(), where="a.tar.gz"), dict)


def test_a_file_that_a_job_did_not_leave_is_missed_by_name(tmp_path: Path) -> None:
    files = JobFiles("jobs/a", {"scores.parquet": b"", "failures.json": b"{}"})
    assert files.content("failures.json") == b"{}"
    with pytest.raises(ArchiveError, match=r"lacks trials.parquet, it holds failures.json, scores.parquet; run"):
        files.table("trials.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1", b"no table"])
def test_a_damaged_table_of_a_job_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveError, match=r"(?s)trials.parquet in .* is no Parquet file: .*--force"):
        JobFiles("jobs/a", {"trials.parquet": content}).table("trials.parquet")
