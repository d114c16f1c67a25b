"""What the commands share: where they print, how errors end them, the platform they work on."""

import functools
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click
from rich.console import Console

from forecast_assets.settings_errors import SettingsError
from resources.aws import AwsError
from resources.lake import LakeError

if TYPE_CHECKING:
    from forecast_assets.refresh import Platform

P = ParamSpec("P")
R = TypeVar("R")

out = Console()
err = Console(stderr=True)


class Week(click.ParamType[date]):
    """A Friday on the command line."""

    name = "week"

    def convert(self, value: str | date, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The date; refused where it is not a Friday."""
        try:
            week = value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date like 2023-11-10", param, ctx)
        if week.weekday() != 4:
            self.fail(f"{week} is a {week:%A}; EIA's weeks are named by their Friday", param, ctx)
        return week


def explained(command: Callable[P, R]) -> Callable[P, R]:
    """Our own errors end a command with their message, not with a traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from resources.alerts.errors import ChannelError
        from resources.api.errors import ApiError
        from resources.eia.errors import EiaError
        from resources.sagemaker.endpoint.errors import EndpointError

        try:
            return command(*args, **kwargs)
        except (SettingsError, LakeError, EiaError, EndpointError, AwsError, ApiError, ChannelError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def open_platform() -> "Platform":
    """The platform that the settings describe."""
    from forecast_assets.definitions import build_defs
    from forecast_assets.refresh import Platform

    return Platform(build_defs())
