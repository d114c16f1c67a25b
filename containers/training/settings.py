"""The hyper-parameters of a training job, read and checked."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from containers.contract import worker_count
from containers.parameters import Parameters
from forecasting.configuration import Configuration
from forecasting.errors import ConfigurationError

Task = Literal["tune", "evaluate", "rank", "fit"]
Scoring = Literal["fair", "published"]
Search = Literal["exhaustive", "quick"]
_SHARED = (
    "task",
    "week",
    "series",
    "season_length",
    "horizon",
    "window",
    "step",
    "scoring",
    "search",
    "max_harmonics",
    "levels",
    "workers",
    "test_mode",
    "code_version",
    "data_checksum",
    "trials_checksum",
)
_SWITCHES = ("holidays", "detrend", "deseasonalise", "counterfactual")
TEST_ORIGINS = 5


@dataclass(frozen=True)
class Settings:
    """What a training job is asked for.

    Attributes:
        task: "tune" searches, "evaluate" scores one configuration, "rank" ranks what jobs of "evaluate" found, "fit"
            makes the model.
        week: The last week of the data, a Friday.
        series: The only series of the job; None takes all.
        season_length: Weeks in a year.
        horizon: Weeks that are held out and forecast.
        window: Weeks of a training window; None takes the scoring's own.
        step: Weeks between origins; None takes the scoring's own.
        search: "exhaustive" tries every configuration, "quick" four.
        scoring: What forecasts are compared with.
        max_harmonics: Largest number of Fourier pairs tried.
        levels: Coverage of the intervals that are scored, in percent.
        workers: Threads of the search.
        max_origins: Only the newest origins, in test mode; None takes all.
        code_version: Of the code, for the artifact.
        data_checksum: Of the input, for the artifact.
        configuration: The one to evaluate; None for the other tasks.
    """

    task: Task
    week: dt.date
    series: str | None
    season_length: float
    horizon: int
    window: int | None
    step: int | None
    search: Search
    scoring: Scoring
    max_harmonics: int
    levels: tuple[float, ...]
    workers: int
    max_origins: int | None
    code_version: str
    data_checksum: str
    configuration: Configuration | None

    @classmethod
    def read(cls, parameters: Parameters) -> "Settings":
        """Reads all hyper-parameters; raises a `ContractError` that names the one at fault."""
        task: Task = parameters.choice("task", ("tune", "evaluate", "rank", "fit"))  # type: ignore[assignment]
        evaluated = ("harmonics", *_SWITCHES) if task == "evaluate" else ()
        parameters.refuse_unknown((*_SHARED, *evaluated))
        return cls(
            task=task,
            week=parameters.date("week"),
            series=parameters.values.get("series"),
            season_length=parameters.positive("season_length", str(365.25 / 7)),
            horizon=parameters.integer("horizon", "26", least=1),
            window=parameters.integer("window", least=1) if "window" in parameters.values else None,
            step=parameters.integer("step", least=1) if "step" in parameters.values else None,
            search=parameters.choice("search", ("exhaustive", "quick"), "exhaustive"),  # type: ignore[arg-type]
            scoring=parameters.choice("scoring", ("fair", "published"), "fair"),  # type: ignore[arg-type]
            max_harmonics=parameters.integer("max_harmonics", "12"),
            levels=_levels(parameters),
            workers=worker_count(parameters.integer("workers", "0")),
            max_origins=TEST_ORIGINS if parameters.boolean("test_mode", "false") else None,
            code_version=parameters.text("code_version"),
            data_checksum=parameters.text("data_checksum"),
            configuration=_configuration(parameters) if task == "evaluate" else None,
        )

    @property
    def scored_horizon(self) -> int:
        """Weeks forecast from each origin: the published protocol leaves out the last one."""
        return self.horizon - 1 if self.scoring == "published" else self.horizon

    @property
    def cutoff(self) -> dt.date:
        """The last week before the held-out ones."""
        return self.week - dt.timedelta(weeks=self.horizon)

    @property
    def provenance(self) -> dict[str, str]:
        """Where the model comes from."""
        return {
            "week": self.week.isoformat(),
            "code_version": self.code_version,
            "data_checksum": self.data_checksum,
        }


def _levels(parameters: Parameters) -> tuple[float, ...]:
    levels = parameters.structure("levels", "[80, 90, 95]")
    valid = isinstance(levels, list) and all(
        isinstance(level, int | float) and not isinstance(level, bool) and 0 < level < 100 for level in levels
    )
    if not valid or not levels or len(set(levels)) < len(levels):
        raise parameters.invalid("levels", "a JSON list of different percentages between 0 and 100")
    return tuple(float(level) for level in levels)


def _configuration(parameters: Parameters) -> Configuration:
    text = parameters.text("harmonics")
    if text != "aicc" and not (text.isascii() and text.isdigit()):
        raise parameters.invalid("harmonics", "a whole number or aicc")
    switches = {name: parameters.boolean(name) for name in _SWITCHES}
    try:
        return Configuration.from_dict({"harmonics": "aicc" if text == "aicc" else int(text), **switches})
    except ConfigurationError as error:
        raise parameters.invalid("harmonics", str(error)) from error
