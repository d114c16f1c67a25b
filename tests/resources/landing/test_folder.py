import os
import socket
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from resources.eia.sample import sample_csv
from resources.landing import LandingPlaceError
from resources.landing.folder import REJECTED, WatchedFolder
from tests.resources.landing.conftest import NEWEST, NOW, OLDER, Site
from tests.workbooks import workbook

Csv = Callable[..., bytes]


class Folder:
    """A folder that is looked at; each look knows of the one before what a cursor can say."""

    def __init__(self, path: Path, site: Site) -> None:
        self.path, self.site, self.cursor = path, site, None
        path.mkdir()

    def look(self) -> int:
        place = WatchedFolder(self.path, cursor=self.cursor)
        news = self.site.intake.take(place)
        self.cursor = place.cursor
        return news

    def put(self, name: str, content: bytes) -> Path:
        path = self.path / name
        path.write_bytes(content)
        return path

    def rejected(self) -> list[str]:
        return sorted(path.name for path in self.path.glob(f"{REJECTED}/*"))


@pytest.fixture
def folder(tmp_path: Path, site: Site) -> Folder:
    return Folder(tmp_path / "landing", site)


def test_a_file_is_taken_once_and_again_when_it_changes(folder: Folder, csv: Csv) -> None:
    path = folder.put("WGFUPUS2.csv", csv())
    folder.put("WDIUPUS2w.xls", workbook([(OLDER, 4100), (NEWEST, 4200)], keys=("Sourcekey", "WDIUPUS2")))
    assert [folder.look(), folder.look(), folder.look()] == [0, 2, 0]
    assert folder.site.holds() == {"WGFUPUS2": [NEWEST], "WDIUPUS2": [NEWEST]}
    assert path.exists(), "it is somebody else's"
    revised = csv(value=4500)
    folder.put("WGFUPUS2.csv", revised)
    assert [folder.look(), folder.look()] == [0, 1]
    assert folder.site.newest() == revised


def test_a_file_that_is_being_written_is_left_alone_until_it_rests(folder: Folder, csv: Csv) -> None:
    whole = csv()
    for written in (20, 45, len(whole)):
        folder.put("WGFUPUS2.csv", whole[:written])
        assert folder.look() == 0
    assert folder.look() == 1
    assert (folder.rejected(), folder.site.alerts.open_keys()) == ([], [])


def test_a_file_that_changes_while_it_is_read_is_looked_at_again(folder: Folder, csv: Csv) -> None:
    path = folder.put("WGFUPUS2.csv", csv())
    folder.look()
    place = WatchedFolder(path.parent, cursor=folder.cursor)
    [arrival] = place.arrivals()
    folder.put("WGFUPUS2.csv", csv()[:-3])
    assert arrival.read() is None


@pytest.mark.parametrize("name", [".WGFUPUS2.csv", "WGFUPUS2.csv.part", "WGFUPUS2.csv~", "_SUCCESS", "WGFUPUS2.TMP"])
def test_hidden_and_temporary_names_and_folders_are_nobodys_business(folder: Folder, csv: Csv, name: str) -> None:
    path = folder.put(name, csv())
    (folder.path / "archive").mkdir()
    assert [folder.look(), folder.look()] == [0, 0]
    assert path.exists()
    assert not folder.rejected()


POISON = {
    "a web page": ("WGFUPUS2w.xls", b"<html><title>Sorry</title></html>", "WorkbookError"),
    "half a workbook": ("WGFUPUS2w.xls", workbook()[:900], "WorkbookError"),
    "another series": ("WDIUPUS2w.xls", workbook(), "SeriesMismatchError"),
    "a series nobody configured": ("WKJUPUS2.csv", b"date,value\n2024-06-28,1500\n", "no series WKJUPUS2"),
    "another name": ("readme.txt", b"hello", "its name is not of that form"),
    "absurd figures": ("WGFUPUS2.csv", b"date,value\n2024-06-21,9000\n2024-06-28,99999\n", "ObservationsInvalidError"),
    "no Friday": ("WGFUPUS2.csv", b"date,value\n2024-06-27,9000\n", "ObservationsInvalidError"),
    "the far future": ("WGFUPUS2.csv", b"date,value\n2099-06-26,9000\n", "FutureWeekError"),
    "missing weeks": ("WGFUPUS2.csv", b"date,value\n2024-06-07,9000\n2024-06-28,9000\n", "MissingWeeksError"),
    "nothing": ("WGFUPUS2.csv", b"", "ReleaseFormatError"),
    "too much": ("WGFUPUS2.csv", bytes(20_000_001), "ReleaseTooLargeError"),
    "simulated figures": ("WGFUPUS2.csv", sample_csv("WGFUPUS2", last=NEWEST), "MixedLakeError"),
    "a name that is no text": (os.fsdecode(b"\xff.csv"), b"x", "its name is not of that form"),
}


@pytest.mark.parametrize(("name", "content", "reason"), POISON.values(), ids=POISON.keys())
def test_poison_is_set_aside_with_its_reason_said_once_and_in_nobodys_way(
    folder: Folder, csv: Csv, name: str, content: bytes, reason: str
) -> None:
    folder.site.lake.claim("real")
    good = "WGFUPUS2.csv" if name.startswith("WDI") else "WDIUPUS2.csv"
    for _ in range(2):  # whoever copies a folder brings it again
        folder.put(name, content)
        folder.put(good, csv())
        folder.look()
        folder.look()
    assert list(folder.site.holds().values()) == [[NEWEST]]
    assert not (folder.path / name).exists()
    assert folder.rejected() == sorted([name, f"{name}.reason.txt"])
    assert (folder.path / REJECTED / name).read_bytes() == content
    assert reason in (folder.path / REJECTED / f"{name}.reason.txt").read_text()
    [key] = folder.site.alerts.open_keys("landing:")
    assert key == "landing:" + name.encode(errors="backslashreplace").decode()


def test_different_poison_under_one_name_is_all_kept(folder: Folder) -> None:
    for content in (b"one", b"two"):
        folder.put("WGFUPUS2.csv", content)
        folder.look()
        folder.look()
    kept = {name: (folder.path / REJECTED / name).read_bytes() for name in folder.rejected() if name.endswith(".csv")}
    assert kept == {"WGFUPUS2.csv": b"one", "2-WGFUPUS2.csv": b"two"}


def test_a_good_file_ends_the_alert_of_a_bad_one(folder: Folder, csv: Csv) -> None:
    for content in (b"poison", csv()):
        folder.put("WGFUPUS2.csv", content)
        folder.look()
        folder.look()
    assert folder.site.alerts.open_keys() == []


def test_a_factor_of_a_thousand_is_seen_against_what_is_known(folder: Folder, csv: Csv) -> None:
    weeks = pd.date_range(OLDER - timedelta(weeks=2), OLDER, freq="7D").as_unit("us")
    known = pd.DataFrame({"unique_id": "WGFUPUS2", "ds": weeks, "y": 12_000.0, "source": "file"})
    folder.site.lake.write("observations", OLDER, known)
    folder.put("WGFUPUS2.csv", csv(value=4000))
    folder.look()
    folder.look()
    assert "ScaleChangedError" in (folder.path / REJECTED / "WGFUPUS2.csv.reason.txt").read_text()


def test_links_and_pipes_are_not_followed(folder: Folder, csv: Csv, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(csv())
    (folder.path / "WGFUPUS2.csv").symlink_to(secret)
    os.mkfifo(folder.path / "WDIUPUS2.csv")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(folder.path)  # the name of a socket may not be long
        try:
            listener.bind("WDIUPUS2w.xls")
        finally:
            os.chdir(before)
        assert [folder.look(), folder.look()] == [0, 0]
    assert len(folder.rejected()) == 6
    assert folder.site.holds() == {}
    assert secret.exists()


def test_what_cannot_be_moved_stays_and_is_not_read_again(folder: Folder, csv: Csv) -> None:
    (folder.path / REJECTED).write_text("a file, where a folder should be")
    folder.put("WGFUPUS2.csv", b"poison")
    folder.put("WDIUPUS2.csv", csv())
    assert [folder.look(), folder.look()] == [0, 1]
    assert "cannot be moved" in " ".join(folder.site.said)
    folder.site.said.clear()
    folder.look()
    assert not folder.site.said


def test_an_older_week_after_a_newer_one_is_kept_beside_it(folder: Folder, csv: Csv) -> None:
    for last in (NEWEST, OLDER):
        folder.put("WGFUPUS2.csv", csv(last, value=4000 + last.day))
        folder.look()
        folder.look()
    assert folder.site.holds() == {"WGFUPUS2": [OLDER, NEWEST]}
    assert folder.site.newest() == csv(NEWEST, value=4028)
    assert folder.site.alerts.open_keys() == []


def test_a_file_for_next_week_is_kept_and_one_for_the_week_after_refused(folder: Folder, csv: Csv) -> None:
    folder.put("WGFUPUS2.csv", csv(date(2024, 7, 5)))
    folder.put("WDIUPUS2.csv", csv(date(2024, 7, 12)))
    folder.look()
    assert folder.look() == 1
    assert folder.rejected()[0] == "WDIUPUS2.csv"


def test_what_died_before_it_could_note_what_it_kept_keeps_nothing_twice(folder: Folder, csv: Csv) -> None:
    folder.put("WGFUPUS2.csv", csv())
    folder.look()
    before = folder.cursor
    assert folder.look() == 1
    folder.cursor = before  # as it is when the process dies after the file is kept
    assert folder.look() == 0
    assert folder.site.said[-1] == "WGFUPUS2.csv: WGFUPUS2 to 2024-06-28, known already"


def test_a_cursor_that_is_none_costs_a_look(folder: Folder, csv: Csv) -> None:
    folder.put("WGFUPUS2.csv", csv())
    folder.cursor = '{"WGFUPUS2.csv": 5}'
    assert [folder.look(), folder.look()] == [0, 1]


def test_a_folder_that_is_not_there_is_said_once_until_it_is_back(folder: Folder) -> None:
    folder.path.rename(folder.path.with_name("away"))
    for _ in range(2):
        with pytest.raises(LandingPlaceError, match="No such file"):
            folder.look()
    assert len(folder.site.alerts.open_keys("landing:")) == 1
    folder.path.mkdir()
    folder.look()
    assert folder.site.alerts.open_keys() == []


def test_of_two_places_the_file_that_was_changed_later_counts_in_either_order(site: Site, csv: Csv) -> None:
    old, new = csv(value=4000), csv(value=4100)
    published = [
        site.intake._published("WGFUPUS2", "csv", content, f"s3://bucket/{number}/WGFUPUS2.csv")
        for number, content in enumerate([old, new])
    ]
    for first, second in ((0, 1), (1, 0)):
        for each in (first, second):
            site.landings.keep(published[each], newest=NEWEST, modified=NOW + timedelta(hours=each))
        assert site.newest() == new
