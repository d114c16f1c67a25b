"""`forecast aws`: the account that everything runs in."""

from typing import TYPE_CHECKING

import click

from forecast_assets.commands.support import err, explained, out
from forecast_assets.settings import Settings, load_settings

if TYPE_CHECKING:
    from resources.cloudformation.account import Account


@click.group()
def aws() -> None:
    """What the platform needs in an AWS account: made, shown and taken down."""


@aws.command()
@click.option("--alert-email", metavar="ADDRESS", help="Who gets the alerts; as it was by default, at first nobody.")
@explained
def bootstrap(alert_email: str | None) -> None:
    """Make what everything else stands on, or bring it to this version. Safe to repeat; deletes no data.

    Bucket, image repositories, roles, landing queue, alert topic, Athena workgroup: one CloudFormation stack. The
    variables to set are printed at the end, as by `forecast aws env`.
    """
    from resources.cloudformation.stack import StackMissingError

    settings = _settings()
    account = _account(settings)
    err.print(f"Stack {settings.stack} in account {account.number()}, {settings.region}", style="bold", markup=False)
    if alert_email is None:
        try:
            alert_email = account.base.parameters().get("AlertEmail", "")
        except StackMissingError:
            alert_email = ""
    parameters = {
        "EndpointName": settings.endpoint.name,
        "ModelGroup": settings.model_group,
        "Database": settings.database,
        "AlertEmail": alert_email,
    }
    with err.status("CloudFormation is at work"):
        changed = account.deploy(parameters, _say)
    err.print(f"Stack {settings.stack} is {'as asked now' if changed else 'up to date: nothing had to change'}.")
    _print_variables(settings, account)


@aws.command()
@click.option("--tag", help="Tag of the images; the newest that all of them have by default.")
@explained
def env(tag: str | None) -> None:
    """Print the variables to set, for `eval "$(forecast aws env)"`."""
    settings = _settings()
    _print_variables(settings, _account(settings), tag=tag)


@aws.command()
@click.option("--delete-data", is_flag=True, help="Delete every table and model, and the registry, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@explained
def teardown(*, delete_data: bool, yes: bool) -> None:
    """Take down API, endpoint and stack, having said what is lost. Safe to repeat; the data stay unless asked for."""
    settings = _settings()
    account = _account(settings)
    name, bucket = settings.stack, account.bucket()
    lost = [
        f"stack {name}-api: the REST API with its address and its key",
        f"endpoint {settings.endpoint.name}, with its configs and models",
        f"stack {name}: images, roles, landing queue, alerts, Athena workgroup, definitions of tables, endpoint's log",
    ]
    if delete_data:
        lost += [
            f"bucket {bucket}: EVERY table, release, model and landing, in every version",
            f"model package group {settings.model_group}, with every version",
        ]
    err.print(f"In account {account.number()}, {settings.region}, this is lost:", style="bold", markup=False)
    for each in lost:
        err.print(f"- {each}", markup=False, soft_wrap=True)
    if not delete_data:
        err.print(f"Bucket {bucket} and the registry stay; --delete-data deletes them too.", markup=False)
    if not yes:
        click.confirm("Go on?", abort=True, err=True)
    with err.status("AWS is at work"):
        _take_down(settings, account, delete_data=delete_data)
    err.print("Done.")


def _take_down(settings: Settings, account: "Account", *, delete_data: bool) -> None:
    """What stands on something goes before it."""
    from resources.cloudformation.account import MAX_WAIT_S

    account.api.delete(max_wait_s=MAX_WAIT_S, progress=_say)
    account.delete_endpoint(settings.endpoint.name, _say)
    account.base.delete(max_wait_s=MAX_WAIT_S, progress=_say)
    if delete_data:
        account.delete_registry(settings.model_group, _say)
        account.delete_bucket(_say)


def _settings() -> Settings:
    """The settings, as far as they are needed here: those that come from the stack may still be missing."""
    return load_settings(compute="local", lake_uri=".forecast/lake")


def _account(settings: Settings) -> "Account":
    from resources.cloudformation.account import Account

    return Account(settings.stack, settings.region)


def _print_variables(settings: Settings, account: "Account", *, tag: str | None = None) -> None:
    found = account.base.outputs()
    variables = {
        "FORECAST_COMPUTE": "aws",
        "FORECAST_REGION": settings.region,
        "FORECAST_STACK": settings.stack,
        "FORECAST_LAKE_URI": found["LakeUri"],
        "FORECAST_ROLE_ARN": found["RoleArn"],
        "FORECAST_ENDPOINT_ROLE_ARN": found["EndpointRoleArn"],
        "FORECAST_PIPELINE_ROLE_ARN": found["PipelineRoleArn"],
        "FORECAST_DATABASE": found["Database"],
        "FORECAST_WATCH__LANDING": found["LandingQueueUrl"],
    }
    if settings.eia_source in {"auto", "sample"}:  # which may simulate figures, and are refused on AWS
        variables["FORECAST_EIA_SOURCE"] = "live"
    tag = tag or account.newest_tag()
    if tag:
        variables["FORECAST_IMAGES"] = f"{found['Images']}:{tag}"
    else:
        err.print(
            "There are no images yet: push them with `forecast aws images`, then ask `forecast aws env` again.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    for name, value in variables.items():
        out.print(f"export {name}={value}", markup=False, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    err.print(text, style="dim", markup=False, soft_wrap=True, highlight=False)
