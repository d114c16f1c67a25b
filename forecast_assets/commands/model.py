"""`forecast model`: what is registered, and a person's word on it."""

from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from forecast_assets.commands.support import err, explained, open_platform, out

if TYPE_CHECKING:
    from resources.sagemaker.registry import Approval

_REASON = click.option("--reason", required=True, help="Why, in words; the registry keeps it.")


@click.group()
def model() -> None:
    """The registered models, and whether they may serve."""


@model.command(name="list")
@explained
def list_models() -> None:
    """Show the versions, the latest first."""
    table = Table("Version", "Week", "Approval", "Gate", "Reason", box=None, header_style="bold")
    for found in open_platform().registry.models():
        gate = "passed" if found.passed_gate else "failed"
        table.add_row(str(found.version), str(found.week), found.approval, gate, escape(found.reason))
    out.print(table)


@model.command()
@click.argument("version", type=int)
@_REASON
@explained
def approve(version: int, reason: str) -> None:
    """Let a version serve, if it is of the newest week that is approved.

    Dagster's daemon deploys it at its next look; without the daemon `forecast refresh` does.
    """
    _decide(version, "Approved", reason)


@model.command()
@click.argument("version", type=int)
@_REASON
@explained
def reject(version: int, reason: str) -> None:
    """Keep a version from serving.

    Dagster's daemon goes back to the one before at its next look; without the daemon `forecast refresh` does.
    """
    _decide(version, "Rejected", reason)


def _decide(version: int, approval: "Approval", reason: str) -> None:
    platform = open_platform()
    found = platform.registry.decide(version, approval, reason=reason)
    err.print(f"Version {found.version} of {platform.settings.model_group}, week {found.week}: {found.approval}.")
