from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from resources.lake import (
    Lake,
    LakeError,
    MissingTableError,
    MixedLakeError,
    UnsupportedLakeError,
    content_digest,
)

WEEK = date(2023, 11, 10)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(uri=(tmp_path / "lake").as_uri())


def frame(y: float = 8800.0) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": ["WGFUPUS2"], "ds": pd.to_datetime([WEEK]).as_unit("us"), "y": [y]})


def test_a_table_comes_back_as_it_was_written(lake: Lake) -> None:
    lake.write("observations", WEEK, frame())
    pd.testing.assert_frame_equal(lake.read("observations", WEEK), frame())
    assert lake.has("observations", WEEK)
    assert lake.weeks("observations") == [WEEK]


def test_a_missing_week_says_what_to_do(lake: Lake) -> None:
    with pytest.raises(
        MissingTableError, match=r"no forecast of week 2023-11-10: .*forecast refresh --week 2023-11-10"
    ):
        lake.read("forecast", WEEK)


def test_a_failed_write_leaves_the_old_table_and_no_litter(lake: Lake) -> None:
    path = lake.write("observations", WEEK, frame())
    before = path.read_bytes()
    unwritable = pd.DataFrame({"y": [object()]})
    with pytest.raises(Exception, match="object"):
        lake.write("observations", WEEK, unwritable)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["data.parquet"]


def test_sql_reads_the_layout(lake: Lake) -> None:
    lake.write("observations", WEEK, frame(1.0))
    lake.write("observations", date(2023, 11, 17), frame(2.0))
    rows = duckdb.sql(
        f"select week, y from read_parquet('{lake.root}/observations/*/*.parquet', hive_partitioning = true) order by 1"
    ).fetchall()
    assert rows == [(WEEK, 1.0), (date(2023, 11, 17), 2.0)]


def test_a_lake_stays_of_its_kind(lake: Lake) -> None:
    assert lake.kind is None
    lake.claim("real")
    lake.claim("real")
    with pytest.raises(MixedLakeError, match="holds real figures and these are simulated"):
        lake.claim("simulated")
    assert lake.kind == "real"
    assert [item.name for item in lake.root.iterdir()] == ["lake.json"]


def _claim(uri: str, kind: str) -> str:
    try:
        Lake(uri=uri).claim(kind)  # type: ignore[arg-type]
    except MixedLakeError:
        return "refused"
    return kind


def test_of_two_first_writers_one_wins(lake: Lake) -> None:
    with ThreadPoolExecutor(2) as pool:
        for attempt in range(20):
            uri = f"{lake.uri}-{attempt}"
            outcomes = list(pool.map(_claim, [uri, uri], ["real", "simulated"]))
            assert sorted(outcomes) == sorted([str(Lake(uri=uri).kind), "refused"])


def test_blobs_are_kept_once_and_verified(lake: Lake) -> None:
    digest = lake.put_blob(b"release")
    assert lake.put_blob(b"release") == digest
    assert lake.blob(digest) == b"release"
    (lake.root / "blobs" / digest).write_bytes(b"tampered")
    with pytest.raises(LakeError, match="was changed"):
        lake.blob(digest)
    (lake.root / "blobs" / digest).unlink()
    with pytest.raises(LakeError, match="has lost blob"):
        lake.blob(digest)


@pytest.mark.parametrize("uri", ["s3://bucket/prefix", "gs://bucket", "file://elsewhere/path"])
def test_a_lake_it_cannot_reach_is_refused_by_name(uri: str) -> None:
    with pytest.raises(UnsupportedLakeError, match="is not supported"):
        Lake(uri=uri).root  # noqa: B018


def test_the_digest_is_of_content_and_order() -> None:
    assert content_digest(frame()) == content_digest(frame())
    assert content_digest(frame()) != content_digest(frame(8801.0))
    assert content_digest(frame()) != content_digest(frame().rename(columns={"y": "z"}))
    assert content_digest(frame().assign(seconds=1.5)) == content_digest(frame()), "how long it took is not content"
    two = pd.concat([frame(1.0), frame(2.0)])
    assert content_digest(two) != content_digest(two.iloc[::-1])
