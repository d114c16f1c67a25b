"""Checks: the gates that block, and the warnings that inform.

Each reads the lake, not what an asset held in memory, so that it judges what consumers would read. A check that fails
says what follows from it and what to do.
"""

from forecast_assets.checks import accuracy, api, forecasts, ingestion, model, quality, serving

default_checks = [
    ingestion.real_figures,
    ingestion.observations_valid,
    ingestion.few_revisions,
    quality.break_plausible,
    quality.only_the_break_changed,
    model.gate,
    model.no_series_held_back,
    model.every_series_has_a_candidate,
    model.residuals_independent,
    model.residuals_normal,
    forecasts.forecast_complete,
    accuracy.intervals_cover,
    accuracy.unbiased,
    serving.answers_as_artifact,
    serving.fresh,
    api.answers_as_endpoint,
]
