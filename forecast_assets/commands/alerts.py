"""`forecast alerts`: what is wrong, and whether those who should hear of it do."""

import sys
from datetime import UTC

import click
from rich.markup import escape
from rich.table import Table

from forecast_assets.commands.support import err, explained, open_platform, out


@click.group()
def alerts() -> None:
    """What is wrong, and who is told."""


@alerts.command(name="list")
@explained
def list_alerts() -> None:
    """Show what is open, the oldest first, and who has heard of it."""
    occurrences, damaged = open_platform().alerts.unsettled()
    lasting = [one for one in occurrences if one.closed_at is None]
    table = Table("Since (UTC)", "Key", "What", "Why", "Told", box=None, header_style="bold")
    for one in lasting:
        told = sorted(one.told["opened"])
        cells = (one.alert.key, one.alert.what, one.alert.why, ", ".join(told) or "nobody yet")
        table.add_row(f"{one.opened_at.astimezone(UTC):%Y-%m-%d %H:%M}", *map(escape, cells))
    if lasting:
        out.print(table)
    else:
        err.print("Nothing is wrong, as far as is known.")
    if damaged:
        raise damaged[0]


@alerts.command()
@explained
def test() -> None:
    """Send a message to every channel, and say which took it."""
    from resources.alerts.channels import ChannelError, configured_channels
    from resources.alerts.errors import VARIABLE
    from resources.alerts.text import Message

    settings = open_platform().settings
    channels = configured_channels(settings.alerts.topic_arn)
    if not channels:
        raise click.ClickException(f"there is no channel: set {VARIABLE}, or topic_arn of the setting alerts")
    message = Message(
        "A test of the alerts",
        f"Somebody typed `forecast alerts test`. Nothing is wrong.\nLook at: {settings.alerts.ui}",
        good=True,
    )
    failed = False
    for channel in channels:
        try:
            with err.status(channel.name):
                channel.send(message)
        except ChannelError as error:
            failed = True
            err.print(f"{channel.name}: {error}", style="red", markup=False, soft_wrap=True)
        else:
            err.print(f"{channel.name} took it.", markup=False)
    if failed:
        sys.exit(1)


@alerts.command()
@click.argument("key")
@click.option("--reason", required=True, help="Why it is over, in words; those who were told hear it.")
@explained
def close(key: str, reason: str) -> None:
    """End an alert by hand. What still holds is opened again when it is found the next time."""
    if not open_platform().alerts.close(key, recovery=reason):
        raise click.ClickException(f"no alert {key} is open: `forecast alerts list` shows those that are")
    err.print(f"{key} is closed.", markup=False)
