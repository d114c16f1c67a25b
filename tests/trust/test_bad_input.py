"""Bad input from EIA: each gets a named error, in the run and as a failed check, and changes nothing that is kept."""

import gzip
import io
import json
import shutil
import socket
import ssl
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner

from forecast_assets import tables
from forecast_assets.checks.ingestion import few_revisions
from forecast_assets.cli import main
from forecast_assets.serving import model_endpoint
from resources.eia import errors
from resources.eia.client import EiaClient
from resources.eia.fetch import Limits
from resources.eia.resource import Eia
from resources.lake import Lake
from tests.eia_server import Reply, Seen, Server, serving
from tests.workbooks import TITLE, workbook
from tests.world import ROOT, WEEK, World, fingerprint

NAME = "WGFUPUS2"
KEY = "Zq7S3CRET"
CSV, XLS, API = f"/eia/{NAME}.csv", f"/hist_xls/{NAME}w.xls", "/v2/petroleum/cons/wpsup/data/"
LIMITS = Limits(connect_s=2, read_s=0.3, total_s=3, offline_s=1, attempts=2, backoff_s=0.01, max_bytes=2_000_000)

Row = tuple[object, ...]
History = list[tuple[date, float]]


class LoopbackEia(Eia):
    """The real clients, pointed at loopback and with less patience."""

    url: str

    def _client(self, source: str, series: Sequence[str], *, now: datetime, limits: Limits) -> EiaClient:
        del limits
        return EiaClient.open(
            source,
            now=lambda: now,
            series=series,
            api_key=KEY,
            limits=LIMITS,
            live_url=f"{self.url}/hist_xls",
            api_url=f"{self.url}/v2",
        )


def world_of(lake: Path, source: str, url: str) -> World:
    eia = LoopbackEia(source=source, lake=Lake(uri=str(lake)), url=url)
    return World(lake, source, series=(NAME,), resources={"eia": eia})


# -- what a source answers ------------------------------------------------------------------------------------------


def csv(rows: Sequence[Row], *, header: str = "date,value") -> bytes:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows), ""]).encode()


def api_page(rows: Sequence[Row], seen: Seen | None = None, *, total: int | None = None, **changes: str) -> Reply:
    fields = {"series": NAME, "units": "MBBL/D", **changes}
    page = [{"period": str(day), "value": str(value), **fields} for day, value in rows]
    offset = int(seen.query["offset"][0]) if seen else 0
    if seen and seen.query["sort[0][direction]"] == ["desc"]:
        page = page[::-1][:1]
    body = {"response": {"total": str(total or len(rows)), "data": page[offset:]}}
    return Reply(body=json.dumps(body).encode())


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(100_000_000))
    return packed.getvalue()


def changed(history: History, day: str, value: object) -> list[Row]:
    return [(week, value if str(week) == day else y) for week, y in history]


def moved(history: History, day: str, to: str) -> list[Row]:
    return [(date.fromisoformat(to) if str(week) == day else week, y) for week, y in history]


@dataclass(frozen=True)
class Case:
    """What EIA answers, and what must be said about it."""

    source: str
    reply: Callable[[History], Reply | Callable[[Seen], Reply]]
    error: type[errors.EiaError]
    said: tuple[str, ...]

    @property
    def path(self) -> str:
        return {"live": XLS, "api": API}.get(self.source, CSV)


def file(content: Callable[[History], bytes], error: type[errors.EiaError], *said: str) -> Case:
    return Case("file", lambda history: Reply(body=content(history)), error, said)


def live(content: Callable[[History], bytes], error: type[errors.EiaError], *said: str) -> Case:
    return Case("live", lambda history: Reply(body=content(history)), error, said)


def answer(reply: Reply, error: type[errors.EiaError], *said: str, source: str = "live") -> Case:
    return Case(source, lambda _: reply, error, said)


FETCH_AGAIN = "Fetch it again, or mend the file"
CASES = {
    # the workbook as a whole
    "workbook truncated": live(
        lambda rows: workbook(rows)[:30_000], errors.WorkbookError, f"release of {NAME}, the whole of it", FETCH_AGAIN
    ),
    "workbook empty": live(lambda _: b"", errors.EiaResponseError, XLS, "an empty answer", "Check the series id"),
    "workbook without figures": live(lambda _: workbook([]), errors.WorkbookError, "sheet 'Data 1'", "no figures"),
    "workbook encrypted": live(
        lambda rows: workbook(rows, encrypted=True), errors.WorkbookError, "it is encrypted", FETCH_AGAIN
    ),
    "an HTML page instead": live(
        lambda _: b"<!DOCTYPE html><html><head><title>EIA is down</title></head></html>",
        errors.EiaResponseError,
        XLS,
        "instead of a workbook, an HTML page, 'EIA is down'",
        "try again later",
    ),
    "zip bomb": live(
        lambda _: zip_bomb(),
        errors.EiaResponseError,
        XLS,
        "instead of a workbook, no text but bytes that begin 50 4b 03 04",
    ),
    "gzip bomb": answer(
        Reply(body=gzip.compress(bytes(200_000_000), 1), headers={"Content-Encoding": "gzip"}),
        errors.ReleaseTooLargeError,
        XLS,
        "larger than 2,000,000 bytes",
        "Check the address",
    ),
    "gzip bomb in a gzip": answer(
        Reply(body=gzip.compress(gzip.compress(bytes(200_000_000), 1)), headers={"Content-Encoding": "gzip, gzip"}),
        errors.EiaResponseError,
        XLS,
        "encoded as 'gzip, gzip'",
        "Check the address",
    ),
    # series and unit
    "wrong series in the workbook": live(
        lambda rows: workbook(rows, keys=("Sourcekey", "WDIUPUS2")),
        errors.SeriesMismatchError,
        f"asked for series {NAME}",
        "holds WDIUPUS2",
        "Point the source at the right file",
    ),
    "wrong series from the API": Case(
        "api",
        lambda rows: lambda seen: api_page(rows, seen, series="WDIUPUS2"),
        errors.SeriesMismatchError,
        (f"asked for series {NAME}", "holds WDIUPUS2", "Point the source at the right file"),
    ),
    "wrong series by its values": file(
        lambda rows: csv([(day, round(y * 0.4)) for day, y in rows]),
        errors.ScaleChangedError,
        f"series {NAME} at http://",
        "is 0.4 times",
        "another unit or definition",
    ),
    "unit changed in the title": live(
        lambda rows: workbook(rows, titles=("Date", TITLE.replace("Thousand Barrels per Day", "Thousand Barrels"))),
        errors.UnitError,
        f"series {NAME} must be in thousand barrels per day",
        "'Thousand Barrels'",
        "Choose another series, or wait",
    ),
    "unit changed in the API": Case(
        "api",
        lambda rows: lambda seen: api_page(rows, seen, units="MBBL"),
        errors.UnitError,
        (NAME, "says 'MBBL'", "Choose another series"),
    ),
    "unit changed by a factor of 1000": file(
        lambda rows: csv([(day, y * 1000) for day, y in rows]),
        errors.ScaleChangedError,
        f"series {NAME} at http://",
        "1000 times what the observations of 2023-11-10 say (median of 1710 weeks)",
        "Look at the source",
    ),
    "unit changed from one week on": file(
        lambda rows: csv([*rows[:-2], *((day, y / 1000) for day, y in rows[-2:])]),
        errors.ObservationsInvalidError,
        "week 2023-11-10, row 1710: must be plausible, 3000 to 15000",
        "look at the source",
    ),
    # columns
    "workbook with a column added": live(
        lambda rows: workbook(
            [(*row, 1) for row in rows], keys=("Sourcekey", NAME, "FLAG"), titles=("Date", TITLE, "Flag")
        ),
        errors.WorkbookError,
        "sheet 'Data 1', columns",
        f"not Date, {NAME}, FLAG",
        FETCH_AGAIN,
    ),
    "workbook with a column renamed": live(
        lambda rows: workbook(rows, titles=("Week", TITLE)),
        errors.WorkbookError,
        "sheet 'Data 1', rows 2 and 3",
        "not 'Sourcekey' and 'Week'",
        FETCH_AGAIN,
    ),
    "workbook with columns swapped": live(
        lambda rows: workbook([row[::-1] for row in rows]),
        errors.WorkbookError,
        "sheet 'Data 1', row 4: the date is 6621.0",
        FETCH_AGAIN,
    ),
    "CSV with a column added": file(
        lambda rows: csv([(*row, "R") for row in rows]),
        errors.ReleaseFormatError,
        "row 2: must hold a date and a value, holds 3 cells",
        FETCH_AGAIN,
    ),
    "CSV with a column renamed": file(
        lambda rows: csv(rows, header="date,kbd"),
        errors.ReleaseFormatError,
        "row 1: the header must be date,value, not 'date,kbd'",
        FETCH_AGAIN,
    ),
    "CSV with columns swapped": file(
        lambda rows: csv([row[::-1] for row in rows]),
        errors.ReleaseFormatError,
        "row 2: the date must be written YYYY-MM-DD, not '6621",
        FETCH_AGAIN,
    ),
    # cells
    "text in a value cell": live(
        lambda rows: workbook(changed(rows, "2023-11-10", "withheld")),
        errors.WorkbookError,
        "sheet 'Data 1', row 1713: the figure is 'withheld'",
        FETCH_AGAIN,
    ),
    "formula error in a value cell": live(
        lambda rows: workbook(changed(rows, "2023-11-10", "#DIV/0!")),
        errors.WorkbookError,
        "sheet 'Data 1', row 1713: the figure is the error #DIV/0!",
        FETCH_AGAIN,
    ),
    "text in a CSV": file(
        lambda rows: csv(changed(rows, "2023-11-10", "n/a")),
        errors.ReleaseFormatError,
        "row 1711: the value must be a number, not 'n/a'",
        FETCH_AGAIN,
    ),
    "a negative value": file(
        lambda rows: csv(changed(rows, "2023-10-27", -9000)),
        errors.ObservationsInvalidError,
        "week 2023-10-27, row 1708: must be positive, is -9000",
        "look at the source",
    ),
    "a zero": live(
        lambda rows: workbook(changed(rows, "2023-10-27", 0)),
        errors.ObservationsInvalidError,
        "week 2023-10-27, row 1708: must be positive, is 0",
        "look at the source",
    ),
    "an absurd value": file(
        lambda rows: csv(changed(rows, "1999-01-01", 90_000)),
        errors.ObservationsInvalidError,
        "week 1999-01-01, row 413: must be plausible, 3000 to 15000, is 90000",
        "widen plausible_kbd",
    ),
    "a value beyond floating point": file(
        lambda rows: csv(changed(rows, "2023-11-10", "1e999")),
        errors.ReleaseFormatError,
        "row 1711: the value must be a number",
        FETCH_AGAIN,
    ),
    # weeks
    "duplicate week": live(
        lambda rows: workbook(moved(rows, "2023-10-27", "2023-11-03")),
        errors.ReleaseFormatError,
        "week 2023-11-03: given twice",
        FETCH_AGAIN,
    ),
    "missing week": file(
        lambda rows: csv([row for row in rows if str(row[0]) != "2023-08-04"]),
        errors.MissingWeeksError,
        f"series {NAME} has no figure for 2023-08-04",
        "take the series out of FORECAST_SERIES",
    ),
    "missing week before the training span": file(
        lambda rows: csv([row for row in rows if str(row[0]) != "1999-01-01"]),
        errors.HistoryShortenedError,
        f"series {NAME} at http://",
        "lacks 1 week that the observations of 2023-11-10 have: 1999-01-01",
        "Fetch the whole history again",
    ),
    "a week's value left empty": file(
        lambda rows: csv(changed(rows, "2023-08-04", "")), errors.MissingWeeksError, "no figure for 2023-08-04"
    ),
    "a date that is not a Friday": file(
        lambda rows: csv(moved(rows, "2023-11-03", "2023-11-02")),
        errors.ObservationsInvalidError,
        "week 2023-11-02, row 1709: must be a Friday, is Thursday",
        "EIA's weeks end on Fridays; look at the source",
    ),
    "a newest date that is not a Friday": live(
        lambda rows: workbook(moved(rows, "2023-11-10", "2023-11-09")),
        errors.ObservationsInvalidError,
        "week 2023-11-09, row 1710: must be a Friday, is Thursday",
        "look at the source",
    ),
    "a week that is not due yet": file(
        lambda rows: csv([*rows, (date(2023, 11, 17), 9000)]),
        errors.FutureWeekError,
        f"series {NAME} goes on to 2023-11-17 at http://",
        "the newest week due by EIA's calendar is 2023-11-10",
        "Check the dates in the source",
    ),
    "a date in the far future": live(
        lambda rows: workbook(moved(rows, "2023-11-10", "2099-01-02")), errors.FutureWeekError, "2099-01-02", XLS
    ),
    "history shortened": file(
        lambda rows: csv(rows[-800:]),
        errors.HistoryShortenedError,
        f"series {NAME} at http://",
        "lacks 910 weeks",
        "1991-02-08, 1991-02-15",
        "and 905 more",
        "Fetch the whole history again",
    ),
    "an older release after a newer one": file(
        lambda rows: csv(rows[:-1]),
        errors.OlderReleaseError,
        f"series {NAME} ends 2023-11-03 at http://",
        "where it went on to 2023-11-10 before",
        "Try again later",
    ),
    # the API
    "API error body": answer(
        Reply(body=b'{"error": "the route is being rebuilt", "code": 500}'),
        errors.EiaResponseError,
        API,
        "no rows but",
        "the route is being rebuilt",
        "Check EIA_API_KEY and the address",
        source="api",
    ),
    "API key refused": answer(
        Reply(403, b'{"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key Zq7S3CRET was supplied."}}'),
        errors.EiaResponseError,
        API,
        "HTTP 403",
        "API_KEY_INVALID",
        "Check EIA_API_KEY",
        source="api",
    ),
    "API page missing": Case(
        "api",
        lambda rows: lambda seen: api_page(rows, seen, total=len(rows) + 5),
        errors.EiaResponseError,
        (API, f"1710 rows of {NAME} came, 1715 were announced: a page is missing", "Try again"),
    ),
    "API page not found": Case(
        "api",
        lambda rows: lambda seen: Reply(404) if seen.query["offset"] != ["0"] else api_page(rows, seen, total=5000),
        errors.EiaResponseError,
        (API, "HTTP 404", "Check the address"),
    ),
    # the network
    "403": answer(
        Reply(403, b"<html><title>Forbidden</title></html>"),
        errors.EiaResponseError,
        XLS,
        "HTTP 403: an HTML page, 'Forbidden'",
        "use another source",
    ),
    "429 with Retry-After": answer(
        Reply(429, headers={"Retry-After": "3600"}),
        errors.EiaBusyError,
        f"{XLS}: HTTP 429 (1 attempt)",
        "refuses for now: wait, and try again in 3600 s",
    ),
    "5xx": answer(Reply(503), errors.EiaBusyError, f"{XLS}: HTTP 503 (2 attempts)", "try again in 300 s"),
    "hang": answer(Reply(hang=True), errors.EiaUnreachableError, XLS, "ReadTimeout", "Check the network"),
    "connection cut in the middle": answer(
        Reply(body=b"\xd0\xcf\x11\xe0", cut=True), errors.EiaUnreachableError, XLS, "RemoteProtocolError", "try again"
    ),
    "redirect elsewhere": answer(
        Reply(302, headers={"Location": "http://eia.example.org/steal"}),
        errors.EiaResponseError,
        XLS,
        "it redirects to http://eia.example.org/steal, which is not followed",
        "point FORECAST_EIA_SOURCE at its new address",
    ),
}


# -- a lake that was refreshed, with its endpoint in service --------------------------------------------------------


@pytest.fixture(scope="module")
def history(shared_data: Path) -> History:
    table = pd.read_csv(shared_data / "weekly" / f"{NAME}.csv", parse_dates=["date"])
    return [(day.date(), float(y)) for day, y in zip(table["date"], table["value"], strict=True)]


@pytest.fixture(scope="module")
def eia() -> Iterator[Server]:
    with serving() as server:
        yield server


@dataclass(frozen=True)
class Good:
    """A refreshed lake that nothing may change, and a platform on it for each kind of source."""

    worlds: dict[str, World]
    before: dict[str, str]
    instance: dg.DagsterInstance

    @property
    def lake(self) -> Path:
        return self.worlds["file"].lake.root


@pytest.fixture(scope="module")
def good(eia: Server, history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    lake = tmp_path_factory.mktemp("bad_input") / "lake"
    eia.on(CSV, Reply(body=csv(history)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        sources = {"file": f"{eia.url}/eia", "live": "live", "api": "api"}
        worlds = {kind: world_of(lake, source, eia.url) for kind, source in sources.items()}
        for outcome in (worlds["file"].run("weekly_refresh"), worlds["file"].run("deploy", week=None)):
            assert outcome.succeeded, outcome.reasons
        eia.forget()
        with dg.DagsterInstance.ephemeral() as instance:
            yield Good(worlds, fingerprint(lake), instance)
        worlds["file"].close()


def refused(good: Good, world: World) -> str:
    """What a run of the week says that must be refused; nothing may have changed."""
    outcome = world.platform.run("weekly_refresh", good.instance, week=WEEK)
    assert not outcome.succeeded
    assert fingerprint(good.lake) == good.before
    [said] = outcome.reasons  # the check alone: nothing downstream ran
    return said


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_bad_input_is_refused_by_name_and_changes_nothing(
    good: Good, eia: Server, history: History, case: Case
) -> None:
    eia.forget()
    eia.on(case.path, case.reply(history))
    said = refused(good, good.worlds[case.source])
    assert said.startswith(f"ERROR release_valid: {case.error.__name__}: ")
    for words in (f"{eia.url}{case.path}", *case.said):
        assert words in said
    assert said.endswith("Nothing of it is kept: tables, models and endpoint stay as they were.")
    assert len(said) < 1500, "a message is to be read"
    assert KEY not in said


def test_nobody_listening_is_refused_by_name_and_changes_nothing(good: Good) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = refused(good, world_of(good.lake, "live", url))
    assert said.startswith(f"ERROR release_valid: EiaUnreachableError: cannot reach {url}{XLS}: ConnectError")
    assert "Check the network, and try again in 300 s" in said


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to sign a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *options.split(), "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    good: Good, history: History, certificate: ssl.SSLContext
) -> None:
    with serving(tls=certificate) as impostor:
        impostor.on(XLS, Reply(body=workbook(history)))
        said = refused(good, world_of(good.lake, "live", impostor.url))
        assert impostor.seen == [], "nothing was asked of it"
    assert said.startswith("ERROR release_valid: EiaTlsError: ")
    for words in (f"{impostor.url}{XLS}", "TLS failed", "CERTIFICATE_VERIFY_FAILED", "(1 attempt)", "SSL_CERT_FILE"):
        assert words in said


def test_plain_http_where_tls_was_asked_for_is_refused_at_once(good: Good, eia: Server) -> None:
    said = refused(good, world_of(good.lake, "live", eia.url.replace("http:", "https:")))
    assert said.startswith("ERROR release_valid: EiaTlsError: ")
    assert "(1 attempt)" in said


def test_the_endpoint_serves_on_after_all_of_it(good: Good, eia: Server) -> None:
    eia.forget()
    refused(good, good.worlds["live"])
    world = good.worlds["file"]
    endpoint = model_endpoint(world.settings, world.platform.sagemaker)
    rows = endpoint.invoke({"periods": 2, "conf": 0.9, "series": NAME})
    forecast = world.lake.read("forecast", WEEK)
    assert [row["predictions"] for row in rows] == list(forecast["mean"].head(2))


def test_dagster_keeps_the_refusal_as_a_failed_check_and_in_the_log(
    good: Good, eia: Server, history: History, tmp_path: Path
) -> None:
    eia.forget()
    eia.on(XLS, Reply(body=b"<html>sorry</html>"))
    key = dg.AssetKey("release")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert not good.worlds["live"].platform.run("weekly_refresh", instance, week=WEEK).succeeded
        [run] = instance.get_runs()
        recorded = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(key, "release_valid")]
        )
        [record] = recorded.values()
        assert record.status.value == "FAILED"
        found = record.event.dagster_event.asset_check_evaluation_data
        assert "EiaResponseError" in found.description
        assert found.metadata["error"].text == "EiaResponseError"
        failures = [
            str(entry.dagster_event.step_failure_data.user_failure_data.description)
            for entry in instance.all_logs(run.run_id)
            if entry.dagster_event and entry.dagster_event.is_step_failure and entry.dagster_event.step_key == "release"
        ]
        assert failures == [found.description]
        assert instance.get_latest_materialization_event(key) is None


# -- what is no error -----------------------------------------------------------------------------------------------


@pytest.fixture
def copied(good: Good, tmp_path: Path) -> Path:
    """The refreshed lake's tables, to be changed."""
    return Path(shutil.copytree(good.lake, tmp_path / "lake", ignore=shutil.ignore_patterns("_*")))


def few(world: World, week: date = WEEK) -> dg.AssetCheckResult:
    function = few_revisions.op.compute_fn.decorated_fn
    context = type("Context", (), {"partition_key": week.isoformat()})()
    return function(context, lake=world.lake)


def ingest(world: World, week: date = WEEK) -> pd.DataFrame:
    result = world.materialize("release", "observations", week=week)
    assert result.success
    [verdict] = [check for check in result.get_asset_check_evaluations() if check.check_name == "release_valid"]
    assert verdict.passed
    revised = world.lake.read("revisions", week)
    assert list(revised.columns) == list(tables.REVISIONS)
    return revised


def test_revised_values_are_recorded_and_only_many_or_large_ones_warn(
    copied: Path, eia: Server, history: History
) -> None:
    eia.forget()
    world = world_of(copied, f"{eia.url}/eia", eia.url)
    revised = dict(history) | {date(2023, 9, 1): 9300.0, date(2023, 11, 10): 8900.0}
    before = dict(history)
    eia.on(CSV, Reply(body=csv(list(revised.items()))))
    found = ingest(world)
    assert [(row.unique_id, row.ds.date(), row.before, row.after, row.known.date()) for row in found.itertuples()] == [
        (NAME, day, before[day], revised[day], WEEK) for day in (date(2023, 9, 1), date(2023, 11, 10))
    ]
    assert few(world).passed
    assert "2 values were revised" in str(few(world).description)

    again = ingest(world)  # the same release once more: nothing is new, and nothing is forgotten
    pd.testing.assert_frame_equal(again, found)

    eia.forget()
    many = revised | {day: y + 1 for day, y in history[-20:-10]} | {date(2020, 4, 3): 9999.0}
    eia.on(CSV, Reply(body=csv(list(many.items()))))
    assert len(ingest(world)) == 13
    verdict = few(world)
    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN
    for words in (
        f"12 weeks of {NAME}",
        f"{NAME} 2020-04-03 from 5,065 to 9,999",
        "The model is refitted on the revised values",
        "Compare with what EIA says",
    ):
        assert words in str(verdict.description)


def test_the_next_week_is_compared_with_the_newest_before_it(copied: Path, eia: Server, history: History) -> None:
    eia.forget()
    week = WEEK + timedelta(weeks=1)
    released = [*changed(history, "2023-11-10", 8800.0), (week, 8700.0)]
    eia.on(CSV, Reply(body=csv(released)))
    url = f"{eia.url}/eia"
    resources = {"eia": LoopbackEia(source=url, lake=Lake(uri=str(copied)), url=eia.url)}
    world = World(
        copied, url, series=(NAME,), now=datetime.fromisoformat("2023-11-23T00:00+00:00"), resources=resources
    )
    [row] = ingest(world, week).itertuples()
    assert (row.ds.date(), row.after, row.known.date()) == (WEEK, 8800.0, WEEK)


def test_a_known_gap_is_a_fact(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All products lack 1991-05-03, at EIA itself."""
    monkeypatch.chdir(ROOT)
    world = World(tmp_path / "lake", shared_data / "weekly", series=("WRPUPUS2",))
    assert ingest(world).empty
    assert len(world.lake.read("observations", WEEK)) == 1722


def test_another_file_may_be_older_and_a_week_before_may_be_made_from_the_newest(
    copied: Path, eia: Server, history: History
) -> None:
    eia.forget()
    before = WEEK - timedelta(weeks=1)
    for path, rows in ((CSV, history), (XLS, history[:-1])):
        eia.forget()
        eia.on(path, Reply(body=csv(rows) if path == CSV else workbook(rows)))
        world = world_of(copied, f"{eia.url}/eia" if path == CSV else "live", eia.url)
        assert ingest(world, before).empty


# -- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def refresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`forecast refresh` of a source; gives what it says as it fails."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setenv("FORECAST_LAKE_URI", str(tmp_path / "lake"))

    def run(source: str) -> str:
        monkeypatch.setenv("FORECAST_EIA_SOURCE", source)
        done = CliRunner().invoke(main, ["refresh"])
        assert done.exit_code == 1
        assert not isinstance(done.exception, Exception), "an error in words, not a traceback"
        assert not (tmp_path / "lake" / "lake.json").exists()
        assert not (tmp_path / "lake" / "blobs").exists()
        return done.stderr.partition("Error: ")[2]

    return run


def test_a_refresh_of_a_source_that_cannot_be_reached_says_so(refresh: Callable[[str], str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/eia"
        assert f"cannot reach {url}/{NAME}.csv" in refresh(url)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param([("2023-11-03", 9000), ("2099-01-02", 9000)], "goes on to 2099-01-02", id="future"),
        pytest.param([("2023-11-03", 9000), ("2023-11-09", 9000)], "must be a Friday, is Thursday", id="Thursday"),
        pytest.param([("2023-02-31", 9000)], "'2023-02-31' is no day of the calendar", id="no day"),
        pytest.param([("2023-11-03", "n/a")], "no row with a date and a number", id="no number"),
        pytest.param([("2023-11-03", 9e6), ("2023-11-10", 9e6)], "release_valid: ObservationsInvalidError", id="unit"),
    ],
)
def test_a_refresh_that_is_refused_ends_with_the_reason_once(
    refresh: Callable[[str], str], tmp_path: Path, rows: list[Row], said: str
) -> None:
    (tmp_path / f"{NAME}.csv").write_bytes(csv(rows))
    assert refresh(str(tmp_path)).count(said) == 1
