"""What a model is registered with besides itself: what is worth reading beside it, and its scores."""

import json
from typing import Any

import pandas as pd

from forecasting.gate import Verdict

_SCORES = ("mae", "mase", "rmse", "bias")
_MOST_SCORED = 40  # AWS takes 50 facts of a version; the others are in its metrics


def facts(verdict: Verdict, artifact: dict[str, Any], scores: pd.DataFrame) -> dict[str, str]:
    """What is worth reading beside a version; the registry takes no empty text."""
    provenance = artifact["provenance"]
    errors = _candidates(scores).set_index("unique_id")["mase"].head(_MOST_SCORED)
    return {
        "passed": " ".join(verdict.passing) or "none",
        "held_back": " ".join(verdict.held_back) or "none",
        "data_checksum": str(provenance.get("data_checksum", "unknown")),
        "code_version": str(provenance.get("code_version", "unknown")),
        **{f"mase.{name}": f"{value:.6g}" for name, value in errors.items()},
    }


def metrics(verdict: Verdict, scores: pd.DataFrame) -> bytes:
    """The scores over the held-out weeks as JSON, in the form in which SageMaker shows the quality of a regression.

    Args:
        verdict: Of the gate.
        scores: `model_scores` of the week.

    Returns:
        `{"regression_metrics": {mae, mase, rmse, bias: {value, standard_deviation}}, "series": {id: {role: {...}}},
        "gate": [...]}`: the mean and the deviation over series, then everything by series. Thousand barrels a day.
    """
    candidates = _candidates(scores)
    content = {
        "regression_metrics": {
            name: {
                "value": float(candidates[name].mean()),
                "standard_deviation": float(candidates[name].std(ddof=0)),
            }
            for name in _SCORES
        },
        "series": {
            str(name): {
                row["role"]: row for row in json.loads(rows.drop(columns="unique_id").to_json(orient="records"))
            }
            for name, rows in scores.groupby("unique_id")
        },
        "gate": json.loads(verdict.table.to_json(orient="records")),
    }
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _candidates(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["role"] == "candidate"].sort_values("unique_id")
