from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from resources.eia.client import EiaClient
from resources.eia.errors import (
    EiaError,
    EiaUnreachableError,
    FutureWeekError,
    HistoryShortenedError,
    MissingWeeksError,
    ObservationsInvalidError,
    OlderReleaseError,
    ScaleChangedError,
    WeekNotReleasedError,
)
from resources.eia.release import Demands, keep_release, kept_release, newest_record
from resources.eia.resource import Eia
from resources.eia.sample import sample_csv
from resources.lake import Lake, MixedLakeError
from tests.world import fingerprint

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


def demands(week: date) -> Demands:
    return Demands(week=week, now=NOW, complete_from=date(2013, 1, 4), plausible={"WGFUPUS2": (3000, 15_000)})


def keep(source: EiaClient, lake: Lake, week: date) -> pd.Series:
    table = keep_release(source, lake, demands(week))
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
    newest = newest_record(lake, "WGFUPUS2")
    assert newest is not None
    assert newest["sha256"] == after["sha256"]


def test_a_week_not_released_yet_says_when_it_is_due_and_writes_nothing(tmp_path: Path, lake: Lake) -> None:
    source = publish(tmp_path / "eia", FIRST)
    with pytest.raises(WeekNotReleasedError, match=r"the newest is 2024-06-21, 2024-06-28 is due Wed 2024-07-03 10:30"):
        keep_release(source, lake, demands(SECOND))
    assert not lake.root.exists()


def test_simulated_figures_never_enter_a_real_lake(tmp_path: Path, lake: Lake) -> None:
    keep(publish(tmp_path / "eia", FIRST), lake, FIRST)
    sample = EiaClient.open("sample", now=lambda: NOW, series=["WGFUPUS2"])
    with pytest.raises(MixedLakeError, match="holds real figures and these are simulated"):
        keep_release(sample, lake, demands(FIRST))
    assert not (lake.root / "release" / f"week={SECOND}").exists()


def test_two_kinds_of_figures_at_once_claim_nothing(tmp_path: Path, lake: Lake) -> None:
    publish(tmp_path / "eia", FIRST)
    (tmp_path / "eia" / "WDIUPUS2.csv").write_bytes(sample_csv("WDIUPUS2", last=FIRST))
    both = replace(demands(FIRST), plausible={"WGFUPUS2": (3000, 15_000), "WDIUPUS2": (1000, 8000)})
    with pytest.raises(MixedLakeError):
        keep_release(EiaClient.open(str(tmp_path / "eia"), now=lambda: NOW), lake, both)
    assert not lake.root.exists()


@pytest.mark.parametrize(
    ("weeks", "value", "error"),
    [
        pytest.param((FIRST, SECOND + timedelta(weeks=1)), 9000, FutureWeekError, id="not due"),
        pytest.param((FIRST - timedelta(weeks=2), FIRST, SECOND), 9000, MissingWeeksError, id="gap"),
        pytest.param((FIRST, SECOND), 14_000, ScaleChangedError, id="scale"),
        pytest.param((SECOND,), 9000, HistoryShortenedError, id="shortened"),
        pytest.param((FIRST - timedelta(weeks=1),), 9000, OlderReleaseError, id="older"),
    ],
)
def test_what_is_refused_is_not_kept(
    tmp_path: Path, lake: Lake, weeks: tuple[date, ...], value: int, error: type[EiaError]
) -> None:
    lake.write(
        "observations", FIRST, pd.DataFrame({"unique_id": ["WGFUPUS2"], "ds": [pd.Timestamp(FIRST)], "y": [9e3]})
    )
    keep(publish(tmp_path / "eia", FIRST), lake, FIRST)
    before = fingerprint(lake.root)
    with pytest.raises(error):
        keep_release(publish(tmp_path / "eia", *weeks, value=value), lake, demands(SECOND))
    assert fingerprint(lake.root) == before


def test_weeks_after_the_one_asked_for_are_looked_at_too(tmp_path: Path, lake: Lake) -> None:
    source = publish(tmp_path / "eia", FIRST)
    (tmp_path / "eia" / "WGFUPUS2.csv").write_text(f"date,value\n{FIRST},9000\n{SECOND},-1\n")
    with pytest.raises(ObservationsInvalidError, match=f"week {SECOND}"):
        keep_release(source, lake, demands(FIRST))


def test_bytes_that_were_lost_are_fetched_again(tmp_path: Path, lake: Lake) -> None:
    source = publish(tmp_path / "eia", FIRST)
    digest = keep(source, lake, FIRST)["sha256"]
    (lake.root / "blobs" / digest).unlink()
    assert keep(source, lake, FIRST)["sha256"] == digest
    assert lake.blob(digest)


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


def test_the_sample_does_not_stand_in_where_others_bring_figures(offline: list[str], lake: Lake) -> None:
    with pytest.raises(EiaUnreachableError):
        Eia(source="auto", lake=lake, may_simulate=False).open(["WGFUPUS2"], now=NOW).newest_week(["WGFUPUS2"])
    assert offline == ["live"]
