"""What is wrong, or no longer, reaches people."""

from collections.abc import Mapping

import dagster as dg

from forecast_assets.settings import Settings
from resources.alerts import Alerts
from resources.alerts.channels import Log, configured_channels
from resources.alerts.delivery import Delivery, Failing, deliver
from resources.alerts.errors import VARIABLE, ChannelsFailingError


def deliveries(configured: Settings) -> dg.SensorDefinition:
    """The sensor, which looks as often as is configured."""

    @dg.sensor(
        name="deliveries",
        minimum_interval_seconds=configured.watch.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends each alert, and that it is over, once to every channel of {VARIABLE} and to the SNS topic. "
        "A channel that is down is asked again and delays itself only; the tick fails while one stays down.",
    )
    def tick(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], alerts: Alerts
    ) -> dg.SkipReason:
        channels = configured_channels(settings.alerts.topic_arn)
        log = Log(context.log.warning)
        wait_s = settings.watch.interval_s
        done = deliver(alerts, [log, *channels], ui=settings.alerts.ui, wait_s=wait_s)
        if done.damaged:
            raise done.damaged[0]
        if any(failing.lasts for failing in done.failing.values()):
            raise ChannelsFailingError(failing_lines(done.failing, done.waiting))
        return dg.SkipReason(_said(done, anybody=bool(channels)))

    return tick


def failing_lines(failing: Mapping[str, Failing], waiting: Mapping[str, int]) -> list[str]:
    """A channel each, in words."""
    return [
        f"{name} has taken nothing since {each.since}"
        + (f", {waiting[name]} waiting" if name in waiting else "")
        + f": {each.reason}"
        for name, each in failing.items()
    ]


def _said(done: Delivery, *, anybody: bool) -> str:
    parts = [f"Sent to {', '.join(done.sent)}"] if done.sent else []
    parts += failing_lines(done.failing, done.waiting)
    if not anybody:
        parts.append(f"There is no channel ({VARIABLE}, alerts.topic_arn): alerts are in the log of this sensor only")
    return ". ".join(parts) or "Nothing to say"
