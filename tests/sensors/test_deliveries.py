"""The sensor that delivers: silent while all is well, red while a channel stays down."""

from collections.abc import Iterator

import dagster as dg
import pytest

from resources.alerts import Alert, Alerts
from resources.alerts import delivery as module
from resources.alerts.errors import VARIABLE, ChannelsFailingError, DamagedAlertError
from sensors.deliveries import deliveries
from tests.webhook import Webhook
from tests.world import WEEK, World

ALERT = Alert(f"late:{WEEK}", "EIA is late", "what", "why", "consequence", WEEK)


class Ticks:
    """Tick after tick of the sensor, a minute of real time apart."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sensor = deliveries(world.settings)
        self._resources = {"settings": world.settings, "alerts": world.platform.alerts}
        self._now_s = 1e9
        monkeypatch.setattr(module.time, "time", lambda: self._now_s)
        monkeypatch.delenv(VARIABLE, raising=False)

    def __call__(self, instance: dg.DagsterInstance) -> str:
        self._now_s += 61
        with dg.build_sensor_context(instance=instance, resources=self._resources) as context:
            said = self._sensor(context)
        assert isinstance(said, dg.SkipReason)
        return str(said.skip_message)


@pytest.fixture
def tick(world: World, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    return Ticks(world, monkeypatch)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.down()


def test_without_a_channel_the_tick_says_that_nobody_is_told(
    tick: Ticks, instance: dg.DagsterInstance, alerts: Alerts, capfd: pytest.CaptureFixture[str]
) -> None:
    alerts.open(ALERT)
    assert "alerts are in the log of this sensor only" in tick(instance)
    assert "EIA is late" in capfd.readouterr().err
    assert tick(instance).startswith("There is no channel")
    assert "EIA is late" not in capfd.readouterr().err


def test_a_channel_that_stays_down_fails_the_tick_until_it_takes_what_waited(
    tick: Ticks, instance: dg.DagsterInstance, alerts: Alerts, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, webhook.url("user:CANARY@"))
    assert tick(instance) == "Nothing to say"
    webhook.status = 503
    alerts.open(ALERT)
    assert "1 waiting: the channel json did not take the message" in tick(instance)
    for _ in range(2):  # it is asked after one minute, then after two
        tick(instance)
    with pytest.raises(ChannelsFailingError, match="json has taken nothing since .* Nothing is lost") as caught:
        tick(instance)
    assert "CANARY" not in str(caught.value)
    assert alerts.open_keys("channel:") == ["channel:json"]
    webhook.status = 200
    for _ in range(3):
        with pytest.raises(ChannelsFailingError):
            tick(instance)  # it is left alone for four minutes
    assert "Sent to json: EIA is late" in tick(instance)
    assert tick(instance) == "Sent to log: Over: Alerts do not reach json"
    assert tick(instance) == "Nothing to say"
    assert webhook.titles == ["EIA is late"]
    assert alerts.open_keys("channel:") == []


def test_a_damaged_alert_fails_the_tick_and_holds_up_no_other(
    tick: Ticks,
    instance: dg.DagsterInstance,
    world: World,
    alerts: Alerts,
    webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, webhook.url())
    alerts.open(Alert("drift:WGFUPUS2", "t", "w", "y", "c"))
    alerts.open(ALERT)
    (world.lake.root / "_alerts/said/drift:WGFUPUS2/000001.opened").write_text("{")
    with pytest.raises(DamagedAlertError, match=r"drift:WGFUPUS2.* delete it"):
        tick(instance)
    assert webhook.titles == ["EIA is late"]
