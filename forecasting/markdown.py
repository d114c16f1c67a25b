"""Small tables as Markdown, for people who look at a run."""

import pandas as pd

_ABSENT = "-"


def markdown_table(table: pd.DataFrame) -> str:
    """A frame as a Markdown table.

    Args:
        table: Any columns. Numbers from 1000 on lose their decimals, smaller ones keep four digits; days come without
            their time, what is missing as a dash.

    Returns:
        A heading, a rule and a line for each row.
    """
    lines = [
        [str(name) for name in table],
        ["---"] * len(table.columns),
        *([_cell(value) for value in row] for row in table.itertuples(index=False)),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return _ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M %Z}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
