"""The gate as a job: the verdict on what a fit left, and the model that may be published.

For a SageMaker Pipeline, where no asset can ask for the verdict. The mathematics is that of `forecasting.gate`.
"""

import json
from collections.abc import Mapping
from typing import Any

from containers.contract import Paths, write_text
from containers.parameters import Parameters
from containers.reporting import open_reporter
from containers.tables import TableError, archived_table, read_archive
from forecasting import artifact, forecaster
from forecasting.gate import Verdict, verdicts
from forecasting.registration import facts, metrics

MOST_REASON = 512
"""Characters of the reason that a Pipeline is given."""


def process(paths: Paths, environment: Mapping[str, str]) -> None:
    """Runs the job: the verdict in words and figures, the artifact that the registry is to hold, and its scores.

    Where no series passes the artifact is the candidate's, and the verdict says so: the job has done its work.
    """
    with open_reporter(environment) as reporter:
        parameters = Parameters(environment, "environment variable")
        week, tolerance = parameters.date("FORECAST_WEEK"), parameters.positive("FORECAST_GATE_TOLERANCE")
        folder = paths.processing_input("fit")
        files = {**read_archive(folder / "model.tar.gz"), **read_archive(folder / "output.tar.gz")}
        scores = archived_table(files, "scores.parquet")
        verdict = Verdict(week, verdicts(scores, tolerance=tolerance))
        reporter.log(verdict.reason)
        candidate, stand_ins = _models(files)
        model = artifact.gated(candidate, stand_ins, verdict.passing) if verdict.passed else candidate
        output = paths.processing_output("model")
        output.mkdir(parents=True, exist_ok=True)
        (output / "model.tar.gz").write_bytes(artifact.pack(model))
        write_text(output / "metrics.json", metrics(verdict, scores).decode())
        said = {
            "series_passed": len(verdict.passing),
            "series_held_back": len(verdict.held_back),
            "digest": model["digest"],
            "reason": verdict.reason[:MOST_REASON],
            "facts": facts(verdict, model, scores),
        }
        write_text(paths.processing_output("verdict") / "verdict.json", json.dumps(said, indent=1))


def _models(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The candidate's artifact, and the entries that stand in for what is held back."""
    try:
        return forecaster.load(files[artifact.FILE_NAME]), json.loads(files["fallback.json"])
    except KeyError as error:
        raise TableError(f"the archives of the fit lack {error.args[0]}") from None
