import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake import (
    DamagedTableError,
    Lake,
    LakeError,
    LakeWriteError,
    MissingTableError,
    MixedLakeError,
    UnsupportedLakeError,
    content_digest,
)

WEEK = date(2023, 11, 10)


def frame(y: float = 8800.0) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": ["WGFUPUS2"], "ds": pd.to_datetime([WEEK]).as_unit("us"), "y": [y]})


def written(lake: Lake, week: date = WEEK) -> str:
    """The key of a table."""
    lake.write("observations", week, frame())
    return lake.key("observations", week)


def path_of(lake: Lake, week: date = WEEK) -> Path:
    return lake.root / written(lake, week)


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
    key = written(lake)
    before = lake.read_bytes(key)
    unwritable = pd.DataFrame({"y": [object()]})
    with pytest.raises(Exception, match="object"):
        lake.write("observations", WEEK, unwritable)
    assert lake.read_bytes(key) == before
    assert list(lake.storage.keys("observations")) == [key]


def test_what_was_written_later_says_so(lake: Lake) -> None:
    weeks = [WEEK - timedelta(weeks=ago) for ago in range(8)]
    assert lake.written_at("observations", WEEK) is None
    for week in weeks:
        lake.write("observations", week, frame())
    times = [lake.written_at("observations", week) or 0 for week in weeks]
    assert times == sorted(times)
    assert abs(times[0] / 1e9 - time.time()) < 60


def test_a_write_that_the_system_refuses_is_a_named_error(folder_lake: Lake) -> None:
    lake = folder_lake
    lake.root.mkdir()
    (lake.root / "observations").write_text("a file where a folder should be")
    with pytest.raises(LakeWriteError, match=r"cannot write .*observations/week=2023-11-10/data.parquet: ") as caught:
        lake.write("observations", WEEK, frame())
    assert caught.value.where == lake.where(lake.key("observations", WEEK))
    assert "Nothing is half-written" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: content[:-8] + b"garbage!", id="tail overwritten"),
        pytest.param(lambda content: b"<html>not a table</html>", id="another file"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[:20] + b"\xff" * (len(content) - 40) + content[-20:], id="middle lost"),
    ],
)
def test_a_damaged_table_is_a_named_error(lake: Lake, damage: Callable[[bytes], bytes]) -> None:
    key = written(lake)
    lake.write_bytes(key, damage(lake.read_bytes(key)))
    with pytest.raises(DamagedTableError, match=r"observations/week=2023-11-10/data.parquet is damaged") as caught:
        lake.read("observations", WEEK)
    assert "delete it and run `forecast refresh --week 2023-11-10 --force`" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(content=st.binary(max_size=300), at=st.integers(0, 2000))
def test_whatever_is_damaged_is_named(content: bytes, at: int) -> None:
    with TemporaryDirectory() as folder:
        lake = Lake(uri=folder)
        path = path_of(lake)
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + content + whole[at + len(content) :])
        with suppress(DamagedTableError):  # and no other error; damage where nothing is read is none
            lake.read("observations", WEEK)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"figures": "invented"}', '{"figures": ["real"]}', "\xff"])
def test_a_damaged_mark_of_the_lake_is_a_named_error(lake: Lake, content: str) -> None:
    lake.claim("real")
    lake.write_bytes("lake.json", content.encode("latin-1"))
    for look in (lambda: lake.kind, lambda: lake.claim("real")):
        with pytest.raises(DamagedTableError, match=r"lake.json is damaged.*\"figures\": \"real\""):
            look()


def test_a_folder_that_is_of_no_week_is_a_named_error(lake: Lake) -> None:
    content = lake.read_bytes(written(lake))
    lake.write_bytes("observations/week=2023-11-10.bak/data.parquet", content)
    with pytest.raises(DamagedTableError, match=r"week=2023-11-10.bak is damaged .*move it out of the lake"):
        lake.weeks("observations")


def test_leftovers_of_a_week_go_at_once_and_all_others_with_time(folder_lake: Lake) -> None:
    lake = folder_lake
    path = path_of(lake)
    ours = path.with_name(f".data.parquet.{'0' * 32}")
    other = path_of(lake, date(2023, 11, 3)).with_name(ours.name)
    gone = lake.root / "_sagemaker" / f".gone-{'1' * 32}"
    (gone / "deep").mkdir(parents=True)
    for left in (ours, other, gone / "deep" / "file"):
        left.write_bytes(b"half")
    kept = lake.root / "_dagster" / ".telemetry"
    kept.parent.mkdir()
    kept.touch()
    folder = lake.folder
    assert folder is not None
    assert folder.sweep(WEEK) == 1
    assert (ours.exists(), other.exists(), gone.exists()) == (False, True, True)
    assert folder.sweep(abandoned_s=0) == 2
    assert (other.exists(), gone.exists(), kept.exists(), path.exists()) == (False, False, True, True)


def test_sql_reads_the_layout(folder_lake: Lake) -> None:
    lake = folder_lake
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
    if lake.folder is not None:
        assert [item.name for item in lake.root.iterdir()] == ["lake.json"]


def _claim(uri: str, kind: str) -> str:
    try:
        Lake(uri=uri).claim(kind)  # type: ignore[arg-type]
    except MixedLakeError:
        return "refused"
    return kind


def test_of_two_first_writers_one_wins(lake: Lake) -> None:
    with ThreadPoolExecutor(2) as pool:
        for attempt in range(20 if lake.folder else 5):
            uri = f"{lake.uri}-{attempt}"
            outcomes = list(pool.map(_claim, [uri, uri], ["real", "simulated"]))
            assert sorted(outcomes) == sorted([str(Lake(uri=uri).kind), "refused"])


def test_a_key_can_be_deleted_and_may_be_gone_already(lake: Lake) -> None:
    for name in ("a/b/one", "a/two"):
        lake.write_bytes(name, b"x")
    for _ in range(2):
        lake.storage.delete("a/b/one")
    assert list(lake.storage.keys("a")) == ["a/two"]
    assert lake.storage.written_at("a/b/one") is None


def test_blobs_are_kept_once_and_verified(lake: Lake) -> None:
    digest = lake.put_blob(b"release")
    assert lake.put_blob(b"release") == digest
    assert lake.blob(digest) == b"release"
    lake.write_bytes(f"blobs/{digest}", b"tampered")
    with pytest.raises(LakeError, match="was changed"):
        lake.blob(digest)
    with pytest.raises(LakeError, match="has lost blob"):
        lake.blob(digest[::-1])


@pytest.mark.parametrize("uri", ["s3://", "gs://bucket", "file://elsewhere/path"])
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
