import os
from datetime import date
from pathlib import Path

import pytest

from resources.eia.errors import (
    EiaResponseError,
    EiaUnreachableError,
    ReleaseFormatError,
    ReleaseTooLargeError,
    SeriesMismatchError,
    SourceSpecError,
    UnknownSeriesError,
)
from resources.eia.fetch import Limits
from resources.eia.files import LocalFiles, RemoteFiles, open_files
from resources.eia.parse import parse
from resources.eia.published import Newest, NotModified, Published, Validators
from resources.eia.sample import sample_csv

CSV = b"date,value\n2024-06-21,8969\n2024-06-28,9424\n"
SEVEN = ("WGFUPUS2", "WDIUPUS2", "WKJUPUS2", "WREUPUS2", "WPRUP_NUS_2", "WWOUP_NUS_2", "WRPUPUS2")


def published(source: LocalFiles | RemoteFiles, unique_id: str = "WGFUPUS2") -> Published:
    got = source.published(unique_id)
    assert isinstance(got, Published)
    return got


def newest(source: LocalFiles | RemoteFiles, unique_id: str = "WGFUPUS2") -> date:
    got = source.newest_week(unique_id)
    assert isinstance(got, Newest)
    return got.week


@pytest.mark.parametrize("form", ["path", "relative", "uri", "localhost"])
def test_a_file_is_named_by_path_or_uri(tmp_path: Path, monkeypatch, now, form: str) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = folder / "gasoline.csv"
    path.write_bytes(CSV)
    monkeypatch.chdir(tmp_path)
    spec = {
        "path": str(path),
        "relative": "a folder/gasoline.csv",
        "uri": path.as_uri(),
        "localhost": path.as_uri().replace("file://", "file://localhost"),
    }[form]
    got = published(open_files(spec, now=now, series=("WGFUPUS2",)))
    assert (got.content, got.format, got.source, got.url) == (CSV, "csv", "file", path.as_uri())
    assert got.fetched_at == now()


def test_a_folder_serves_each_series_from_its_file(tmp_path: Path, now, make_workbook) -> None:
    (tmp_path / "WDIUPUS2.csv").write_bytes(CSV)
    (tmp_path / "WGFUPUS2w.xls").write_bytes(make_workbook())
    source = open_files(str(tmp_path), now=now, series=("WDIUPUS2", "WGFUPUS2"))
    assert published(source, "WDIUPUS2").format == "csv"
    assert published(source, "WGFUPUS2").format == "xls"
    assert newest(source, "WDIUPUS2") == newest(source, "WGFUPUS2") == date(2024, 6, 28)
    with pytest.raises(UnknownSeriesError, match="as WKJUPUS2.csv or WKJUPUS2w.xls"):
        source.published("WKJUPUS2")


def test_two_files_of_a_series_are_refused(tmp_path: Path, now) -> None:
    for name in ("WGFUPUS2.csv", "WGFUPUS2w.xls"):
        (tmp_path / name).write_bytes(CSV)
    with pytest.raises(ReleaseFormatError, match=r"both WGFUPUS2.csv and WGFUPUS2w.xls"):
        open_files(str(tmp_path), now=now).published("WGFUPUS2")


@pytest.mark.parametrize(
    ("name", "series", "taken"),
    [
        pytest.param("WGFUPUS2_2024.csv", SEVEN, True, id="the name begins with the id"),
        pytest.param("gasoline.csv", ("WGFUPUS2",), True, id="the only series"),
        pytest.param("gasoline.csv", SEVEN, False, id="one of several"),
        pytest.param("WDIUPUS2.csv", ("WGFUPUS2",), False, id="the name is another series'"),
    ],
)
def test_a_single_file_serves_the_series_it_is_of(tmp_path: Path, now, name: str, series, taken: bool) -> None:
    (tmp_path / name).write_bytes(CSV)
    source = open_files(str(tmp_path / name), now=now, series=series)
    if taken:
        assert len(parse(published(source))) == 2
    else:
        with pytest.raises(SeriesMismatchError, match=name):
            source.published("WGFUPUS2")
        with pytest.raises(SeriesMismatchError, match=name):
            source.newest_week("WGFUPUS2")


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, now) -> None:
    path = tmp_path / "WGFUPUS2.csv"
    path.write_bytes(CSV)
    source = open_files(str(path), now=now)
    validators = published(source).validators
    assert source.published("WGFUPUS2", validators=validators) == NotModified(path.as_uri())
    assert source.newest_week("WGFUPUS2", validators=validators) == NotModified(path.as_uri())
    path.write_bytes(CSV + b"2024-07-05,9398\n")
    assert isinstance(source.published("WGFUPUS2", validators=validators), Published)
    assert source.newest_week("WGFUPUS2", validators=validators) == Newest(
        date(2024, 7, 5), published(source).validators
    )


def test_the_newest_week_of_a_long_csv_is_read_from_its_ends(tmp_path: Path, now) -> None:
    path = tmp_path / "WGFUPUS2.csv"
    head, *rows = sample_csv("WGFUPUS2", last=date(2024, 6, 28)).decode().splitlines()[1:]
    middle = len(rows) // 2
    rows[middle] = "a row nobody reads"
    for order in (rows, rows[::-1]):
        path.write_text("\n".join([head, *order, "", ""]))
        assert newest(open_files(str(path), now=now)) == date(2024, 6, 28)


def test_a_last_row_without_figure_is_no_release(tmp_path: Path, now) -> None:
    path = tmp_path / "WGFUPUS2.csv"
    path.write_bytes(CSV + b"2024-07-05,\n")
    assert newest(open_files(str(path), now=now)) == date(2024, 6, 28)


def test_a_saved_sample_stays_a_sample(tmp_path: Path, now) -> None:
    (tmp_path / "WGFUPUS2.csv").write_bytes(sample_csv("WGFUPUS2", last=date(2024, 6, 28)))
    assert published(open_files(str(tmp_path), now=now)).source == "sample"


def test_an_oversize_file_is_refused_unread(tmp_path: Path, now) -> None:
    (tmp_path / "WGFUPUS2.csv").write_bytes(CSV)
    source = open_files(str(tmp_path), now=now, limits=Limits(max_bytes=10))
    for ask in (source.published, source.newest_week):
        with pytest.raises(ReleaseTooLargeError):
            ask("WGFUPUS2")


def test_a_file_that_went_away_is_unreachable(tmp_path: Path, now) -> None:
    path = tmp_path / "WGFUPUS2.csv"
    path.write_bytes(CSV)
    source = open_files(str(path), now=now)
    path.unlink()
    with pytest.raises(EiaUnreachableError, match="No such file"):
        source.published("WGFUPUS2")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_unreachable(tmp_path: Path, now) -> None:
    path = tmp_path / "WGFUPUS2.csv"
    path.write_bytes(CSV)
    path.chmod(0)
    source = open_files(str(path), now=now)
    for ask in (source.published, source.newest_week):
        with pytest.raises(EiaUnreachableError, match="Permission denied"):
            ask("WGFUPUS2")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lvie", "there is no file or folder"),
        ("file:///nowhere/at/all.csv", "there is no file or folder /nowhere/at/all.csv"),
        ("file://nowhere/all.csv", "three slashes"),
        ("s3://bucket/folder", "s3:// is not supported"),
        ("https:///WGFUPUS2.csv", "no host"),
        ("http://[::1/WGFUPUS2.csv", "no address: Invalid IPv6 URL"),
        ("http://127.0.0.1:http/WGFUPUS2.csv", "no address: Invalid port"),
    ],
)
def test_what_names_no_files_is_refused(now, spec: str, said: str) -> None:
    with pytest.raises(SourceSpecError, match=said):
        open_files(spec, now=now)


def test_a_file_of_another_type_is_refused(tmp_path: Path, now) -> None:
    path = tmp_path / "gasoline.xlsx"
    path.touch()
    with pytest.raises(SourceSpecError, match="neither .csv nor .xls"):
        open_files(str(path), now=now)


def test_a_file_on_the_web_is_fetched_conditionally(server, reply, now, limits) -> None:
    url = server.on("/f/WGFUPUS2.csv", reply(body=CSV, headers={"ETag": '"1"'}), reply(304))
    source = open_files(url, now=now, limits=limits)
    got = published(source)
    assert (got.content, got.source, got.url) == (CSV, "file", url)
    assert source.newest_week("WGFUPUS2", validators=Validators('"1"')) == NotModified(url)


def test_a_folder_on_the_web_serves_a_csv_or_a_workbook(server, reply, now, limits, make_workbook) -> None:
    server.on("/f/WDIUPUS2.csv", reply(body=CSV))
    server.on("/f/WGFUPUS2w.xls", reply(body=make_workbook()))
    source = open_files(server.url + "/f/", now=now, limits=limits)
    assert newest(source, "WDIUPUS2") == newest(source, "WGFUPUS2") == date(2024, 6, 28)
    with pytest.raises(UnknownSeriesError, match=r"WKJUPUS2\.csv or .*WKJUPUS2w\.xls"):
        source.published("WKJUPUS2")


def test_secrets_of_a_signed_address_stay_out_of_the_record(server, reply, now, limits) -> None:
    server.on("/f/WGFUPUS2.csv", reply(body=CSV))
    got = published(open_files(server.url + "/f?sig=S3CRET&v=1", now=now, limits=limits))
    assert got.url == server.url + "/f/WGFUPUS2.csv?sig=***&v=1"
    assert server.seen[0].query == {"sig": ["S3CRET"], "v": ["1"]}


def test_a_server_that_refuses_is_not_taken_for_an_unknown_series(server, reply, now, limits) -> None:
    server.on("/f/WGFUPUS2.csv", reply(403, b"no"))
    with pytest.raises(EiaResponseError, match="HTTP 403: no"):
        open_files(server.url + "/f", now=now, limits=limits).published("WGFUPUS2")


def test_the_folder_of_real_figures_serves_all_seven(shared_data: Path, now) -> None:
    source = open_files(str(shared_data / "weekly"), now=now, series=SEVEN)
    assert {newest(source, unique_id) for unique_id in SEVEN} == {date(2023, 11, 10)}
    official = open_files(str(shared_data / "WGFUPUS2w_2017-01-25.xls"), now=now, series=SEVEN)
    assert newest(official) == date(2017, 1, 20)
