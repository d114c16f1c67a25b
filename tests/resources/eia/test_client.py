import logging
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resources.eia.client import EiaClient
from resources.eia.errors import FutureWeekError, ObservationsInvalidError, UnknownSeriesError
from resources.eia.published import NotModified, Published


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "WGFUPUS2.csv").write_text("date,value\n2024-06-21,8969\n2024-06-28,9424\n")
    (tmp_path / "WDIUPUS2.csv").write_text("date,value\n2024-06-21,3600\n")
    return tmp_path


def test_the_newest_week_is_the_newest_that_every_series_has(folder: Path, now) -> None:
    client = EiaClient.open(str(folder), now=now)
    assert client.newest_week(["WGFUPUS2"]) == date(2024, 6, 28)
    assert client.newest_week(["WGFUPUS2", "WDIUPUS2"]) == date(2024, 6, 21)


def test_asking_again_is_conditional_until_something_changes(server, reply, limits, make_workbook) -> None:
    def now() -> datetime:
        return datetime(2024, 7, 11, tzinfo=UTC)

    later = make_workbook([(date(2024, 6, 28), 9424), (date(2024, 7, 5), 9398)])
    server.on(
        "/WGFUPUS2w.xls",
        reply(body=make_workbook(), headers={"ETag": '"1"'}),
        reply(304),
        reply(body=later, headers={"ETag": '"2"'}),
        reply(304),
    )
    client = EiaClient.open("live", now=now, limits=limits, live_url=server.url)
    weeks = [client.newest_week(["WGFUPUS2"]) for _ in range(4)]
    assert weeks == [date(2024, 6, 28), date(2024, 6, 28), date(2024, 7, 5), date(2024, 7, 5)]
    assert [seen.headers.get("if-none-match") for seen in server.seen] == [None, '"1"', '"1"', '"2"']


def test_releases_are_handed_through_and_told(folder: Path, now, caplog) -> None:
    caplog.set_level(logging.INFO)
    told: list[str] = []
    client = EiaClient.open(str(folder), now=now, progress=told.append)
    got = client.published("WGFUPUS2")
    assert isinstance(got, Published)
    assert isinstance(client.published("WGFUPUS2", validators=got.validators), NotModified)
    assert told == [record.message for record in caplog.records]
    assert told[0] == "WGFUPUS2: asking for the release"
    assert told[1].startswith("WGFUPUS2: 43 bytes of csv from file://")
    assert told[3].startswith("WGFUPUS2: not modified at file://")


def test_a_series_the_source_lacks_is_an_error_for_all(folder: Path, now) -> None:
    with pytest.raises(UnknownSeriesError):
        EiaClient.open(str(folder), now=now).newest_week(["WGFUPUS2", "WKJUPUS2"])


@pytest.mark.parametrize(
    ("day", "error", "said"),
    [
        ("2024-07-05", FutureWeekError, "goes on to 2024-07-05 at the source, the newest week due .* is 2024-06-28"),
        ("2024-07-01", ObservationsInvalidError, "week 2024-07-01: the newest day must be a Friday, is Monday"),
    ],
)
def test_what_cannot_be_the_newest_week_is_refused(folder: Path, now, day: str, error: type, said: str) -> None:
    (folder / "WGFUPUS2.csv").write_text(f"date,value\n2024-06-28,9424\n{day},9400\n")
    with pytest.raises(error, match=said):
        EiaClient.open(str(folder), now=now).newest_week(["WGFUPUS2"])


def test_no_series_have_no_newest_week(folder: Path, now) -> None:
    with pytest.raises(ValueError, match="at least one"):
        EiaClient.open(str(folder), now=now).newest_week([])


def test_loading_the_client_loads_nothing_heavy() -> None:
    code = (
        "import sys, resources.eia.client, resources.eia.observations\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'pandera', 'xlrd', 'statsmodels', 'scipy'})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
