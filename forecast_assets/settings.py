"""Settings: one frozen object, read from `forecast.yaml` and the environment.

What belongs here: every knob a user may turn, with its description and its limits. Derived values are properties.
Secrets are not settings: they are read from the environment where they are used.
"""

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from forecast_assets.settings_errors import PREFIX, SettingsError, explained, not_json, refuse_unknown_variables
from forecast_assets.settings_file import read_file, settings_file

_LONGEST = 5200  # weeks: a century
_ROLE = r"^arn:aws[a-z-]*:iam::\d{12}:role/.+$"
_NO_ROLE = "arn:aws:iam::000000000000:role/forecast"
_PLAIN_TEXT = r"^[^\x00-\x1f\x7f]+$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Series(_Frozen):
    """One EIA series."""

    name: str = Field(min_length=1, description="What people call it.")
    plausible_kbd: tuple[float, float] = Field(
        (0.5, 50_000.0),
        description="Values outside this range, in thousand barrels per day, are refused as implausible.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.plausible_kbd
        if not 0 < low < high:
            raise ValueError(f"plausible_kbd must be positive and rising, not {low}..{high}")
        return self


# EIA's weekly figures of product supplied, with ranges no year since 1990 has left. For these a list of ids will do.
WEEKLY_PRODUCT_SUPPLIED = {
    "WGFUPUS2": Series(name="Finished motor gasoline", plausible_kbd=(3000, 15_000)),
    "WDIUPUS2": Series(name="Distillate fuel oil", plausible_kbd=(1000, 8000)),
    "WKJUPUS2": Series(name="Kerosene-type jet fuel", plausible_kbd=(100, 4000)),
    "WREUPUS2": Series(name="Residual fuel oil", plausible_kbd=(1, 3000)),
    "WPRUP_NUS_2": Series(name="Propane and propylene", plausible_kbd=(50, 5000)),
    "WWOUP_NUS_2": Series(name="Other oils", plausible_kbd=(500, 10_000)),
    "WRPUPUS2": Series(name="All petroleum products", plausible_kbd=(8000, 40_000)),
}


class StructuralBreak(_Frozen):
    """Where to look for a structural break, and when its span is settled."""

    name: str = Field(min_length=1, description="A label, such as covid-19.")
    searched_from: date = Field(description="Outliers count from this day on.")
    searched_to: date = Field(description="Outliers count up to this day.")
    min_outliers: int = Field(ge=1, description="With fewer outliers in the window there is no break.")
    settled: date = Field(description="From this day on the span stays as found that day.")
    fitted_from: date = Field(description="The counterfactual learns from the weeks between this day and the break.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.fitted_from < self.searched_from <= self.searched_to <= self.settled:
            raise ValueError("dates must run fitted_from < searched_from <= searched_to <= settled")
        return self


class Stage(_Frozen):
    """The SageMaker job of one stage."""

    instance_types: tuple[str, ...] = Field(
        min_length=1,
        max_length=10,
        description="SageMaker instance types, such as ml.m5.xlarge: the next one is tried where one is not to be had.",
    )
    volume_gb: int = Field(ge=1, le=16384, description="Size of the job's volume, GiB.")
    max_runtime_s: int = Field(ge=1, le=432_000, description="The job is stopped after this many seconds.")
    max_wait_s: int = Field(
        ge=1,
        le=864_000,
        description="Longest wait for the job's end, its start included, in seconds; then it is stopped.",
    )
    retries: int = Field(ge=0, le=5, description="New attempts after a failure that is SageMaker's, not the code's.")

    @model_validator(mode="after")
    def _waits_for_its_end(self) -> Self:
        if self.max_wait_s < self.max_runtime_s:
            raise ValueError(f"max_wait_s ({self.max_wait_s}) is below max_runtime_s ({self.max_runtime_s})")
        return self


class TrainingStage(Stage):
    """The training job of one stage."""

    spot: bool = Field(
        description="Take spot capacity: cheaper, and the job goes on from a checkpoint when it is lost."
    )


class AutomaticTuning(_Frozen):
    """SageMaker automatic tuning, where `search` is `automatic`."""

    trials: int = Field(20, ge=1, le=750, description="Configurations tried for every series.")
    parallel: int = Field(10, ge=1, le=100, description="Trials that run at once.")


class Endpoint(_Frozen):
    """The endpoint: serverless, or on instances."""

    name: str = Field(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", max_length=50, description="Its name.")
    memory_mb: int = Field(ge=1024, le=6144, multiple_of=1024, description="Memory of one serverless instance, MiB.")
    max_concurrency: int = Field(ge=1, le=200, description="Requests answered at once before throttling.")
    instance_type: str = Field("", description="An instance type such as ml.t2.medium; empty for serverless.")
    instance_count: int = Field(1, ge=1, le=100, description="Instances, where it is not serverless.")
    max_update_s: int = Field(ge=10, le=3600, description="Longest wait for an endpoint to be in service, seconds.")
    keep: int = Field(3, ge=1, le=100, description="Endpoint configs and models that are kept; older ones are deleted.")


class Api(_Frozen):
    """The REST API in front of the endpoint."""

    stage: str = Field("v1", pattern=r"^[a-zA-Z0-9_-]{1,128}$", description="First part of its path: /v1/forecast.")
    rate_per_s: float = Field(10, gt=0, le=10_000, description="Requests a second of one key, in the long run.")
    burst: int = Field(20, ge=1, le=5000, description="Requests of one key that may come at once.")
    quota_per_month: int = Field(100_000, ge=1, description="Requests of one key in a month.")
    port: int = Field(
        0, ge=0, le=65_535, description="Port of 127.0.0.1 on one machine; 0 takes a free one and keeps it."
    )


class Watch(_Frozen):
    """What sensors and schedules look at, and how often."""

    interval_s: int = Field(60, ge=1, le=3600, description="Seconds between two looks of a sensor.")
    retry_s: int = Field(
        600,
        ge=1,
        le=86_400,
        description="Seconds before what failed for a passing reason is tried again; doubles each time, up to six "
        "times as long.",
    )
    safety_net: str = Field(
        "0 18 * * 3,4",
        description="Cron expression, US/Eastern: when the safety net starts what has not run, and asks whether EIA is "
        "late.",
    )
    landing: str = Field(
        "",
        pattern=r"^$|^[^\x00-\x1f\x7f]+$",
        description="Where others put releases: a folder, or the URL of the SQS queue that tells of them; empty for "
        "nowhere.",
    )
    stale_after_h: int = Field(
        36, ge=1, le=168, description="Hours after a week is due from which its missing forecast raises an alert."
    )


class Drift(_Frozen):
    """When forecasts count as drifted from what the backtest promised."""

    tolerance: float = Field(
        1.5,
        ge=1,
        description="Errors of the last 8 weeks may be this many times those of the backtest.",
    )


class Alerting(_Frozen):
    """Whom alerts reach; the addresses of other channels are secrets, in PETROLEUM_ALERT_URLS."""

    ui: str = Field(
        "http://127.0.0.1:3000",
        pattern=r"^https?://[^\s]+$",
        description="Where people reach Dagster's UI: the beginning of every link in an alert.",
    )
    topic_arn: str = Field(
        "", pattern=r"^$|^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:.+$", description="SNS topic of alerts; empty for none."
    )
    muted: tuple[str, ...] = Field(
        ("residuals_independent", "residuals_normal", "unbiased", "intervals_cover"),
        description="Checks whose warning alerts nobody: residuals are rarely white, and the alert of drift tells of "
        "bias and coverage.",
    )


class Retention(_Frozen):
    """How long the platform keeps what it made on the way. Tables of the lake are never deleted."""

    runs_weeks: int = Field(104, ge=4, le=_LONGEST, description="Weeks that Dagster's runs and their events are kept.")
    failed_runs_weeks: int = Field(
        26, ge=1, le=_LONGEST, description="Weeks that failed, cancelled and superseded runs are kept."
    )
    jobs_weeks: int = Field(13, ge=2, le=_LONGEST, description="Weeks that jobs of the local SageMaker are kept.")
    models: int = Field(
        52, ge=2, le=10_000, description="Newest registered models that are kept; those that serve always are."
    )
    logs_weeks: int = Field(13, ge=1, le=_LONGEST, description="Weeks that logs on this machine are kept.")
    cron: str = Field(
        "0 4 * * 0", description="Cron expression, US/Eastern: when what is kept no longer is looked for and removed."
    )


class Settings(BaseSettings):
    """Everything the platform can be told.

    Sources, strongest first: arguments, environment (`FORECAST_` and the field's name, nested fields joined by `__`),
    `forecast.yaml` in the working directory (or the file named by `FORECAST_SETTINGS`).
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
    )

    series: Annotated[dict[str, Series], NoDecode] = Field(
        min_length=1,
        description="The EIA series to forecast, by id. In the environment a list of ids will do: WGFUPUS2,WDIUPUS2.",
    )
    eia_source: str = Field(
        "auto",
        min_length=1,
        pattern=_PLAIN_TEXT,
        description="Where figures come from: auto, live, api, sample, or a path or URI of a workbook, CSV or folder.",
    )
    lake_uri: str = Field(
        ".forecast/lake",
        min_length=1,
        pattern=_PLAIN_TEXT,
        description="Where everything is kept: a folder, file:///... or s3://...",
    )
    compute: Literal["local", "aws"] = Field("local", description="Who runs the jobs: this machine or an AWS account.")
    region: str = Field("us-east-1", pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="AWS region.")
    role_arn: str = Field(
        _NO_ROLE,
        pattern=_ROLE,
        description="The role SageMaker assumes in jobs. The local SageMaker only looks at its form.",
    )
    endpoint_role_arn: str = Field(
        "",
        pattern=rf"^$|{_ROLE}",
        description="The role SageMaker assumes in the endpoint, which need not write the lake; empty takes role_arn.",
    )
    pipeline_role_arn: str = Field(
        "",
        pattern=rf"^$|{_ROLE}",
        description="The role SageMaker assumes in its Pipeline, which starts jobs; empty takes role_arn.",
    )
    images: str = Field(
        "",
        pattern=r"^$|^[a-z0-9./_:-]*\{image\}[A-Za-z0-9./_:@-]*$",
        description="URI of the images on AWS, with {image} for the name; the build script prints it.",
    )
    stack: str = Field(
        "petroleum-demand",
        pattern=r"^[a-z](-?[a-z0-9])*$",
        max_length=32,
        description="Name of the CloudFormation stack, and the beginning of the names of what it holds.",
    )
    database: str = Field(
        "petroleum_demand", pattern=r"^[a-z0-9_]{1,64}$", description="Glue database of the tables, for Athena."
    )
    prices: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="USD an hour by instance type, where the built-in prices are not yours."
    )
    horizon: int = Field(26, ge=1, le=104, description="Weeks ahead that are forecast, scored and held out.")
    training_weeks: int = Field(
        567, ge=157, le=_LONGEST, description="Length of the training span, the held-out weeks included."
    )
    season_length: float = Field(365.25 / 7, gt=2, le=_LONGEST, description="Length of the yearly season in weeks.")
    max_harmonics: int = Field(12, ge=0, le=26, description="Largest K, the number of Fourier pairs, that is tried.")
    outlier_fence: float = Field(3.0, gt=0, description="Outliers lie further out than this many interquartile ranges.")
    breaks: tuple[StructuralBreak, ...] = Field((), description="Structural breaks to look for.")
    search: Literal["exhaustive", "quick", "automatic"] = Field(
        "exhaustive",
        description="Which configurations are tried: all of them, four that differ in kind, or those that SageMaker "
        "automatic tuning picks.",
    )
    automatic: AutomaticTuning = Field(AutomaticTuning(), description="SageMaker automatic tuning.")
    scoring: Literal["fair", "published"] = Field(
        "fair", description="Score observed weeks only (fair), or the counterfactual as the reference did (published)."
    )
    window: int = Field(417, ge=104, le=_LONGEST, description="Weeks of a training window in cross-validation.")
    step: int = Field(4, ge=1, le=_LONGEST, description="Weeks between two origins of cross-validation.")
    levels: tuple[float, ...] = Field(
        (80, 90, 95),
        min_length=1,
        max_length=10,
        description="Levels of the intervals, per cent; the endpoint answers for at most ten.",
    )
    gate_tolerance: float = Field(
        1.05, ge=1, description="A candidate may be this many times as bad as the champion over the held-out weeks."
    )
    workers: int = Field(0, ge=0, le=1024, description="Threads of the search; 0 takes every CPU.")
    model_group: str = Field(
        "petroleum-demand", pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", max_length=63, description="Model package group."
    )
    approval: Literal["automatic", "manual"] = Field(
        "automatic", description="Whether a model that passed the gate is approved at once or waits for a person."
    )
    processing: Stage = Field(
        Stage(
            instance_types=("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"),
            volume_gb=10,
            max_runtime_s=900,
            max_wait_s=3600,
            retries=2,
        ),
        description="The processing job of the counterfactual.",
    )
    tuning: TrainingStage = Field(
        TrainingStage(
            instance_types=("ml.c5.2xlarge", "ml.m5.2xlarge", "ml.c5.4xlarge"),
            volume_gb=10,
            max_runtime_s=7200,
            max_wait_s=14_400,
            retries=2,
            spot=True,
        ),
        description="The training job of the search.",
    )
    training: TrainingStage = Field(
        TrainingStage(
            instance_types=("ml.m5.xlarge", "ml.c5.xlarge", "ml.m5.2xlarge"),
            volume_gb=10,
            max_runtime_s=1800,
            max_wait_s=3600,
            retries=2,
            spot=False,
        ),
        description="The training job of the fit.",
    )
    endpoint: Endpoint = Field(
        Endpoint(name="petroleum-demand", memory_mb=1024, max_concurrency=20, max_update_s=600),
        description="The endpoint that serves the newest approved model.",
    )
    api: Api = Field(Api(), description="The REST API in front of the endpoint.")
    now: str = Field(
        "",
        pattern=r"^$|^[^\x00-\x1f\x7f]+$",
        description="For rehearsals: an ISO time with its offset at which the platform's clock stands, or the path of "
        "a file that holds one, read at every look; empty for the real time.",
    )
    retuning: Literal["weekly", "on_drift"] = Field(
        "weekly",
        description="When configurations are searched: every week, or when none was searched yet and when forecasts "
        "drift.",
    )
    drift: Drift = Field(Drift(), description="When forecasts count as drifted.")
    watch: Watch = Field(Watch(), description="What sensors and schedules look at, and how often.")
    alerts: Alerting = Field(Alerting(), description="Whom alerts reach.")
    retention: Retention = Field(Retention(), description="How long is kept what was made on the way.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file; there is no other source."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_file())

    @field_validator("series", mode="before")
    @classmethod
    def _ids_will_do(cls, value: object) -> object:
        if isinstance(value, str):
            text = value.strip()
            value = json.loads(text) if text.startswith(("{", "[")) else [part.strip() for part in text.split(",")]
        if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
            in_file = read_file().get("series")
            known = WEEKLY_PRODUCT_SUPPLIED | (in_file if isinstance(in_file, dict) else {})
            value = {name: known.get(name, name) for name in value}
        if isinstance(value, dict):
            value = {name: {"name": entry} if isinstance(entry, str) else entry for name, entry in value.items()}
        return value

    @field_validator("series")
    @classmethod
    def _ids_are_eia_ids(cls, value: dict[str, Series]) -> dict[str, Series]:
        wrong = [name[:40] for name in value if not re.fullmatch(r"(?=.*[A-Z])[A-Z0-9_]{1,40}", name)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong[:5]))}: an EIA series id is like WGFUPUS2")
        return value

    @field_validator("levels")
    @classmethod
    def _levels_are_percent(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        wrong = [level for level in value if not 0 < level < 100]
        if wrong or len(set(value)) != len(value):
            raise ValueError("levels are different percentages between 0 and 100")
        return tuple(sorted(value))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.window + self.horizon > self.tuning_weeks:
            raise ValueError(
                f"window ({self.window}) + horizon ({self.horizon}) exceed the {self.tuning_weeks} weeks that "
                "training_weeks leaves to tune on"
            )
        names = [each.name for each in self.breaks]
        if len(set(names)) < len(names):
            raise ValueError(f"breaks: two have the same name, of {', '.join(names)}")
        if self.compute == "aws":
            if self.eia_source in {"auto", "sample"}:
                raise ValueError(f"eia_source: {self.eia_source} may simulate figures; on AWS say live, api or a URI")
            if not self.lake_uri.startswith("s3://"):
                raise ValueError("lake_uri: on AWS the lake is s3://bucket/prefix")
            if self.role_arn == _NO_ROLE:
                raise ValueError("role_arn: on AWS say the role that `forecast aws bootstrap` made")
            if not self.images:
                raise ValueError("images: on AWS say where the images are, as the build script prints it")
        elif self.lake_uri.startswith("s3://"):
            raise ValueError(
                "lake_uri: the SageMaker of this machine reads folders; set compute to aws, or name a folder"
            )
        return self

    @property
    def serving_role_arn(self) -> str:
        """The role of models behind the endpoint."""
        return self.endpoint_role_arn or self.role_arn

    @property
    def starting_role_arn(self) -> str:
        """The role of the SageMaker Pipeline."""
        return self.pipeline_role_arn or self.role_arn

    @property
    def tuning_weeks(self) -> int:
        """Weeks of the training span before the held-out ones."""
        return self.training_weeks - self.horizon

    @property
    def series_ids(self) -> tuple[str, ...]:
        """The ids of the configured series, in their order."""
        return tuple(self.series)


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: A value is wrong, a field or variable unknown, or the file cannot be read.
    """
    refuse_unknown_variables(os.environ, Settings)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [explained(item, overrides, Settings, settings_file()) for item in error.errors(include_url=False)]
        where = settings_file() if settings_file().is_file() else f"{settings_file()}, which is not in {Path.cwd()}"
        raise SettingsError(f"wrong settings (environment FORECAST_..., or {where}):\n" + "\n".join(lines)) from None
    except SourceError as error:
        raise SettingsError(not_json(error)) from None
    except RecursionError:
        raise SettingsError("wrong settings: a value is nested too deeply for any field") from None
