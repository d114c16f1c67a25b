"""The documentation as a site: it builds strictly, fetches nothing, and covers what the code offers."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forecast_assets import cli
from forecast_assets.artifacts import DamagedModelError
from forecast_assets.checks import default_checks
from forecast_assets.definitions import default_assets
from forecast_assets.reader import NoForecastError
from forecast_assets.refresh import HistoryWriteError
from forecast_assets.settings import Settings
from forecast_assets.settings_errors import SettingsError
from forecast_assets.tables import lake_tables
from resources.api.errors import ApiError
from resources.aws import AwsError
from resources.cloudformation.errors import StackError
from resources.eia.errors import EiaError
from resources.images import ImagesError
from resources.lake import LakeError
from resources.landing import LandingError
from resources.sagemaker.endpoint.errors import EndpointError
from resources.sagemaker.pipeline.definition import PipelineError
from resources.sagemaker.pipes import JobFailedError
from tests.docs.blocks import ROOT

LOADING = {"link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src", "use": "href"}
FAMILIES = {ApiError, AwsError, EiaError, LakeError, EndpointError, JobFailedError}


class Loads(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in {"canonical", "next", "prev", "alternate"}:
            return
        if (address := given.get(LOADING.get(tag, ""))) is not None:
            self.addresses.append(address)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Loads:
    loads = Loads()
    loads.feed(page.read_text())
    return loads


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    return " ".join(read(site / f"{page}.html").text)


def test_nothing_is_fetched_from_elsewhere_to_read_it(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    addresses = [(page, address) for page in pages for address in read(page).addresses]
    elsewhere = [(page.name, address) for page, address in addresses if re.match(r"(\w+:)?//", address)]
    assert elsewhere == []
    absent = [
        (page.name, address) for page, address in addresses if page.name != "404.html" and not here(page, address)
    ]
    assert absent == []
    styles = "".join(sheet.read_text() for sheet in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*['\"]?https?:[^)]*", styles) == []


def here(page: Path, address: str) -> bool:
    return address.startswith("data:") or (page.parent / re.split(r"[?#]", address)[0]).is_file()


def test_code_of_the_documentation_is_no_part_of_the_site(site: Path) -> None:
    assert list(site.rglob("*.py")) == []


@pytest.mark.parametrize("table", lake_tables((80, 90, 95)))
def test_every_table_is_documented_with_its_columns(site: Path, table: str) -> None:
    assert f"<!-- columns: {table} -->" in (ROOT / "docs" / "tables.md").read_text()
    shown = text_of(site, "tables")
    assert [name for name in lake_tables((80, 90, 95))[table] if name not in shown] == []


def test_every_setting_is_documented_with_its_variable(site: Path) -> None:
    shown = text_of(site, "settings")
    for name, field in Settings.model_fields.items():
        assert f"FORECAST_{name.upper()}" in shown
        assert field.description is not None
        assert field.description in shown


def checks() -> list[str]:
    return [spec.name for made in (*default_checks, *default_assets) for spec in made.check_specs]


@pytest.mark.parametrize("check", checks())
def test_every_check_is_documented_with_its_consequence_and_remedy(check: str) -> None:
    text = (ROOT / "docs" / "checks.md").read_text()
    section = re.search(rf"### {check}\n\n<!-- check: {check} -->\n(.*?)(?=\n##|\Z)", text, flags=re.DOTALL)
    assert section is not None
    assert "**If it fails**" in section[1]
    assert "**Do**" in section[1]


def commands() -> list[str]:
    groups = {name: getattr(command, "commands", {}) for name, command in cli.main.commands.items()}
    return [
        " ".join(["forecast", name, *each])
        for name, inner in groups.items()
        for each in ([[one] for one in inner] or [[]])
    ]


@pytest.mark.parametrize("command", commands())
def test_every_command_is_documented(site: Path, command: str) -> None:
    assert command in text_of(site, "commands")


def named_errors() -> set[type[Exception]]:
    found: set[type[Exception]] = {SettingsError, DamagedModelError, JobFailedError, HistoryWriteError, NoForecastError}
    found |= {ImagesError, PipelineError}
    waiting: list[type[Exception]] = [*FAMILIES, LandingError]
    while waiting:
        own = [each for each in waiting.pop().__subclasses__() if each.__module__.startswith(("resources", "forecast"))]
        found.update(each for each in own if not each.__name__.startswith("_"))
        waiting += own
    return found - {StackError}  # a family below a family: what ends a command is one of its members


@pytest.mark.parametrize("error", sorted(error.__name__ for error in named_errors()))
def test_every_named_error_that_ends_a_command_is_documented_with_what_to_do(error: str) -> None:
    rows = [line for line in (ROOT / "docs" / "bad-days.md").read_text().splitlines() if f"`{error}`" in line]
    assert rows
    assert len(rows[0]) > len(error) + 40


def test_the_accuracy_of_the_backfilled_year_is_in_its_page() -> None:
    text = (ROOT / "docs" / "backfill.md").read_text()
    region = re.search(r"<!-- accuracy-table:begin -->(.*)<!-- accuracy-table:end -->", text, flags=re.DOTALL)
    assert region is not None
    assert region[1].count("\n|") > 10, "a row for each of several horizons"
