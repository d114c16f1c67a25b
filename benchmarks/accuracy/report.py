"""What a run says: tables on the terminal, `results.json`, and `docs/accuracy.md` with its figure."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy import scores
from benchmarks.accuracy.run import Plan
from benchmarks.accuracy.scores import LEVELS
from benchmarks.accuracy.variants import CHAMPION, MODELS, NAIVE, REFERENCE, Variant
from benchmarks.measure import machine, versions
from forecasting.markdown import markdown_table
from forecasting.plots.style import STYLE, legend, mosaic, png
from forecasting.scoring import overlap_lags

BETTER_BY = 0.05
WITHIN = 0.05


@dataclass(frozen=True)
class Target:
    """What the champion should reach.

    Attributes:
        name: what is measured.
        value: what it is.
        wanted: in words.
        met: whether it is.
    """

    name: str
    value: float
    wanted: str
    met: bool


@dataclass(frozen=True)
class Findings:
    """The scores of a run.

    Attributes:
        series: of `scores.by_series`.
        summary: of `scores.summary`.
        paired: of `scores.paired`, against the reference.
        coverage: index variant; `coverage-<level>` over all periods, series and origins.
        configurations: how often each variant took which configuration: period, variant, configuration, count.
        targets: met or not; empty without the champion or the reference.
    """

    series: pd.DataFrame
    summary: pd.DataFrame
    paired: pd.DataFrame
    coverage: pd.DataFrame
    configurations: pd.DataFrame
    targets: tuple[Target, ...]


def find(forecasts: pd.DataFrame, plan: Plan) -> Findings:
    """The scores of the forecasts that `run.run` gave."""
    series = scores.by_series(forecasts)
    summary = scores.summary(series, naive=NAIVE.name)
    lags = overlap_lags(horizon=plan.rules.horizon, step=plan.step)
    by_variant = series.groupby("variant", sort=False)
    coverage = pd.DataFrame({name: scores.pooled_coverage(own) for name, own in by_variant}).T.rename_axis("variant")
    taken = forecasts.drop_duplicates(["variant", "unique_id", "cutoff"])
    configurations = taken.groupby(["period", "variant", "configuration"], sort=False).size().rename("count")
    return Findings(
        series=series,
        summary=summary,
        paired=scores.paired(forecasts, reference=REFERENCE.name, lags=lags),
        coverage=coverage,
        configurations=configurations.reset_index(),
        targets=tuple(_targets(summary, coverage, plan)),
    )


def _targets(summary: pd.DataFrame, coverage: pd.DataFrame, plan: Plan) -> list[Target]:
    if CHAMPION.name not in coverage.index:
        return []
    last = plan.periods[-1].name
    mae = summary["relative-mae"]
    ratio = float(mae.loc[(last, CHAMPION.name)]) / float(mae.loc[(last, REFERENCE.name)])
    found = [
        Target(
            f"MAE relative to the reference, {last}, geometric mean over series",
            ratio,
            f"<= {1 - BETTER_BY:g}",
            ratio <= 1 - BETTER_BY,
        )
    ]
    for level in LEVELS:
        value = float(coverage[f"coverage-{level:g}"][CHAMPION.name])
        near = abs(value - level / 100) <= WITHIN
        found.append(
            Target(f"coverage at {level:g} %, all series and origins", value, f"{level / 100:g} +- {WITHIN:g}", near)
        )
    return found


def show(findings: Findings, plan: Plan, console: Console) -> None:
    """The tables on the terminal."""
    for title, table in _tables(findings, plan.variants):
        shown = Table(*map(str, table.columns), title=title, title_justify="left", header_style="bold", box=None)
        for column in shown.columns[1:]:
            column.justify = "right"
        for row in table.itertuples(index=False):
            shown.add_row(*map(str, row))
        console.print(shown)
    for target in findings.targets:
        met = "[green]met[/]" if target.met else "[red]not met[/]"
        console.print(f"{target.name}: {target.value:.3f}, wanted {target.wanted}: {met}")


def _tables(findings: Findings, variants: Sequence[Variant]) -> list[tuple[str, pd.DataFrame]]:
    """Titles and tables, every figure in words."""
    order = [variant.name for variant in variants]
    found = []
    for period, summary in findings.summary.groupby(level="period"):
        own = findings.paired[findings.paired["period"] == period]
        counts = findings.series["origins"].xs((period, order[0]), level=("period", "variant"))
        title = f"Origins {period}: {len(counts)} series, {counts.max():.0f} origins"
        found.append((title, _summary_table(summary.droplevel("period").loc[order], own)))
    pooled = findings.coverage.loc[order].map("{:.3f}".format).reset_index()
    found.append(("Coverage over all periods, series and origins", _headed(pooled)))
    return found


def _summary_table(summary: pd.DataFrame, paired: pd.DataFrame) -> pd.DataFrame:
    together = paired[paired["unique_id"] == "all"].set_index("variant")
    table = pd.DataFrame({"model": summary.index, "MASE": summary["mase"].map("{:.3f}".format).to_numpy()})
    for name in scores.RATIOS:
        table[f"{name} / naive"] = summary[f"relative-{name}"].map("{:.3f}".format).to_numpy()
    for level in LEVELS:
        coverage, width = summary[f"coverage-{level:g}"], summary[f"width-{level:g}"]
        table[f"in {level:g} %"] = [f"{c:.3f} ({w:.3f})" for c, w in zip(coverage, width, strict=True)]
    reference = summary["relative-mae"][REFERENCE.name] if REFERENCE.name in summary.index else math.nan
    table["MAE / reference"] = (summary["relative-mae"] / reference).map("{:.3f}".format).to_numpy()
    table["t"] = [f"{together['t'][name]:.1f}" if name in together.index else "" for name in summary.index]
    return table


def _headed(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns={"variant": "model"} | {f"coverage-{level:g}": f"{level:g} %" for level in LEVELS})


def save(findings: Findings, plan: Plan, path: Path) -> None:
    """The figures as JSON: `machine`, `versions`, `settings`, `targets`, `summary`, `series`, `paired`, ..."""
    content = {
        "machine": machine(),
        "versions": versions(),
        "settings": {"step": plan.step, "candidates": len(plan.candidates), "horizon": plan.rules.horizon},
        "targets": [asdict(target) for target in findings.targets],
        **{
            name: _records(table.reset_index())
            for name, table in (
                ("summary", findings.summary),
                ("coverage", findings.coverage),
                ("series", findings.series),
                ("paired", findings.paired.set_index("period")),
                ("configurations", findings.configurations.set_index("period")),
            )
        },
    }
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with four significant digits; what is not a number is null."""
    return [
        {
            str(name): (float(f"{value:.4g}") if math.isfinite(value) else None) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def write(findings: Findings, plan: Plan, docs: Path) -> None:
    """`accuracy.md` and its figure, into the folder of the documents."""
    (docs / "images").mkdir(parents=True, exist_ok=True)
    (docs / "images" / "accuracy.png").write_bytes(figure(findings))
    parts = [_introduction(plan), "![MAE by series](images/accuracy.png)", "## Targets", _targets_table(findings)]
    parts.append(_READING)
    for title, table in _tables(findings, plan.variants):
        parts += [f"## {title}", markdown_table(table)]
    parts += ["## By series", "MAE relative to the reference.", markdown_table(_by_series(findings, plan))]
    parts += ["## What was compared", "\n".join(f"- **{each.name}**: {each.what}" for each in plan.variants), _LIMITS]
    (docs / "accuracy.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _introduction(plan: Plan) -> str:
    return (
        "# Accuracy\n\n"
        f"Written by `python -m benchmarks.accuracy`: forecasts of {plan.rules.horizon} weeks from every "
        f"{plan.step}th week of three periods, each from the figures as they stood in that week, beside what came.\n\n"
        "An origin is a week of the platform: outliers, structural break and counterfactual come from the weeks before "
        f"its {plan.rules.horizon} held-out ones, the search tries {len(plan.candidates)} configurations on them, and "
        f"the choice is fitted to all {plan.rules.training_weeks} weeks. The newest 26 released weeks were never read."
    )


_READING = """\
In the tables, figures `/ naive` are geometric means over series of the ratio to the seasonal naive forecast: below
1 is better. `in 80 %` is the share of weeks inside the interval, pooled over series and origins, with its width as
a share of the level in brackets. `MAE / reference` compares with the reference's published configuration, trained
and forecast here without its defects; t is the overlap-robust t-value of the paired difference (Bartlett weights
over the origins that share target weeks, series averaged first)."""

_LIMITS = """\
## Limits
- **From 2022-09 on there are about two independent horizons.** Neighbouring origins share most of their target
  weeks, and standard errors from so few blocks are themselves uncertain: differences there are one stretch of luck,
  good or bad.
- **The break is unsettled at every origin from 2022-09 on.** The platform looks for it in the weeks before the
  held-out ones, so an origin of 2022-09 knows a break that ends in 2021, and trains on some weeks of it as if they
  were ordinary. The models share that handicap. Where every week that tuning could score was replaced, the default
  stays.
- **Origins of 2018-2019 end in August 2019**, so that no target week lies in the pandemic. From 2022-09 on, weeks
  inside a series' break as it is known today are not scored.
- **A series joins once it has the whole training span**: WPRUP_NUS_2 and WWOUP_NUS_2 begin in 2004, and join in
  February 2015.
- **Variants were compared on these very periods.** What is chosen among many on the same weeks looks better than it
  is."""


def _targets_table(findings: Findings) -> str:
    rows = [
        {"what": each.name, "is": f"{each.value:.3f}", "wanted": each.wanted, "": "met" if each.met else "not met"}
        for each in findings.targets
    ]
    return markdown_table(pd.DataFrame(rows))


def _by_series(findings: Findings, plan: Plan) -> pd.DataFrame:
    names = [variant.name for variant in plan.variants if variant in MODELS and variant != REFERENCE]
    mae = findings.series["mae"].unstack("variant")
    ratios = mae[names].div(mae[REFERENCE.name], axis="index").map("{:.3f}".format)
    return ratios.reset_index().rename(columns={"unique_id": "series"})


def figure(findings: Findings) -> bytes:
    """MAE of the models relative to the seasonal naive forecast: a panel a period, a row a series."""
    periods = list(dict.fromkeys(findings.series.index.get_level_values("period")))
    letters = "ABCDEFG"[: len(periods)]
    drawn, panels = mosaic("MAE relative to the seasonal naive forecast", letters)
    colours = {"reference": STYLE["replaced"], "fpp3": STYLE["muted"], "champion": STYLE["forecast"]}
    for letter, period in zip(letters, periods, strict=True):
        axes = panels[letter]
        mae = findings.series["mae"].xs(period, level="period").unstack("variant")
        for name, colour in colours.items():
            if name in mae:
                axes.scatter(mae[name] / mae[NAIVE.name], mae.index, color=colour, label=name, s=26, zorder=3)
        axes.axvline(1, color=STYLE["muted"], linewidth=0.8)
        axes.set_title(str(period), fontsize=STYLE["text_size"], loc="left")
        if letter != letters[0]:
            axes.set_yticklabels([])
    legend(drawn, panels[letters[0]])
    return png(drawn)
