"""The models that a lake holds, read with everything checked: the candidates of a week, and what the registry names.

A model is data. What was damaged, edited or exchanged on disk is refused by the file's name, and nothing is made from
it.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from forecasting import artifact, forecaster
from forecasting.errors import ArtifactError
from forecasting.schema import check_entry, digest
from resources.lake import Lake
from resources.sagemaker.platform import SageMaker
from resources.sagemaker.registry import RegisteredModel

_CANDIDATE, _STAND_INS = MODEL_FILES = "forecaster.json", "fallback.json"


class DamagedModelError(forecaster.ForecasterError):
    """A model file of the lake is missing, or not the one that was written.

    Attributes:
        where: The file or object.
    """

    def __init__(self, where: str, reason: str, *, week: date) -> None:
        self.where = where
        super().__init__(
            f"{where}: {reason}. Run `forecast refresh --week {week} --force`, which makes it again to the same numbers"
        )


def keep_candidate_models(lake: Lake, week: date, files: Mapping[str, bytes]) -> None:
    """Put the candidate of a week and its stand-ins into the lake, each with its digest."""
    stand_ins: dict[str, Any] = {"series": json.loads(files[_STAND_INS])}
    sealed = artifact.dumps(stand_ins | {"digest": digest(stand_ins)}).encode()
    for name, content in ((_CANDIDATE, files[_CANDIDATE]), (_STAND_INS, sealed)):
        lake.write_bytes(f"candidates/week={week}/{name}", content)


def candidate_models(lake: Lake, week: date) -> tuple[dict[str, Any], dict[str, Any]]:
    """The artifact of a week's candidate, and the entries that stand in for series that are held back.

    Raises:
        DamagedModelError: A file is missing, damaged or edited.
    """
    folder = f"candidates/week={week}"
    content = _content(lake, f"{folder}/{_CANDIDATE}", week)
    try:
        candidate = forecaster.load(content)
    except forecaster.ForecasterError as error:
        raise DamagedModelError(lake.where(f"{folder}/{_CANDIDATE}"), str(error), week=week) from error
    return candidate, _stand_ins(lake, f"{folder}/{_STAND_INS}", week)


def registered_artifact(lake: Lake, sagemaker: SageMaker, model: RegisteredModel) -> dict[str, Any]:
    """The artifact of a registered model, which must be the very one that was registered.

    Raises:
        DamagedModelError: It is missing, damaged, edited, or another one.
    """
    key = sagemaker.key(model.model_data)
    content, where = _content(lake, key, model.week), lake.where(key)
    try:
        found = artifact.unpack(content)
    except ArtifactError as error:
        raise DamagedModelError(where, error.reason, week=model.week) from error
    if found["digest"] != model.digest:
        reason = f"it is the artifact {found['digest']}, and {model.digest} was registered as version {model.version}"
        raise DamagedModelError(where, reason, week=model.week)
    return found


def _stand_ins(lake: Lake, key: str, week: date) -> dict[str, Any]:
    text, where = _content(lake, key, week), lake.where(key)
    try:
        content = json.loads(text)
        entries: dict[str, Any] = content["series"]
        given, expected = content["digest"], digest(content)
        for entry in entries.values():
            check_entry(entry)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedModelError(where, f"it is no list of models ({error})", week=week) from error
    if given != expected:
        raise DamagedModelError(where, "its digest is not that of its contents, it was edited or damaged", week=week)
    return entries


def _content(lake: Lake, key: str, week: date) -> bytes:
    try:
        return lake.read_bytes(key)
    except OSError as error:
        raise DamagedModelError(lake.where(key), f"it cannot be read: {error.strerror}", week=week) from error
