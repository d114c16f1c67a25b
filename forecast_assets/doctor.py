"""What `forecast doctor` looks at."""

import os
import sys
from collections.abc import Iterator
from importlib import metadata

from forecast_assets.findings import Finding, asked, bucket_finding
from forecast_assets.history import dagster_home
from forecast_assets.refresh import Platform
from forecast_assets.serving import model_endpoint, newest_approved
from forecast_assets.settings_file import settings_file
from forecast_assets.watchkeeping import examine_watch
from resources.api.errors import KEY_VARIABLE
from resources.aws import asking, client
from resources.eia.errors import EiaError
from resources.lake import Lake
from resources.retention.sizes import state_sizes

_EXTRAS = (
    ("aws", "dagster-aws"),
    ("postgres", "dagster-postgres"),
    ("sagemaker", "sagemaker"),
    ("tuning", "optuna"),
)


def examine(platform: Platform) -> Iterator[Finding]:
    """Look at the deployment: settings, lake, source, registry, endpoint, API, what runs it, extras."""
    settings = platform.settings
    version = metadata.version("forecast-assets")
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "ok", "Versions", f"forecast-assets {version}, Python {python}, Dagster {metadata.version('dagster')}"
    )
    yield Finding("ok", "Settings", f"{settings_file()}, compute {settings.compute}, search {settings.search}")
    yield Finding("ok", "Series", ", ".join(settings.series_ids))
    if settings.compute == "aws":
        account = asked("Credentials", lambda: _account(settings.region))
        yield account
        if account.state == "ok":
            yield from _of_a_deployment(platform)
    else:
        yield from _of_a_deployment(platform)
    yield from examine_watch(platform)
    yield from (_extra(name, package) for name, package in _EXTRAS)


def _of_a_deployment(platform: Platform) -> Iterator[Finding]:
    yield asked("Lake", lambda: _lake(platform.lake))
    if platform.lake.folder is None:
        bucket = platform.lake.bucket.name
        yield asked("Bucket", lambda: bucket_finding(bucket, platform.settings.region))
    yield asked("State", lambda: _state(platform))
    yield asked("EIA", lambda: _source(platform))
    yield _key(platform)
    yield asked("Registry", lambda: _registry(platform))
    yield asked("Endpoint", lambda: _endpoint(platform))
    yield asked("API", lambda: _api(platform))


def _account(region: str) -> Finding:
    with asking("ask AWS whose credentials these are"):
        found = client("sts", region).get_caller_identity()
    return Finding("ok", "Credentials", f"{found['Arn']}, region {region}")


def _lake(lake: Lake) -> Finding:
    if lake.folder is not None:
        folder = next(parent for parent in (lake.root, *lake.root.parents) if parent.exists())
        if not os.access(folder, os.W_OK):
            remedy = "Point FORECAST_LAKE_URI at a folder of yours"
            return Finding("fail", "Lake", f"{lake.root} cannot be written", remedy)
    where = lake.where("").rstrip("/")
    weeks = lake.weeks("forecast")
    if lake.kind is None:
        return Finding("warn", "Lake", f"{where} is empty", "Run `forecast refresh`")
    span = f"weeks with a forecast: {len(weeks)}, newest {weeks[-1]}" if weeks else "no forecast"
    if lake.kind == "simulated":
        return Finding("warn", "Lake", f"{where}: SIMULATED figures, {span}", "Real figures need a new lake")
    return Finding("ok", "Lake", f"{where}: real figures, {span}")


def _state(platform: Platform) -> Finding:
    sizes = state_sizes(platform.lake, dagster_home(platform.lake))
    told = ", ".join(f"{kind} {size / 1e6:,.1f} MB" for kind, size in sizes.items())
    kept = platform.settings.retention
    rules = f"kept are runs of {kept.runs_weeks} weeks, jobs of {kept.jobs_weeks}, and {kept.models} models"
    return Finding("ok", "State", f"{told}; {rules}", "`forecast housekeeping --dry-run` shows what would go")


def _source(platform: Platform) -> Finding:
    try:
        week = platform.newest_week()
    except EiaError as error:
        return Finding("fail", "EIA", f"{platform.settings.eia_source}: {error}", "See the message")
    return Finding("ok", "EIA", f"{platform.settings.eia_source}: the newest week is {week}")


def _key(platform: Platform) -> Finding:
    if os.environ.get("EIA_API_KEY"):
        return Finding("ok", "EIA_API_KEY", "set")
    if platform.settings.eia_source == "api":
        return Finding("fail", "EIA_API_KEY", "not set", "Set it: the source api needs it")
    return Finding("ok", "EIA_API_KEY", "not set, and not needed")


def _registry(platform: Platform) -> Finding:
    model = newest_approved(platform.settings, platform.sagemaker)
    group = platform.settings.model_group
    if model is None:
        return Finding("warn", "Registry", f"{group} has no approved model", "Run `forecast refresh`")
    return Finding("ok", "Registry", f"{group}: version {model.version}, week {model.week}, {model.approval}")


def _endpoint(platform: Platform) -> Finding:
    endpoint = model_endpoint(platform.settings, platform.sagemaker)
    status = endpoint.status()
    if status is None:
        return Finding("warn", "Endpoint", f"{endpoint.name} does not exist", "Run `forecast refresh`")
    model = newest_approved(platform.settings, platform.sagemaker)
    if model is not None and not platform.endpoint_serves(model):
        found = f"{endpoint.name} is {status.status} and does not serve the newest approved model"
        return Finding("fail", "Endpoint", found, "Run `forecast refresh`")
    return Finding("ok", "Endpoint", f"{endpoint.name} is {status.status} with the newest approved model")


def _api(platform: Platform) -> Finding:
    if not platform.api.is_deployed():
        return Finding("warn", "API", "there is none, or not as the settings ask", "Run `forecast refresh`")
    if os.environ.get(KEY_VARIABLE):
        return Finding("ok", "API", f"{platform.api.url()}, {KEY_VARIABLE} set")
    return Finding("ok", "API", f"{platform.api.url()}, {KEY_VARIABLE} not set", "`forecast api key` gives a key")


def _extra(extra: str, package: str) -> Finding:
    try:
        return Finding("ok", f"Extra {extra}", f"{package} {metadata.version(package)}")
    except metadata.PackageNotFoundError:
        return Finding("ok", f"Extra {extra}", f"{package} is not installed", f"pip install 'forecast-assets[{extra}]'")
