from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion

from forecast_assets.definitions import build_defs
from forecast_assets.partitions import WEEKS
from forecast_assets.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def defs(monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.chdir(ROOT)
    return build_defs(settings=load_settings(lake_uri="unused"))


def graph(defs: dg.Definitions) -> Iterator[dict[str, Any]]:
    assets = defs.resolve_asset_graph()
    for key in sorted(assets.get_all_asset_keys()):
        node = assets.get(key)
        yield {
            "asset": key.to_user_string(),
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": list(node.owners),
            "partitioned": node.partitions_def == WEEKS,
            "code_version": node.code_version,
            "columns": [column.name for column in _columns(node.metadata)],
            "checks": sorted(
                f"{check.name}{' (blocking)' if assets.get_check_spec(check).blocking else ''}"
                for check in node.check_keys
            ),
        }


def _columns(metadata: Any) -> list[dg.TableColumn]:
    schema = metadata.get("dagster/column_schema")
    return [] if schema is None else getattr(schema, "value", schema).columns


def test_everything_loads(defs: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_asset_graph_is_as_recorded(defs: dg.Definitions, snapshot: SnapshotAssertion) -> None:
    assert list(graph(defs)) == snapshot


def test_every_asset_is_described_owned_and_versioned(defs: dg.Definitions) -> None:
    for asset in defs.resolve_asset_graph().asset_nodes:
        assert asset.description, asset.key
        assert asset.owners == ["team:forecasting"], asset.key
        assert asset.code_version, asset.key
        assert asset.kinds, asset.key


def test_what_is_not_by_week_is_started_by_sensors_alone(defs: dg.Definitions) -> None:
    """An automation condition there looks at every week there may be: it never fires, or lets a failed gate through."""
    nodes = [node for node in defs.resolve_asset_graph().asset_nodes if node.partitions_def is None]
    assert {node.key.to_user_string() for node in nodes} == {"forecast_endpoint", "forecast_api", "catalog"}
    assert [node.key for node in nodes if node.automation_condition is not None] == []


@pytest.mark.parametrize(
    ("job", "registers", "deploys"),
    [
        pytest.param("weekly_refresh", True, False, id="refresh registers"),
        pytest.param("backfill", False, False, id="backfill neither registers nor deploys"),
        pytest.param("deploy", False, True, id="deploy deploys"),
    ],
)
def test_what_a_job_touches(defs: dg.Definitions, job: str, *, registers: bool, deploys: bool) -> None:
    names = {key.to_user_string() for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys}
    assert ("registered_model" in names) is registers
    assert ("forecast_endpoint" in names) is deploys


def test_the_newest_partition_is_the_week_that_is_released_next() -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    wednesday = datetime(2026, 11, 18, 10, 35, tzinfo=ZoneInfo("America/New_York"))
    with dg.partition_loading_context(effective_dt=wednesday):
        assert WEEKS.get_last_partition_key() == "2026-11-13"
