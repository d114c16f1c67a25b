"""A code version that is counted up makes its own asset stale; what is made from it, once its content has changed.

The bodies are replaced: what is asked for here is Dagster's answer for the lineage as it is.
"""

from collections.abc import Iterator, Mapping

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from forecast_assets.definitions import default_assets
from forecast_assets.partitions import WEEKS
from tests.world import WEEK

WEEKLY = {asset.key.to_user_string(): asset for asset in default_assets if asset.partitions_def == WEEKS}


def lineage(*, versions: Mapping[str, str], contents: Mapping[str, str]) -> list[dg.AssetsDefinition]:
    """The weekly assets with bodies that give a content.

    Args:
        versions: Code versions that are not those of the lineage, by asset.
        contents: Data versions, by asset.
    """
    return [_emptied(name, versions.get(name), contents.get(name, "as before")) for name in WEEKLY]


def _emptied(name: str, version: str | None, content: str) -> dg.AssetsDefinition:
    spec = next(iter(WEEKLY[name].specs))

    @dg.asset(
        key=spec.key,
        deps=spec.deps,
        partitions_def=WEEKS,
        code_version=version or spec.code_version,
    )
    def emptied() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion(content))

    return emptied


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """A history in which the week was made once."""
    with dg.DagsterInstance.ephemeral() as instance:
        make(instance, lineage(versions={}, contents={}))
        yield instance


def make(instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition], *names: str) -> None:
    selection = dg.AssetSelection.assets(*names) if names else None
    assert dg.materialize(assets, partition_key=str(WEEK), instance=instance, selection=selection).success


def stale(instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition]) -> set[str]:
    """What Dagster shows as stale for the week."""
    graph = dg.Definitions(assets=assets).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found = {name: resolver.get_status(dg.AssetKey(name), str(WEEK)) for name in WEEKLY}
    assert StaleStatus.MISSING not in found.values()
    return {name for name, status in found.items() if status == StaleStatus.STALE}


def test_nothing_is_stale_while_nothing_changes(instance: dg.DagsterInstance) -> None:
    assert stale(instance, lineage(versions={}, contents={})) == set()


@pytest.mark.parametrize("name", WEEKLY)
def test_a_code_version_makes_its_own_asset_stale(instance: dg.DagsterInstance, name: str) -> None:
    assert stale(instance, lineage(versions={name: "another"}, contents={})) == {name}


def test_what_is_made_from_it_follows_its_content_not_its_code(instance: dg.DagsterInstance) -> None:
    same = lineage(versions={"counterfactual": "another"}, contents={})
    make(instance, same, "counterfactual")
    assert stale(instance, same) == set()
    other = lineage(versions={"counterfactual": "another"}, contents={"counterfactual": "another"})
    make(instance, other, "counterfactual")
    assert stale(instance, other) == {"tuning_trials", "candidate_model"}
    make(instance, other, "tuning_trials", "candidate_model")
    assert stale(instance, other) == set(), "the search gave the same"
