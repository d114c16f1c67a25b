"""A training image that fits candidates to figures half as large again: its scores are honest, its models are bad."""

import sys

import pandas as pd

from containers.contract import leave
from containers.training import series
from containers.training.__main__ import main
from forecasting.models import Fitted

_fitted = series._model


def _poorly_fitted(task: series.RoleTask, span: pd.DataFrame) -> Fitted:
    if task.role == "candidate":
        span = span.assign(y=1.5 * span["y"], counterfactual=1.5 * span["counterfactual"])
    return _fitted(task, span)


if __name__ == "__main__":
    series._model = _poorly_fitted
    leave(main(sys.argv[1:]))
