"""Delivery, to services on loopback: once to each channel, nothing lost, no secret anywhere."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from resources.alerts import Alerts
from resources.alerts import delivery as module
from resources.alerts.channels import Channel, Log, Topic, configured_channels
from resources.alerts.delivery import Delivery, deliver, failing_channels
from resources.alerts.errors import VARIABLE, ChannelAddressError, ChannelError, ChannelFailedError
from resources.alerts.text import Message
from resources.lake import Lake
from tests.resources.alerts.conftest import NOON, Time, alert
from tests.s3 import S3, reached
from tests.webhook import Webhook

Webhooks = Callable[[], Webhook]
KEY = alert().key
TITLE = alert().title


class Post:
    """Delivers round after round, with real time at its command."""

    def __init__(self, alerts: Alerts, monkeypatch: pytest.MonkeyPatch) -> None:
        self.logged: list[str] = []
        self.now_s = 1e9
        self._alerts = alerts
        monkeypatch.setattr(module.time, "time", lambda: self.now_s)

    def __call__(self, *addresses: str, topic: str = "") -> Delivery:
        channels: list[Channel] = configured_channels(topic, {VARIABLE: " ".join(addresses)})
        self.now_s += 60
        return deliver(self._alerts, [Log(self.logged.append), *channels], ui="http://dagster.example:3000/", wait_s=60)


@pytest.fixture
def post(alerts: Alerts, monkeypatch: pytest.MonkeyPatch) -> Post:
    return Post(alerts, monkeypatch)


def test_an_alert_and_its_end_reach_every_channel_once(
    alerts: Alerts, time: Time, post: Post, webhooks: Webhooks
) -> None:
    one, other = webhooks(), webhooks()
    alerts.open(alert())
    for _ in range(3):
        post(one.url(), other.url())
    time.to(NOON + timedelta(hours=2))
    alerts.close(KEY, recovery="The refresh of 2023-11-10 has succeeded.")
    for _ in range(3):
        post(one.url(), other.url())

    assert one.taken == other.taken
    assert [each["type"] for each in one.taken] == ["failure", "success"]
    wrong, over = one.taken
    assert wrong["title"] == "The refresh of 2023-11-10 failed"
    assert wrong["message"].splitlines() == [
        "Week: 2023-11-10",
        "What: Run 0a1b2c3d of the job weekly_refresh of 2023-11-10 failed at release.",
        "Why: EiaUnreachableError: www.eia.gov did not answer",
        "Consequence: The newest forecast is that of 2023-11-03. The model of 2023-11-03 keeps serving.",
        "Since: 2023-11-15 12:00 UTC",
        "Look at: http://dagster.example:3000/runs/0a1b2c3d",
    ]
    assert over["title"] == "Over: The refresh of 2023-11-10 failed"
    assert over["message"].splitlines() == [
        "Week: 2023-11-10",
        "Now: The refresh of 2023-11-10 has succeeded.",
        "It was: Run 0a1b2c3d of the job weekly_refresh of 2023-11-10 failed at release.",
        "From: 2023-11-15 12:00 UTC to 2023-11-15 14:00 UTC",
        "Look at: http://dagster.example:3000/runs/0a1b2c3d",
    ]
    assert alerts.unsettled() == ([], [])

    alerts.open(alert())
    post(one.url(), other.url())
    assert one.titles[2:] == [TITLE], "what comes back is said again"


def test_a_channel_that_is_down_delays_itself_only_and_loses_nothing(
    alerts: Alerts, time: Time, post: Post, webhooks: Webhooks, lake: Lake
) -> None:
    up, down = webhooks(), webhooks()
    addresses = (up.url(), down.url())
    down.down()
    alerts.open(alert())
    done = post(*addresses)
    assert (up.titles, done.waiting) == ([TITLE], {"json-2": 1})
    assert done.failing["json-2"].failures == 1
    assert not done.failing["json-2"].lasts

    time.to(NOON + timedelta(days=7))
    alerts.open(alert("late:2023-11-17", title="EIA is late"))
    for _ in range(6):
        done = post(*addresses)
    assert done.failing["json-2"].failures == 3, "asked after 60, 120 and 240 seconds"
    assert done.failing["json-2"].lasts
    assert up.titles == [TITLE, "EIA is late", "Alerts do not reach json-2"]

    down.up()
    alerts.close("late:2023-11-17", recovery="EIA has published.")
    for _ in range(6):
        done = post(*addresses)
    assert done.failing == {}
    assert down.titles == [TITLE, "Over: EIA is late"], "of what is over it hears so, once"
    assert up.titles[3:] == ["Over: EIA is late", "Over: Alerts do not reach json-2"]
    assert failing_channels(lake, ["json", "json-2"]) == {}


def test_a_crash_between_taking_and_marking_repeats_that_one_message_only(
    alerts: Alerts, post: Post, webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = webhooks()
    alerts.open(alert())
    alerts.open(alert("late:2023-11-17", title="EIA is late"))
    with monkeypatch.context() as patch:
        patch.setattr(Alerts, "told", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            post(hook.url())
    assert post.logged, "the log comes first"
    with monkeypatch.context() as patch:
        real = Alerts.told
        patch.setattr(
            Alerts, "told", lambda self, one, part, name: real(self, one, part, name) if name == "log" else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            post(hook.url())
    post(hook.url())
    post(hook.url())
    assert hook.titles == ["EIA is late", "EIA is late", TITLE], "of the same second, in the order of their keys"


def test_without_a_channel_alerts_are_logged_and_a_later_channel_is_spared_them(
    alerts: Alerts, post: Post, webhooks: Webhooks
) -> None:
    alerts.open(alert())
    post()
    post()
    assert len(post.logged) == 1
    assert "Why: EiaUnreachableError: www.eia.gov did not answer" in post.logged[0]
    hook = webhooks()
    post(hook.url())
    alerts.close(KEY, recovery="over")
    post(hook.url())
    assert hook.taken == []
    alerts.open(alert())
    post(hook.url())
    assert hook.titles == [TITLE]


def test_what_waits_for_a_channel_that_was_replaced_goes_to_the_new_one(
    alerts: Alerts, post: Post, webhooks: Webhooks
) -> None:
    hook = webhooks()
    alerts.open(alert())
    post("slakc://T0000/B0000/" + "x" * 24)
    post(hook.url())
    post(hook.url())
    assert hook.titles == [TITLE]
    assert alerts.open_keys() == [KEY], "that alerts did not reach the former one is over"


# -- secrets -----------------------------------------------------------------------------------------------------------

SECRET = "CANARYpassword"
WRONG = [
    f"slack://{SECRET}",
    SECRET,
    f"{SECRET}://{SECRET}.example/{SECRET}",
    f"mailto://user:{SECRET}@",
    f"json://user:{SECRET}@[::1",
    f"https://{SECRET}.example/{SECRET}?token={SECRET}",
]


@pytest.mark.parametrize("url", WRONG, ids=range(len(WRONG)))
def test_a_malformed_address_is_an_error_by_name_without_the_address(
    alerts: Alerts, post: Post, webhooks: Webhooks, lake: Lake, url: str
) -> None:
    hook = webhooks()
    alerts.open(alert())
    done = post(url, hook.url())
    assert hook.titles == [TITLE]
    (failing,) = done.failing.values()
    assert failing.lasts, "at once: no patience mends it"
    assert f"address 1 of {VARIABLE}" in failing.reason
    assert SECRET not in repr(done)
    assert not [path for path in lake.root.rglob("*") if path.is_file() and SECRET in path.read_text() + str(path)]


@pytest.mark.parametrize("state", ["up", "refusing", "down"])
def test_no_part_of_an_address_is_logged_stored_or_shown(
    alerts: Alerts,
    post: Post,
    webhooks: Webhooks,
    lake: Lake,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    state: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    hook = webhooks()
    hook.status = 200 if state == "up" else 403
    if state == "down":
        hook.down()
    alerts.open(alert())
    done = post(f"{hook.url(f'user:{SECRET}%21@')}{SECRET}/path?+X-Token={SECRET}&:field={SECRET}")
    assert bool(done.failing) == (state != "up")
    stored = "".join(path.read_text() + str(path) for path in lake.root.rglob("*") if path.is_file())
    shown = capfd.readouterr()
    assert SECRET not in repr(done) + caplog.text + stored + shown.out + shown.err
    if state == "refusing":
        assert "403" in done.failing["json"].reason


def test_apprise_neither_names_itself_nor_fetches_or_keeps_anything() -> None:
    from resources.alerts.channels import _asset

    asset = _asset()
    assert (asset.app_id, asset.app_url, asset.image_url_logo, asset.image_url_mask) == ("Petroleum demand", "", "", "")
    assert asset.storage_path is None
    assert asset.storage_mode.value == "memory"
    assert asset.secure_logging


# -- SNS ---------------------------------------------------------------------------------------------------------------


def test_a_topic_of_sns_hands_a_message_to_those_who_listen() -> None:
    import boto3

    s3 = S3()
    try:
        with reached(s3.environment):
            sns, sqs = boto3.client("sns", region_name="us-east-1"), boto3.client("sqs", region_name="us-east-1")
            topic = sns.create_topic(Name="alerts")["TopicArn"]
            queue = sqs.create_queue(QueueName="reader")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
            Topic(topic).send(Message("Größe: " + "x" * 200, "Why: naïve – forecast"))
            (got,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
            assert '"Subject": "Gr??e: ' + "x" * 93 + '"' in got["Body"]
            assert "Why: na\\u00efve \\u2013 forecast" in got["Body"]
            with pytest.raises(ChannelFailedError, match="NotFound"):
                Topic(topic + "-of-others").send(Message("x", "y"))
    finally:
        s3.close()
    with reached(s3.environment), pytest.raises(ChannelFailedError, match="topic did not take"):
        Topic(topic).send(Message("x", "y"))


def test_channels_are_called_by_their_kind_and_keep_their_name_when_the_password_changes() -> None:
    urls = "json://h/ slack://a/b/c jsons://h JSON://h mailto://u:p@h nonsense"
    names = [channel.name for channel in configured_channels("arn:aws:sns:us-east-1:123456789012:t", {VARIABLE: urls})]
    assert names == ["json", "slack", "jsons", "json-2", "mailto", "address", "topic"]


def test_errors_of_channels_share_a_family() -> None:
    assert issubclass(ChannelAddressError, ChannelError)
    assert issubclass(ChannelFailedError, ChannelError)
