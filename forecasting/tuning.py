"""Which configuration a series gets: a search that keeps every trial and leaves the default only on evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import nan
from typing import Any, Final, TypedDict, Unpack

import numpy.typing as npt
import pandas as pd

from forecasting.configuration import DEFAULT, PUBLISHED, Configuration, search_space
from forecasting.cross_validation import (
    SPLITS,
    Backtest,
    Evaluation,
    NothingObservedError,
    Progress,
    Scoring,
    Splits,
)
from forecasting.scoring import hac_standard_error, origin_losses, overlap_lags, paired_difference

LEAD: Final = 3.0
"""Standard errors by which a configuration must lead to displace the default: two hundred try, and at one or two
errors the luckiest displaces it and forecasts worse (`benchmarks/accuracy`)."""


@dataclass(frozen=True)
class SearchResult:
    """What a search gives.

    Attributes:
        trials: the leaderboard, one row per series and configuration, best first within a series: unique_id,
            configuration, one column per hyper-parameter, status ("ok" or the name of the error), reason,
            n_origins, n_points, loss (mean over origins of the MSE, kbd^2), se (overlap-robust, of the loss),
            delta (mean paired difference to the default, negative is better), delta_se, n_parameters (mean
            over origins), rank, chosen, seconds.
        errors: the errors of every trial that worked, see `cross_validation.Evaluation`.
        chosen: the configuration of every series that has one. A series is missing where all its trials
            failed; `trials` says why.
    """

    trials: pd.DataFrame
    errors: pd.DataFrame
    chosen: dict[str, Configuration]


class SearchOptions(TypedDict, total=False):
    """What to search, see `Search`."""

    configurations: Sequence[Configuration] | None
    scoring: Scoring
    window: int | None
    horizon: int | None
    step: int | None
    max_origins: int | None
    season_length: float
    max_harmonics: int


def quick_configurations() -> list[Configuration]:
    """Give the candidates of the quick search: four that differ in kind, the default first.

    Each answers one question about the default, K by AICc with holiday weeks: whether the holidays pay for their
    columns (K by AICc alone), whether choosing K does (K = 6, the choice of Forecasting: Principles and Practice,
    3rd ed., section 13.1, for this very series), and whether the published model was right after all.
    """
    return [
        DEFAULT,
        Configuration(holidays=False),
        Configuration(harmonics=6, holidays=False),
        PUBLISHED,
    ]


def exhaustive_configurations(*, max_harmonics: int = 12) -> list[Configuration]:
    """Give every candidate, the default first.

    Args:
        max_harmonics: as in `configuration.search_space`.
    """
    space = search_space(max_harmonics=max_harmonics)
    everything = [Configuration.from_text(dict(zip(space, point, strict=True))) for point in product(*space.values())]
    return [DEFAULT, *(each for each in everything if each != DEFAULT)]


class Search:
    """A search that can be stopped: the result covers the origins finished until then, the same for every candidate.

    Args:
        data: the weeks to tune on: unique_id, ds, y, counterfactual, replaced; see `cross_validation.Backtest`.
        configurations: what to try; None takes `exhaustive_configurations`.
        scoring: "fair" or "published", see `cross_validation`.
        window: weeks of every training window; None, here and below, takes the protocol's: 417.
        horizon: weeks forecast: 26, published 25.
        step: weeks between origins: 4, published 1.
        max_origins: keep only the newest origins; None keeps all.
        season_length: weeks in a year.
        max_harmonics: largest number of Fourier pairs tried where a configuration leaves it open.

    Raises:
        ConfigurationError: configurations share a name, or a number of weeks is below 1.
    """

    def __init__(  # noqa: PLR0913 - the door to the engine: each argument is a setting of the platform
        self,
        data: pd.DataFrame,
        *,
        configurations: Sequence[Configuration] | None = None,
        scoring: Scoring = "fair",
        window: int | None = None,
        horizon: int | None = None,
        step: int | None = None,
        max_origins: int | None = None,
        season_length: float = 365.25 / 7,
        max_harmonics: int = 12,
    ) -> None:
        protocol = SPLITS[scoring]
        self._splits = Splits(
            window=protocol.window if window is None else window,
            horizon=protocol.horizon if horizon is None else horizon,
            step=protocol.step if step is None else step,
            latest=max_origins,
        )
        self._candidates = (
            exhaustive_configurations(max_harmonics=max_harmonics) if configurations is None else list(configurations)
        )
        self._scoring: Scoring = scoring
        self._backtest = Backtest(
            data,
            self._candidates,
            scoring=scoring,
            splits=self._splits,
            season_length=season_length,
            max_harmonics=max_harmonics,
        )

    @property
    def splits(self) -> Splits:
        """How every series is cut."""
        return self._splits

    @property
    def origins(self) -> tuple[int, int]:
        """Origins finished, and origins in all."""
        return self._backtest.origins

    def run(self, *, workers: int = 1, progress: Progress | None = None) -> None:
        """Score every candidate; as `Backtest.run`."""
        self._backtest.run(workers=workers, progress=progress)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What is known so far; as `Backtest.state`."""
        return self._backtest.state()

    def resume(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what a search knew; as `Backtest.resume`."""
        self._backtest.resume(state)

    def result(self) -> SearchResult:
        """Rank what is finished and choose, by the rule that `search` states."""
        return ranked(self._backtest.evaluation(), self._candidates, scoring=self._scoring, splits=self._splits)


def ranked(
    evaluation: Evaluation, candidates: Sequence[Configuration], *, scoring: Scoring, splits: Splits
) -> SearchResult:
    """Rank trials and choose, by the rule that `search` states; what failed is ranked last.

    Args:
        evaluation: the trials; a series need not have one of every candidate.
        candidates: the configurations, with distinct names.
        scoring: how they were scored.
        splits: how the series were cut.
    """
    lags = overlap_lags(horizon=splits.horizon, step=splits.step)
    by_name = {configuration.name: configuration for configuration in candidates}
    boards = []
    for unique_id, trials in evaluation.trials.groupby("unique_id", sort=True):
        errors = evaluation.errors[evaluation.errors["unique_id"] == unique_id]
        tried = [by_name[str(name)] for name in trials["configuration"]]
        boards.append(leaderboard(trials, errors, tried, fair=scoring == "fair", lags=lags))
    board = pd.concat(boards, ignore_index=True)
    picked = board[board["chosen"]]
    names = zip(picked["unique_id"], picked["configuration"], strict=True)
    chosen = {str(unique_id): by_name[str(name)] for unique_id, name in names}
    return SearchResult(trials=board, errors=evaluation.errors, chosen=chosen)


def search(
    data: pd.DataFrame, *, workers: int = 1, progress: Progress | None = None, **options: Unpack[SearchOptions]
) -> SearchResult:
    """Score configurations by rolling-origin evaluation and choose one for every series.

    Under `fair` scoring the default stays unless another's loss, paired by origin and horizon, is lower by
    more than three standard errors. Of those that are, the one of lowest loss leads, and the one of fewest
    estimated parameters within one paired standard error of it is chosen (the one-standard-error rule of
    Breiman et al., 1984, on paired differences). Where the scored origins span less than two horizons that do
    not overlap, there is no standard error to speak of and the default stays. Where nothing observed can be
    scored, there is no evidence either: the default stays, and its trial says so. Where only the default
    failed, the others compete without it.

    Under `published` scoring the lowest loss is chosen, as the published study did.

    Args:
        data: as `Search`.
        workers: threads; the result does not depend on it, `seconds` apart.
        progress: as `Backtest.run`.
        options: the other arguments of `Search`.

    Raises:
        ConfigurationError: as `Search`.
    """
    running = Search(data, **options)
    running.run(workers=workers, progress=progress)
    return running.result()


def leaderboard(
    trials: pd.DataFrame, errors: pd.DataFrame, candidates: Sequence[Configuration], *, fair: bool, lags: int
) -> pd.DataFrame:
    """Rank the trials of one series and choose, by the rule that `search` states.

    Args:
        trials: one row per candidate, in their order, see `cross_validation.Evaluation`.
        errors: their errors.
        candidates: the configurations.
        fair: whether only observed weeks count.
        lags: how many later origins overlap one, see `scoring.overlap_lags`.

    Returns:
        The trials as `SearchResult` has them, best first.
    """
    scored = errors[errors["observed"]] if fair else errors
    losses = {str(name): origin_losses(rows, observed_only=fair) for name, rows in scored.groupby("configuration")}
    points = scored.groupby("configuration").size()
    rows = []
    for configuration, trial in zip(candidates, trials.to_dict("records"), strict=True):
        name = configuration.name
        own, default = losses.get(name), losses.get(DEFAULT.name)
        delta, delta_se = nan, nan
        if own is not None and default is not None:
            delta, delta_se = paired_difference(own, default, lags=lags)
        rows.append(
            {
                "unique_id": trial["unique_id"],
                "configuration": name,
                **configuration.to_dict(),
                "harmonics": str(configuration.harmonics),
                "status": trial["status"],
                "reason": trial["reason"],
                "n_origins": 0 if own is None else len(own),
                "n_points": int(points.get(name, 0)),
                "loss": nan if own is None else float(own.mean()),
                "se": nan if own is None else hac_standard_error(own, lags=lags),
                "delta": delta,
                "delta_se": delta_se,
                "n_parameters": trial["n_parameters"],
            }
        )
    board = pd.DataFrame(rows)
    board["rank"] = board["loss"].rank(method="first").astype("Int64")
    board["chosen"] = board["configuration"] == _choice(board, losses, fair=fair, lags=lags)
    board["seconds"] = trials["seconds"].to_numpy()
    return board.sort_values("rank", na_position="last", kind="stable", ignore_index=True)


def _choice(board: pd.DataFrame, losses: dict[str, pd.Series], *, fair: bool, lags: int) -> str | None:
    """Name of the configuration to use, by the rule that `search` states; None where every trial failed."""
    by_loss = board.dropna(subset="loss").sort_values("loss", kind="stable")
    if by_loss.empty:
        unscored = board["status"] == NothingObservedError.__name__
        return DEFAULT.name if (board.loc[unscored, "configuration"] == DEFAULT.name).any() else None
    if not fair:
        return str(by_loss["configuration"].iloc[0])
    contenders = by_loss
    if DEFAULT.name in losses:
        if len(losses[DEFAULT.name]) < 2 * (lags + 1):
            return DEFAULT.name
        contenders = by_loss[by_loss["delta"] < -LEAD * by_loss["delta_se"]]
        if contenders.empty:
            return DEFAULT.name
    leader = str(contenders["configuration"].iloc[0])

    def within_reach(name: str) -> bool:
        behind, standard_error = paired_difference(losses[name], losses[leader], lags=lags)
        return behind <= standard_error

    near = contenders[[name == leader or within_reach(name) for name in contenders["configuration"]]]
    return str(near.sort_values("n_parameters", kind="stable")["configuration"].iloc[0])
