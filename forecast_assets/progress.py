"""A run in a terminal: one line as an asset begins, is made or is checked, and whatever assets log.

Dagster's own console log speaks of every event in the same voice; this one is for people who wait.
"""

import logging
from collections.abc import Collection

import dagster as dg
from rich.console import Console
from rich.text import Text

# What Pipes says of itself, and what follows from a check that failed and said so.
_ASIDES = ("[pipes]", "Dependencies for step ")
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


class ProgressHandler(logging.Handler):
    """Print what a person wants to know of a run."""

    def __init__(self, console: Console, *, assets: Collection[str]) -> None:
        super().__init__()
        self._console, self._assets = console, assets

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, or nothing where it is of no interest."""
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if event is None and record.levelno >= logging.INFO:
            text = str(meta.get("orig_message") or record.getMessage())
            if not text.startswith(_ASIDES):
                self._say(f"  {text}", _STYLES.get(record.levelno, "dim"))
        elif event is not None:
            self._event(event)

    def _event(self, event: dg.DagsterEvent) -> None:
        if event.event_type == dg.DagsterEventType.STEP_START and event.step_key in self._assets:
            self._say(f"• {event.step_key}", "bold")
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            mark, style = ("✓", "green") if evaluation.passed else ("✗", "red")
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN:
                mark, style = "!", "yellow"
            self._say(f"  {mark} {evaluation.check_name}: {evaluation.description or ''}", style)

    def _say(self, text: str, style: str) -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)


@dg.logger({"quiet": dg.Field(bool, default_value=False, description="Warnings and errors only.")})
def progress_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger of `forecast refresh`; quiet, that of `forecast backfill`, where a week is a line."""
    job = context.job_def
    assets = {key.to_python_identifier() for key in job.asset_layer.executable_asset_keys} if job else set()
    level = logging.WARNING if context.logger_config["quiet"] else logging.DEBUG
    logger = logging.Logger("forecast.progress", level=level)  # noqa: LOG001 - not shared with other loggers
    logger.addHandler(ProgressHandler(Console(stderr=True), assets=assets))
    return logger
