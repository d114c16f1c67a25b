"""What a failure means for those who read forecasts: which forecast is the newest, and which model serves."""

import queue
import threading
from collections.abc import Callable

from forecast_assets.serving import model_endpoint
from forecast_assets.standing import Standing
from resources.aws import AwsError
from resources.lake import LakeError
from resources.sagemaker.endpoint.errors import EndpointError

_ANSWERING = frozenset({"InService", "Updating", "RollingBack", "SystemUpdating"})
_PATIENCE_S = 15  # boto3 goes on asking for minutes where AWS is away, and a sensor's tick has one


def consequence(standing: Standing) -> str:
    """It in a sentence or two; what cannot be asked just now is said to be so."""
    model = _in_time(lambda: _model(standing))
    return f"{_forecast(standing)} {model or 'Which model serves could not be asked in time.'}"


def _in_time(ask: Callable[[], str]) -> str | None:
    """An answer, if it comes in time; the question ends by itself later."""
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(ask()), daemon=True).start()
    try:
        return answer.get(timeout=_PATIENCE_S)
    except queue.Empty:
        return None


def _forecast(standing: Standing) -> str:
    try:
        weeks = standing.lake.weeks("forecast")
    except (LakeError, OSError) as error:
        return f"Which forecast is the newest could not be asked ({type(error).__name__})."
    return f"The newest forecast is that of {weeks[-1]}." if weeks else "There is no forecast yet."


def _model(standing: Standing) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        endpoint = model_endpoint(standing.settings, standing.sagemaker)
        found = endpoint.status()
        if found is None:
            return "There is no endpoint, so no model serves."
        package = endpoint.package(found.config)
        model = standing.registry.model(package) if package else None
    except (LakeError, AwsError, EndpointError, BotoCoreError, ClientError, OSError) as error:
        return f"Which model serves could not be asked ({type(error).__name__})."
    if found.status not in _ANSWERING:
        return f"The endpoint is {found.status} and does not answer."
    return f"The model of {model.week} keeps serving." if model else "A model that the registry has not keeps serving."
