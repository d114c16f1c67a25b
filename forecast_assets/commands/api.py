"""`forecast api`: the REST API in front of the endpoint."""

import json
import os

import click

from forecast_assets.commands.support import err, explained, open_platform


@click.group()
def api() -> None:
    """The REST API in front of the endpoint."""


@api.command()
@explained
def url() -> None:
    """Print where forecasts are asked for, with POST and the header x-api-key."""
    click.echo(open_platform().api.url())


@api.command()
@click.option("--periods", default=10, show_default=True, help="Weeks ahead.")
@click.option("--conf", default=0.9, show_default=True, help="Level of the interval, between 0 and 1.")
@click.option("--series", help="EIA series; the first configured one by default.")
@explained
def invoke(periods: int, conf: float, series: str | None) -> None:
    """Ask the API for a forecast, with the key in PETROLEUM_API_KEY; its JSON answer goes to standard output.

    On AWS the key is read from API Gateway where the variable is not set.
    """
    from resources.api.client import ask
    from resources.api.errors import KEY_VARIABLE, ApiKeyMissingError

    platform = open_platform()
    where, key = platform.api.url(), os.environ.get(KEY_VARIABLE)
    if not key:
        if platform.sagemaker.mode == "local":
            raise ApiKeyMissingError
        key = platform.api.key()
    request = {"periods": periods, "conf": conf, "series": series or platform.settings.series_ids[0]}
    click.echo(json.dumps(ask(where, key, request), indent=2))


@api.command()
@explained
def key() -> None:
    """Print a key of the API: on AWS its own; on this machine a new one, which ends the one before.

    On this machine it is shown this once: only its checksum is kept.
    """
    platform = open_platform()
    click.echo(platform.api.key())
    if platform.sagemaker.mode == "local":
        err.print("Keep it: only its checksum is stored. Every key before it has ended.")


@api.command()
@explained
def teardown() -> None:
    """Take the API down, with its key and its address; `forecast refresh` brings up another one."""
    platform = open_platform()
    gone = platform.api.delete(lambda said: err.print(said, style="dim", markup=False))
    what = "stack" if platform.sagemaker.mode == "aws" else "gateway"
    said = f"The API is gone: its {what}, its address, its key and its log." if gone else "There was no API."
    err.print(f"{said} The endpoint serves on; `forecast endpoint stop` ends it.")
