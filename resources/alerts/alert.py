"""What an alert says."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Alert:
    """Something a person should know.

    Attributes:
        key: What is wrong, the same for as long as it is: `late:2023-11-10`, `check:observations.few_revisions`.
        title: It in a few words.
        what: What happened.
        why: For what reason, as far as is known.
        consequence: What that means for those who read forecasts, such as "the model of 2023-11-03 keeps serving".
        week: The week it is about, if it is about one.
        link: Where to look, a path of Dagster's UI such as `/runs/<id>`.
    """

    key: str
    title: str
    what: str
    why: str
    consequence: str
    week: date | None = None
    link: str = "/"
