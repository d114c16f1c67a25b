"""`forecast alerts` and what the doctor says of alerts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from forecast_assets.cli import main
from forecast_assets.commands import alerts as command
from forecast_assets.commands import support
from forecast_assets.watchkeeping import _alerts
from resources.alerts import Alert, Alerts
from resources.alerts.delivery import deliver
from resources.alerts.errors import VARIABLE
from tests.webhook import Webhook
from tests.world import WEEK, World

ALERT = Alert(f"late:{WEEK}", "EIA is late", "No release yet.", "HTTP 503", "The model of 2023-11-03 serves.", WEEK)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path / "lake", tmp_path)
    monkeypatch.setattr(command, "open_platform", lambda: world.platform)
    monkeypatch.setattr(support.out, "width", 160)
    monkeypatch.delenv(VARIABLE, raising=False)
    return world


@pytest.fixture
def alerts(world: World) -> Alerts:
    return world.platform.alerts


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.down()


def forecast(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_what_is_open_is_listed_with_who_was_told(alerts: Alerts) -> None:
    assert "Nothing is wrong" in forecast("alerts", "list").stderr
    alerts.open(ALERT)
    assert "nobody yet" in forecast("alerts", "list").stdout
    (one,) = alerts.unsettled()[0]
    alerts.told(one, "opened", "slack")
    shown = forecast("alerts", "list").stdout
    for words in ("late:2023-11-10", "No release yet.", "HTTP 503", "slack"):
        assert words in shown


def test_a_test_message_says_which_channel_took_it(
    world: World, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = forecast("alerts", "test")
    assert done.exit_code == 1
    assert f"there is no channel: set {VARIABLE}" in done.stderr
    monkeypatch.setenv(VARIABLE, f"slack://CANARY {webhook.url('user:CANARY@')}")
    done = forecast("alerts", "test")
    assert done.exit_code == 1
    assert f"slack: address 1 of {VARIABLE} leads nowhere" in done.stderr
    assert "json took it." in done.stderr
    assert "CANARY" not in done.output
    assert webhook.titles == ["A test of the alerts"]
    monkeypatch.setenv(VARIABLE, webhook.url())
    assert forecast("alerts", "test").exit_code == 0


def test_an_alert_can_be_ended_by_hand(alerts: Alerts) -> None:
    alerts.open(ALERT)
    assert forecast("alerts", "close", ALERT.key, "--reason", "EIA has told us").exit_code == 0
    assert alerts.unsettled()[0][0].recovery == "EIA has told us"
    again = forecast("alerts", "close", ALERT.key, "--reason", "x")
    assert again.exit_code == 1
    assert f"no alert {ALERT.key} is open" in again.stderr


def test_the_doctor_tells_of_open_alerts_and_of_channels_that_fail(
    world: World, alerts: Alerts, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.alerts.channels import configured_channels

    assert _alerts(world.platform).found == "0 open, no channel takes them"
    assert _alerts(world.platform).state == "ok"
    monkeypatch.setenv(VARIABLE, webhook.url("user:CANARY@"))
    assert (_alerts(world.platform).state, _alerts(world.platform).found) == ("ok", "0 open, sent to json")
    alerts.open(ALERT)
    webhook.status = 500
    for _ in range(3):
        deliver(alerts, configured_channels(""), ui="http://ui", wait_s=0)
    finding = _alerts(world.platform)
    assert finding.state == "fail"
    assert "2 open, sent to json. json fails since" in finding.found
    assert "CANARY" not in finding.found
