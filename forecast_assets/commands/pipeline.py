"""`forecast pipeline`: the training lineage as a SageMaker Pipeline."""

from datetime import date
from pathlib import Path

import click

from forecast_assets.commands.support import Week, err, explained, open_platform, out


@click.group()
def pipeline() -> None:
    """The training lineage as a SageMaker Pipeline. Needs the extra `sagemaker`."""


@pipeline.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; standard output otherwise.")
@explained
def export(output: Path | None) -> None:
    """Print the pipeline's definition as JSON. Nothing is asked of AWS."""
    from resources.lake.folder import replacing
    from resources.sagemaker.pipeline.definition import pretty

    text = pretty(_definition()[1])
    if output is None:
        click.echo(text)
        return
    with replacing(output) as part:
        part.write_text(text + "\n", encoding="utf-8")
    err.print(f"Wrote {output}", markup=False)


@pipeline.command()
@explained
def upsert() -> None:
    """Create the pipeline in the account, or bring it up to date."""
    from resources.sagemaker.pipeline.definition import upsert as put

    platform = open_platform()
    client = platform.sagemaker.client()  # before the SDK, see `quiet_sdk`
    name, text = _definition()
    arn, created = put(
        client,
        name,
        text,
        role_arn=platform.settings.starting_role_arn,
        description="Counterfactual, search, fit, gate and registration of a week",
    )
    err.print(f"{'Created' if created else 'Updated'} {name}", markup=False)
    out.print(arn, markup=False, soft_wrap=True, highlight=False)


@pipeline.command()
@click.option("--week", type=Week(), required=True, help="The week to train, a Friday; Dagster has its breaks by then.")
@explained
def start(week: date) -> None:
    """Start the pipeline for a week, on the tables that Dagster made for it."""
    from forecast_assets.pipeline import pipeline_name, prepare
    from resources.sagemaker.pipeline.definition import start as begin

    platform = open_platform()
    with err.status(f"Preparing {week}"):
        parameters = prepare(platform.settings, platform.lake, platform.sagemaker, week)
        arn = begin(platform.sagemaker.client(), pipeline_name(platform.settings), parameters)
    out.print(arn, markup=False, soft_wrap=True, highlight=False)


@pipeline.command("image-uri")
@click.argument("algorithm")
@click.option("--version", help="Of a framework, such as 1.4-2 of sklearn.")
@click.option("--instance-type", help="What it runs on, where images differ.")
@explained
def image_uri(algorithm: str, version: str | None, instance_type: str | None) -> None:
    """Print the image of one of SageMaker's own algorithms, such as forecasting-deepar, in your region."""
    from forecast_assets.settings import load_settings
    from resources.sagemaker.pipeline.sdk import builtin_image

    region = load_settings().region
    uri = builtin_image(algorithm, region=region, version=version, instance_type=instance_type)
    out.print(uri, markup=False, soft_wrap=True, highlight=False)


def _definition() -> tuple[str, str]:
    """Name and definition of the pipeline that the settings describe."""
    from forecast_assets.pipeline import training_pipeline
    from resources.sagemaker.pipeline.definition import definition

    platform = open_platform()
    described = training_pipeline(platform.settings, platform.sagemaker)
    return described.name, definition(described, region=platform.settings.region)
