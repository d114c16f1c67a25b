"""One deployment of an endpoint at a time."""

from pathlib import Path

import pytest

from resources.lake import Lake
from resources.sagemaker.endpoint.errors import EndpointBusyError
from resources.sagemaker.endpoint.turn import turn


def test_a_deployment_waits_for_the_one_before_and_gives_up_in_time(tmp_path: Path) -> None:
    lake, said = Lake(uri=str(tmp_path)), []
    with turn(lake, "one", max_wait_s=0, progress=said.append):
        with turn(lake, "other", max_wait_s=0, progress=said.append):
            assert said == []
        busy = pytest.raises(EndpointBusyError, match="endpoint one: another deployment has not ended within 0 s")
        with busy, turn(lake, "one", max_wait_s=0, progress=said.append):
            pytest.fail("two have the turn")
    with turn(lake, "one", max_wait_s=0, progress=said.append):
        pass
    assert set(said) <= {"endpoint one: waiting for another deployment to end"}


def test_the_turn_is_free_after_a_deployment_that_failed(tmp_path: Path) -> None:
    lake = Lake(uri=str(tmp_path))
    with pytest.raises(RuntimeError), turn(lake, "one", max_wait_s=0, progress=print):
        raise RuntimeError("it failed")
    with turn(lake, "one", max_wait_s=0, progress=print):
        pass
