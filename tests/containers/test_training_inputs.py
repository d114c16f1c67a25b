"""What a fit reads of a search: its two tables, or the archive that holds both."""

import io
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from containers.contract import Paths
from containers.tables import TableError, read_archive
from containers.training.inputs import ERRORS, PARAMETERS, read_chosen, read_errors
from forecasting.configuration import Configuration

CHOSEN = Configuration(harmonics=1, holidays=False)


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    row = {"unique_id": "A", "chosen": True, **CHOSEN.to_dict(), "harmonics": "1"}
    errors = pd.DataFrame([dict.fromkeys(ERRORS, 1.0) | {"unique_id": "A", "observed": True}])
    return {"trials": pd.DataFrame([row]), "errors": errors}


def archive_of(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def parquet(table: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()


def write(root: Path, channel: str, name: str, content: bytes) -> None:
    folder = root / "input" / "data" / channel
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)


def test_the_archive_of_a_search_says_what_its_tables_say(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    packed = archive_of({f"./{name}.parquet": parquet(table) for name, table in tables.items()})
    write(tmp_path / "archive", "search", "model.tar.gz", packed)
    for name, table in tables.items():
        write(tmp_path / "tables", f"tuning_{name}", "data.parquet", parquet(table))
    archived, apart = Paths(tmp_path / "archive"), Paths(tmp_path / "tables")
    assert read_chosen(archived) == read_chosen(apart) == {"A": CHOSEN}
    pd.testing.assert_frame_equal(read_errors(archived), read_errors(apart))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({}, "lacks trials.parquet; it has nothing", id="empty"),
        pytest.param({"trials.parquet": b"x"}, "trials.parquet is not a Parquet file", id="damaged"),
        pytest.param(
            {"trials.parquet": parquet(pd.DataFrame({"unique_id": ["A"]}))},
            f"trials.parquet lacks the columns chosen, {PARAMETERS[0]}",
            id="columns",
        ),
    ],
)
def test_an_archive_without_the_search_is_refused(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    write(tmp_path, "search", "model.tar.gz", archive_of(files))
    with pytest.raises(TableError, match=said):
        read_chosen(Paths(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"no archive", archive_of({"a": b"1" * 2000})[:-30]], ids=["empty", "no archive", "cut off"]
)
def test_a_damaged_archive_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"model.tar.gz is not an archive of a job"):
        read_archive(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive_of({"a": b"1" * 20_000}))
    with pytest.raises(TableError, match="more than 1000 bytes"):
        read_archive(path, limit_bytes=1000)
