from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from resources.eia.client import EiaClient
from resources.eia.errors import EiaUnreachableError, WeekNotReleasedError
from resources.eia.release import keep_release, kept_release, newest_kept
from resources.eia.resource import Eia
from resources.lake import Lake, MixedLakeError

NOW = datetime(2024, 7, 5, 12, tzinfo=UTC)
FIRST, SECOND = date(2024, 6, 21), date(2024, 6, 28)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(uri=str(tmp_path / "lake"))


def publish(folder: Path, *weeks: date, value: int = 9000) -> EiaClient:
    folder.mkdir(exist_ok=True)
    rows = "".join(f"{week},{value}\n" for week in weeks)
    (folder / "WGFUPUS2.csv").write_text(f"date,value\n{rows}")
    return EiaClient.open(str(folder), now=lambda: NOW, series=["WGFUPUS2"])


def keep(source: EiaClient, lake: Lake, week: date) -> pd.Series:
    table = keep_release(source, lake, series=["WGFUPUS2"], week=week)
    lake.write("release", week, table)
    return table.iloc[0]


def test_the_bytes_are_kept_as_published(tmp_path: Path, lake: Lake) -> None:
    record = keep(publish(tmp_path / "eia", FIRST), lake, FIRST)
    assert lake.blob(record["sha256"]) == (tmp_path / "eia" / "WGFUPUS2.csv").read_bytes()
    assert (record["source"], record["reconstructed"], lake.kind) == ("file", False, "real")
    [row] = lake.read("release", FIRST).to_dict("records")
    assert kept_release(lake, row).fetched_at == NOW


def test_a_past_week_is_reconstructed_and_says_so(tmp_path: Path, lake: Lake) -> None:
    assert keep(publish(tmp_path / "eia", FIRST, SECOND), lake, FIRST)["reconstructed"]


def test_a_week_kept_as_published_stays_when_the_source_moves_on(tmp_path: Path, lake: Lake) -> None:
    before = keep(publish(tmp_path / "eia", FIRST), lake, FIRST)
    after = keep(publish(tmp_path / "eia", FIRST, SECOND, value=9999), lake, FIRST)
    assert after["sha256"] == before["sha256"]
    assert not after["reconstructed"]


def test_a_revision_of_the_same_week_replaces_its_release_and_keeps_the_old_bytes(tmp_path: Path, lake: Lake) -> None:
    before = keep(publish(tmp_path / "eia", FIRST), lake, FIRST)
    after = keep(publish(tmp_path / "eia", FIRST, value=9100), lake, FIRST)
    assert after["sha256"] != before["sha256"]
    assert lake.blob(before["sha256"])
    newest = newest_kept(lake, "WGFUPUS2")
    assert newest is not None
    assert newest.sha256 == after["sha256"]


def test_a_week_not_released_yet_says_when_it_is_due_and_writes_nothing(tmp_path: Path, lake: Lake) -> None:
    source = publish(tmp_path / "eia", FIRST)
    with pytest.raises(WeekNotReleasedError, match=r"the newest is 2024-06-21, 2024-06-28 is due Wed 2024-07-03 10:30"):
        keep_release(source, lake, series=["WGFUPUS2"], week=SECOND)
    assert not lake.root.exists()


def test_simulated_figures_never_enter_a_real_lake(tmp_path: Path, lake: Lake) -> None:
    keep(publish(tmp_path / "eia", FIRST), lake, FIRST)
    sample = EiaClient.open("sample", now=lambda: NOW, series=["WGFUPUS2"])
    with pytest.raises(MixedLakeError, match="holds real figures and these are simulated"):
        keep_release(sample, lake, series=["WGFUPUS2"], week=FIRST)
    assert not (lake.root / "release" / f"week={SECOND}").exists()


class Unreachable:
    """Stands for the network: `live` cannot be reached from a test anyway, and must not try."""

    def newest_week(self, series: list[str]) -> date:
        raise EiaUnreachableError("https://www.eia.gov", "no route")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    real = EiaClient.open

    def open_(spec: str, **options: object) -> object:
        opened.append(spec)
        return Unreachable() if spec == "live" else real(spec, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(EiaClient, "open", open_)
    return opened


def test_auto_takes_the_sample_only_for_an_empty_lake(offline: list[str], lake: Lake) -> None:
    eia = Eia(source="auto", lake=lake)
    assert eia.open(["WGFUPUS2"], now=NOW).newest_week(["WGFUPUS2"]) == SECOND
    assert offline == ["live", "sample"]
    lake.claim("real")
    with pytest.raises(EiaUnreachableError):
        eia.open(["WGFUPUS2"], now=NOW).newest_week(["WGFUPUS2"])


def test_auto_stays_with_the_sample_in_a_simulated_lake(offline: list[str], lake: Lake) -> None:
    lake.claim("simulated")
    Eia(source="auto", lake=lake).open(["WGFUPUS2"], now=NOW)
    assert offline == ["sample"]
