"""`forecast aws images`: the images of the checkout, built and pushed."""

from pathlib import Path

import click

from forecast_assets.commands.support import err, explained, out
from forecast_assets.settings import load_settings

_ROOT = Path(__file__).resolve().parents[2]


@click.command()
@click.option("--engine", type=click.Choice(["docker", "podman"]), help="What builds; the first of these that is here.")
@click.option("--python-image", metavar="REF", help="Base image, such as python@sha256:...; python:3.11-slim.")
@explained
def images(engine: str | None, python_image: str | None) -> None:
    """Build the images of this checkout's revision, push what the registry lacks, and say the setting to make."""
    from resources import aws
    from resources.images import Registry, build_and_push, find_engine

    # What comes of the images and of the stack may still be missing.
    settings = load_settings(compute="local", lake_uri=".forecast/lake")
    uri = build_and_push(
        _ROOT,
        Registry(aws.client("ecr", settings.region), settings.stack),
        engine=find_engine(engine),  # type: ignore[arg-type] # a choice of the option
        python_image=python_image,
        progress=lambda text: err.print(text, markup=False, soft_wrap=True),
    )
    out.print(f"FORECAST_IMAGES={uri}", markup=False, soft_wrap=True, highlight=False)
