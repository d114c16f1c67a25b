"""Doubts about a structural break: what a look at its span says against it.

A break is found by its outliers, from the first to the last, and every week between is replaced before anything is
learned. Too wide a span invents demand that was observed; too narrow a one leaves the break in. None of the rules below
proves a span wrong: each says that a person should look.
"""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Final

import pandas as pd

from forecasting.breaks import BreakRule

LEAST_SHARE: Final = 0.15
"""Of the seven series of EIA's weekly report, the pandemic left a fifth of its weeks or more outlying in gasoline, jet
fuel and the total. Spans of a tenth are made by single weeks a year later: distillate, propane, other oils."""

MOST_OF_SPAN: Final = 1 / 3
"""Share of the training span beyond which a model learns too much of its level and season from a scenario."""


def doubts(breaks: pd.DataFrame, rules: Iterable[BreakRule], *, last: date, training_weeks: int) -> list[str]:
    """What speaks against each break, in words.

    Args:
        breaks: What `find_breaks` gave.
        rules: What it was given.
        last: The last day that was known to it, a Friday.
        training_weeks: Length of the span that models learn from.

    Returns:
        A text for every break that is in doubt, beginning with the series.
    """
    by_name = {rule.name: rule for rule in rules}
    found = {
        _named(row): [*_cut(row, by_name[row["name"]], last), *_thin(row), *_long(row, training_weeks)]
        for row in breaks.to_dict("records")
    }
    return [f"{name}: {', '.join(reasons)}" for name, reasons in found.items() if reasons]


def moved(
    now: pd.DataFrame, before: pd.DataFrame, rules: Iterable[BreakRule], *, last_before: date, series: Iterable[str]
) -> list[str]:
    """Breaks that are not where an earlier week found them, though they were settled by then.

    Args:
        now: The breaks of a week.
        before: Those of the earlier week.
        rules: What both were given.
        last_before: The last day that was known to the earlier week.
        series: The series that both weeks looked at.
    """
    looked_at = set(series)
    texts = []
    for rule in rules:
        if last_before < rule.settled:
            continue
        spans = [
            {row["unique_id"]: row for row in table[table["name"] == rule.name].to_dict("records")}
            for table in (before, now)
        ]
        for name in sorted(looked_at & (set(spans[0]) | set(spans[1]))):
            was, is_now = (_span(found.get(name)) for found in spans)
            if was != is_now:
                texts.append(f"{name} {rule.name}: settled since {rule.settled}, yet it was {was} and is {is_now}")
    return texts


def _cut(row: Mapping[Any, Any], rule: BreakRule, last: date) -> list[str]:
    """Whether the span reaches the first or the last Friday of the days that were searched."""
    first = rule.searched_from + timedelta(days=(4 - rule.searched_from.weekday()) % 7)
    until = min(rule.searched_to, last)
    until -= timedelta(days=(until.weekday() - 4) % 7)
    reasons = []
    if row["start"].date() <= first:
        reasons.append("it begins with the first week searched, so it may have begun before")
    if row["end"].date() >= until:
        which = "known" if last <= rule.searched_to else "searched"
        reasons.append(f"it ends with the last week {which}, so it may go on")
    return reasons


def _thin(row: Mapping[Any, Any]) -> list[str]:
    if row["share"] >= LEAST_SHARE:
        return []
    return [f"only {row['outliers']} of its {row['weeks']} weeks are outliers, so they may have nothing in common"]


def _long(row: Mapping[Any, Any], training_weeks: int) -> list[str]:
    if row["weeks"] <= MOST_OF_SPAN * training_weeks:
        return []
    return [f"its {row['weeks']} weeks are more than a third of the {training_weeks} that models learn from"]


def _named(row: Mapping[Any, Any]) -> str:
    return f"{row['unique_id']} {row['name']} ({_span(row)})"


def _span(row: Mapping[Any, Any] | None) -> str:
    return "absent" if row is None else f"{row['start'].date()} to {row['end'].date()}"
