"""Tables in and out of a container."""

from pathlib import Path

import pandas as pd
import pytest

from containers.tables import TableError, content_digest, read_table, write_table

TABLE = pd.DataFrame(
    {"ds": pd.to_datetime(["2023-11-03", "2023-11-10"]), "y": [0.1 + 0.2, 2.0], "replaced": [True, False]}
)


def test_files_of_a_channel_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, value in (("b", 2), ("a", 1)):
        pd.DataFrame({"y": [value], "other": 0}).to_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "manifest.json").write_text("{}")
    assert read_table(tmp_path, ("y",)).to_dict("list") == {"y": [1, 2]}


def test_written_table_is_read_back_whole(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "made" / "data.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "made", tuple(TABLE.columns)), TABLE)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["data.parquet"]


def test_unusable_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"no Parquet file in .*"):
        read_table(tmp_path, ("y",))
    (tmp_path / "data.parquet").write_bytes(b"ds,y\n")
    with pytest.raises(TableError, match=r"data\.parquet is not a Parquet file"):
        read_table(tmp_path, ("y",))
    write_table(TABLE, tmp_path / "data.parquet")
    with pytest.raises(TableError, match="lacks the columns unique_id, x; it has ds, y, replaced"):
        read_table(tmp_path, ("unique_id", "y", "x"))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(TABLE.assign(y=[0.3, 2.0]), id="the last bit of a value"),
        pytest.param(TABLE.rename(columns={"y": "x"}), id="a name"),
        pytest.param(TABLE.iloc[::-1], id="the order"),
        pytest.param(TABLE.iloc[:1], id="a row"),
    ],
)
def test_digest_changes_with_the_content(changed: pd.DataFrame) -> None:
    assert content_digest(changed) != content_digest(TABLE)


def test_digest_is_of_the_content_alone() -> None:
    same = TABLE.set_index(pd.Index([7, 8])).astype({"ds": "datetime64[s]"})
    assert content_digest(same) == content_digest(TABLE)
    assert content_digest(TABLE, TABLE) != content_digest(pd.concat([TABLE, TABLE]))
