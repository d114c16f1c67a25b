"""What the refreshes of these tests are compared with."""

from pathlib import Path

import pytest

from tests.refreshes import SERIES, numbers
from tests.world import ROOT, World


@pytest.fixture(scope="session")
def undisturbed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The numbers of a refresh that nothing happened to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("FORECAST_SEARCH", "quick")
        world = World(tmp_path_factory.mktemp("undisturbed") / "lake", shared_data / "weekly", series=(SERIES,))
        outcome = world.run("weekly_refresh")
        assert outcome.succeeded, outcome.reasons
    return numbers(world.lake)
