"""The lineage on the real figures, run as `forecast refresh` runs it, with a small search."""

import base64
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from forecast_assets import tables
from forecast_assets.checks import default_checks, serving
from forecast_assets.gate import gated_artifact, verdict_of
from forecast_assets.reader import load_forecast, load_observations
from forecast_assets.serving import newest_approved
from resources.clock import Clock
from resources.lake import Lake, MissingTableError
from tests.world import ROOT, SERIES, WEEK, World, fingerprint


@pytest.fixture(scope="module")
def refreshed(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        world = World(tmp_path_factory.mktemp("lineage") / "lake", shared_data / "weekly")
        for outcome in (world.run("weekly_refresh"), world.run("deploy", week=None)):
            assert outcome.succeeded, outcome.reasons
        yield world
        world.close()


@pytest.fixture
def copied(refreshed: World, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The refreshed lake's tables in a lake of their own, without models, to be tampered with."""
    monkeypatch.chdir(ROOT)
    lake = tmp_path / "lake"
    shutil.copytree(refreshed.lake.root, lake, ignore=shutil.ignore_patterns("_*"))
    return World(lake, shared_data / "weekly")


def fail_the_gate(world: World, *series: str) -> None:
    scores = world.lake.read("model_scores", WEEK)
    worse = scores["unique_id"].isin(series) & (scores["role"] == "candidate")
    world.lake.write("model_scores", WEEK, scores.assign(mae=scores["mae"].where(~worse, 1e6)))


# -- what a refresh leaves ------------------------------------------------------------------------------------------


def test_the_published_outliers_and_break_are_found(refreshed: World) -> None:
    flags = refreshed.lake.read("outlier_flags", WEEK)
    assert flags.loc[flags["unique_id"] == "WGFUPUS2", "outlier"].sum() == 45
    breaks = refreshed.lake.read("structural_break", WEEK).set_index("unique_id")
    span = breaks.loc["WGFUPUS2"]
    assert (span["start"].date(), span["end"].date()) == (date(2020, 3, 13), date(2022, 8, 19))


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("release", tables.RELEASE),
        ("observations", tables.OBSERVATIONS),
        ("outlier_flags", tables.OUTLIER_FLAGS),
        ("structural_break", tables.STRUCTURAL_BREAK),
        ("counterfactual", tables.COUNTERFACTUAL),
        ("tuning_trials", tables.TUNING_TRIALS),
        ("model_scores", tables.MODEL_SCORES),
        ("held_out", tables.HELD_OUT),
        ("residuals", tables.RESIDUALS),
        ("model_diagnostics", tables.DIAGNOSTICS),
        ("forecast", tables.forecast_columns((80, 90, 95))),
    ],
)
def test_every_table_has_the_columns_that_are_documented(refreshed: World, table: str, columns: tables.Columns) -> None:
    found = refreshed.lake.read(table, WEEK)
    assert not found.empty
    assert set(columns) <= set(found.columns)


def test_forecasts_begin_the_week_after_the_cutoff_for_every_series(refreshed: World) -> None:
    forecast = load_forecast(WEEK, lake=refreshed.lake)
    assert set(forecast["unique_id"]) == set(SERIES)
    for _, rows in forecast.groupby("unique_id"):
        assert list(rows["ds"]) == list(pd.date_range("2023-11-17", periods=26, freq="W-FRI"))
        assert (rows["cutoff"] == pd.Timestamp(WEEK)).all()
    assert set(forecast["source"]) == {"file"}


def test_nothing_later_than_the_week_is_seen(refreshed: World) -> None:
    assert load_observations(WEEK, lake=refreshed.lake)["ds"].max() == pd.Timestamp(WEEK)
    assert refreshed.lake.read("outlier_flags", WEEK)["ds"].max() == pd.Timestamp("2023-05-12")
    assert refreshed.lake.read("tuning_errors", WEEK)["ds"].max() <= pd.Timestamp("2023-05-12")


def test_sql_reads_the_forecast(refreshed: World) -> None:
    query = f"select count(*), min(ds) from read_parquet('{refreshed.lake.root}/forecast/week=2023-11-10/data.parquet')"
    assert duckdb.sql(query).fetchall() == [(52, datetime(2023, 11, 17))]


_STORED = {
    "string": {"string", "large_string"},
    "timestamp": {"timestamp[us]", "timestamp[us, tz=UTC]"},
    "double": {"double"},
    "int": {"int64"},
    "bool": {"bool"},
}


@pytest.mark.parametrize("table", tables.lake_tables((80, 90, 95)))
def test_every_file_has_the_types_that_the_catalog_says(refreshed: World, table: str) -> None:
    """Athena refuses a file whose types are others, an empty one too."""
    found = pq.read_schema(BytesIO(refreshed.lake.read_bytes(refreshed.lake.key(table, WEEK))))
    said = tables.lake_tables((80, 90, 95))[table]
    assert set(found.names) == set(said)
    assert {name: kind for name, (kind, _) in said.items() if str(found.field(name).type) not in _STORED[kind]} == {}


def test_the_tables_have_names_in_sql(refreshed: World) -> None:
    database = duckdb.connect()
    database.execute((refreshed.lake.root / "catalog.sql").read_text())
    for table in tables.lake_tables((80, 90, 95)):
        [[rows]] = database.sql(f"select count(*) from {table}").fetchall()
        assert rows == len(refreshed.lake.read(table, WEEK))
    with dg.DagsterInstance.ephemeral() as instance:
        job = refreshed.platform.defs.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(asset_selection=[dg.AssetKey("catalog")], instance=instance)
    [told] = done.asset_materializations_for_node("catalog")
    example = str(told.metadata["example"].value).strip("`").removeprefix("sql")
    assert database.sql(example).fetchall()[0][:2] == ("WGFUPUS2", datetime(2023, 11, 17))


def test_the_endpoint_answers_over_http_what_the_lake_holds(refreshed: World) -> None:
    url = refreshed.platform.sagemaker.endpoint_url(refreshed.settings.endpoint.name)
    request = urllib.request.Request(
        f"{url}/invocations",
        data=json.dumps({"periods": "26", "conf": "0.9", "series": "WGFUPUS2"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        rows = json.load(answer)
    forecast = load_forecast(WEEK, lake=refreshed.lake).query("unique_id == 'WGFUPUS2'")
    assert [row["date"] for row in rows] == list(forecast["ds"].dt.strftime("%Y-%m-%d"))
    assert [row["predictions"] for row in rows] == list(forecast["mean"])
    assert [row["upper_pi_0.9"] for row in rows] == list(forecast["hi-90"])


def test_a_refreshed_week_is_fresh_until_its_figures_change(refreshed: World, tmp_path: Path) -> None:
    assert refreshed.platform.newest_week() == WEEK
    assert refreshed.platform.is_fresh(WEEK)
    assert refreshed.platform.is_deployed()
    source = Path(refreshed.settings.eia_source)
    revised = tmp_path / "revised"
    shutil.copytree(source, revised)
    path = revised / "WGFUPUS2.csv"
    path.write_text(path.read_text().replace("2023-11-10,", "2023-11-10,1", 1).replace("2023-11-10,18", "2023-11-10,8"))
    path.write_text(
        path.read_text() if path.read_text() != (source / path.name).read_text() else path.read_text() + "\n"
    )
    assert not World(refreshed.lake.root, revised).platform.is_fresh(WEEK)


PICTURES = {
    "outlier_flags": ("stl", "yearly", "correlogram"),
    "structural_break": ("break",),
    "counterfactual": ("counterfactual",),
    "tuning_trials": ("leaderboard", "splits"),
    "candidate_model": ("held_out", "coverage"),
    "model_diagnostics": ("residuals",),
}
NUMBERS = {
    "outlier_flags": ("outliers",),
    "structural_break": ("weeks", "share"),
    "counterfactual": ("replaced_weeks", "change_percent"),
    "tuning_trials": ("origins", "best_rmse", "chosen_rmse", "gain_percent"),
    "candidate_model": ("mase", "ratio_to_naive", "bias_percent", "coverage-80", "coverage-90", "coverage-95"),
    "model_diagnostics": ("residual_sd", "p_ljung_box", "p_shapiro_wilk"),
}
OF_ALL = {
    "outlier_flags": {"outliers"},
    "structural_break": {"breaks"},
    "counterfactual": {"replaced_weeks", "job_seconds"},
    "tuning_trials": {"trials", "failed_trials", "job_seconds"},
    "candidate_model": {"mean_mase", "mean_ratio_to_naive", "mean_coverage-90", "job_seconds"},
    "model_diagnostics": set(),
}


@pytest.fixture(scope="module")
def told(refreshed: World) -> dict[str, dict[str, dg.MetadataValue]]:
    """What Dagster was told of each asset: materialized again, since jobs that ran are taken up."""
    result = refreshed.materialize(*PICTURES)
    assert result.success
    return {name: dict(result.asset_materializations_for_node(name)[0].metadata) for name in PICTURES}


@pytest.mark.parametrize("asset", PICTURES)
def test_an_asset_shows_its_pictures_first(told: dict[str, dict[str, dg.MetadataValue]], asset: str) -> None:
    shown = told[asset]
    expected = [f"{what}_{name}" for what in PICTURES[asset] for name in SERIES]
    assert [name for name in shown if not name.startswith("dagster/")][: len(expected)] == expected
    for name in expected:
        encoded = str(shown[name].value).partition("base64,")[2].removesuffix(")")
        picture = Image.open(BytesIO(base64.b64decode(encoded, validate=True)))
        assert (picture.format, picture.size) == ("PNG", (900, 450))


def test_a_weeks_pictures_of_a_series_are_small(told: dict[str, dict[str, dg.MetadataValue]]) -> None:
    for name in SERIES:
        pictures = [f"{what}_{name}" for whats in PICTURES.values() for what in whats]
        texts = [str(shown[key].value) for shown in told.values() for key in shown if key in pictures]
        assert len(texts) == len(pictures)
        assert sum(map(len, texts)) < 450_000, "350 kB of PNG in base64"


@pytest.mark.parametrize("asset", NUMBERS)
def test_an_asset_tells_numbers_that_can_be_drawn_over_the_weeks(
    told: dict[str, dict[str, dg.MetadataValue]], asset: str
) -> None:
    expected = {f"{what}_{name}" for what in NUMBERS[asset] for name in SERIES} | OF_ALL[asset]
    numbers = {
        name: value.value
        for name, value in told[asset].items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)
    }
    assert expected <= numbers.keys()
    assert all(np.isfinite(number) for number in numbers.values())


def test_numbers_of_a_week_agree_with_its_tables(
    refreshed: World, told: dict[str, dict[str, dg.MetadataValue]]
) -> None:
    scores = refreshed.lake.read("model_scores", WEEK).set_index(["role", "unique_id"])
    own, naive = scores.loc[("candidate", "WGFUPUS2")], scores.loc[("seasonal_naive", "WGFUPUS2")]
    observed = refreshed.lake.read("held_out", WEEK).query("unique_id == 'WGFUPUS2' and observed")["y"].mean()
    expected = {
        ("outlier_flags", "outliers_WGFUPUS2"): 45,
        ("structural_break", "weeks_WGFUPUS2"): 128,
        ("structural_break", "weeks_WREUPUS2"): 0,
        ("structural_break", "share_WGFUPUS2"): 26 / 128,
        ("counterfactual", "replaced_weeks_WGFUPUS2"): 128,
        ("candidate_model", "mase_WGFUPUS2"): own["mase"],
        ("candidate_model", "ratio_to_naive_WGFUPUS2"): own["mae"] / naive["mae"],
        ("candidate_model", "bias_percent_WGFUPUS2"): 100 * own["bias"] / observed,
    }
    found = {(asset, name): told[asset][name].value for asset, name in expected}
    assert found == pytest.approx(expected, rel=1e-5)


# -- the gate -------------------------------------------------------------------------------------------------------


def test_registered_model_alone_asks_for_its_weeks_verdict_and_registers_a_refusal(copied: World) -> None:
    fail_the_gate(copied, *SERIES)
    result = copied.materialize("registered_model")
    assert result.success, "that the gate refused is told by the check, not by another failure"
    [told] = result.asset_materializations_for_node("registered_model")
    assert told.metadata["approval"].value == "Rejected"
    assert "No series of 2023-11-10 passes the gate" in str(told.metadata["reason"].value)
    [rejected] = copied.platform.registry.models()
    assert (rejected.approval, rejected.passed_gate) == ("Rejected", False)
    assert "No series of 2023-11-10 passes the gate: " in rejected.reason
    assert newest_approved(copied.settings, copied.platform.sagemaker) is None
    assert copied.materialize("registered_model").success
    assert len(copied.registered()) == 1, "the same candidate is rejected once"


def test_what_the_gate_rejected_is_another_version_once_it_passes(copied: World) -> None:
    scores = copied.lake.read("model_scores", WEEK)
    fail_the_gate(copied, *SERIES)
    copied.materialize("registered_model")
    copied.lake.write("model_scores", WEEK, scores)
    assert copied.materialize("registered_model").success
    passed, rejected = copied.platform.registry.models()
    assert (passed.version, passed.approval, passed.reason) == (
        2,
        "Approved",
        "All 2 series of 2023-11-10 pass the gate.",
    )
    assert (rejected.version, rejected.approval) == (1, "Rejected")


def test_a_registered_version_says_what_it_was_made_from_and_how_well_it_did(refreshed: World) -> None:
    [model] = refreshed.platform.registry.models()
    package = refreshed.platform.sagemaker.client().describe_model_package(ModelPackageName=model.arn)
    scores = refreshed.lake.read("model_scores", WEEK).query("role == 'candidate'").set_index("unique_id")
    statistics = package["ModelMetrics"]["ModelQuality"]["Statistics"]
    stored = json.loads(refreshed.lake.read_bytes(refreshed.platform.sagemaker.key(statistics["S3Uri"])))
    assert stored["regression_metrics"]["mase"]["value"] == pytest.approx(scores["mase"].mean())
    assert stored["series"]["WGFUPUS2"]["candidate"]["mae"] == pytest.approx(scores.loc["WGFUPUS2", "mae"])
    assert {row["unique_id"] for row in stored["gate"]} == set(SERIES)
    told = package["CustomerMetadataProperties"]
    assert (told["week"], told["gate"], told["passed"]) == ("2023-11-10", "passed", "WGFUPUS2 WREUPUS2")
    assert float(told["mase.WREUPUS2"]) == pytest.approx(scores.loc["WREUPUS2", "mase"], rel=1e-5)
    assert told["code_version"] == "2"
    assert re.fullmatch(r"[0-9a-f]{16}(-[0-9a-f]{16})+", told["data_checksum"])
    specification = package["InferenceSpecification"]
    assert "ml.m5.large" in specification["SupportedTransformInstanceTypes"]
    assert "ml.t2.medium" in specification["SupportedRealtimeInferenceInstanceTypes"]


def test_registered_model_of_a_week_without_a_candidate_says_so(copied: World) -> None:
    result = copied.materialize("registered_model", week=date(2023, 11, 3))
    [failure] = result.get_step_failure_events()
    assert "the lake has no model_scores of week 2023-11-03" in str(failure.step_failure_data.error_display_string)


def test_a_series_that_fails_the_gate_is_held_back_alone(copied: World) -> None:
    fail_the_gate(copied, "WREUPUS2")
    verdict = verdict_of(copied.lake, WEEK, tolerance=1.05)
    assert (verdict.passing, verdict.held_back) == (["WGFUPUS2"], ["WREUPUS2"])
    artifact = gated_artifact(copied.lake, verdict)
    assert artifact["series"]["WREUPUS2"]["model"] == "seasonal_naive", "it has no champion yet"
    assert artifact["series"]["WGFUPUS2"]["model"] == "harmonic_regression"
    assert copied.materialize("registered_model", "forecast").success
    roles = copied.lake.read("forecast", WEEK).groupby("unique_id")["role"].first().to_dict()
    assert roles == {"WGFUPUS2": "candidate", "WREUPUS2": "stand-in"}


def test_a_forecast_alone_asks_for_the_verdict_too(copied: World) -> None:
    fail_the_gate(copied, *SERIES)
    (copied.lake.root / copied.lake.key("forecast", WEEK)).unlink()
    assert not copied.materialize("forecast").success
    assert not copied.lake.has("forecast", WEEK)


def test_a_failed_gate_blocks_and_leaves_the_old_model_serving(refreshed: World, tmp_path: Path) -> None:
    """The next week's release is one that last year's figures forecast perfectly and no harmonic regression does."""
    serving = newest_approved(refreshed.settings, refreshed.platform.sagemaker)
    weeks = pd.date_range("1991-02-08", "2023-11-17", freq="W-FRI")
    pattern = np.random.default_rng(1).uniform(5000, 9000, 52).round()
    for name, level in (("WGFUPUS2", 1.0), ("WREUPUS2", 0.08)):
        y = (pattern * level).round()[np.arange(len(weeks)) % 52]
        pd.DataFrame({"date": weeks, "value": y}).to_csv(tmp_path / f"{name}.csv", index=False)
    world = World(refreshed.lake.root, tmp_path, now=datetime(2023, 11, 23, tzinfo=UTC))
    outcome = world.run("weekly_refresh", date(2023, 11, 17))
    assert not outcome.succeeded
    assert any("gate" in reason for reason in outcome.reasons), outcome.reasons
    [said] = [reason for reason in outcome.reasons if reason.startswith("ERROR gate")]
    assert "No series of 2023-11-17 passes the gate" in said
    assert "The model registered before keeps serving" in said
    assert refreshed.lake.has("model_scores", date(2023, 11, 17)), "the candidate is there to be looked at"
    assert not refreshed.lake.has("forecast", date(2023, 11, 17))
    assert world.platform.is_refused(date(2023, 11, 17))
    assert world.platform.unregistered_refusal(date(2023, 11, 17))
    assert world.run("register", date(2023, 11, 17)).succeeded
    assert world.platform.unregistered_refusal(date(2023, 11, 17)) is None
    rejected = next(refreshed.platform.registry.models())
    assert (rejected.week, rejected.approval) == (date(2023, 11, 17), "Rejected")
    assert newest_approved(refreshed.settings, refreshed.platform.sagemaker) == serving
    assert refreshed.platform.is_deployed()


# -- the checks -----------------------------------------------------------------------------------------------------


def check(world: World, name: str, **resources: object) -> dg.AssetCheckResult:
    """A check's verdict on the lake as it is."""
    [found] = [check for check in default_checks if next(iter(check.check_keys)).name == name]
    function = found.op.compute_fn.decorated_fn
    return function(SimpleNamespace(partition_key=WEEK.isoformat()), **{"lake": world.lake, **resources})


def tamper(world: World, table: str, **changes: object) -> None:
    """Change the last row of a table."""
    frame = world.lake.read(table, WEEK)
    for column, value in changes.items():
        frame.loc[frame.index[-1], column] = value
    world.lake.write(table, WEEK, frame)


@pytest.mark.parametrize(
    ("name", "table", "changes", "said"),
    [
        ("observations_valid", "observations", {"y": -1.0}, "positive"),
        ("observations_valid", "observations", {"ds": pd.Timestamp("2023-11-17")}, "later than 2023-11-10"),
        ("break_plausible", "structural_break", {"share": 0.1}, "weeks are outliers, so they may have nothing"),
        (
            "break_plausible",
            "structural_break",
            {"start": pd.Timestamp("2020-03-06")},
            "change its days or min_outliers",
        ),
        ("only_the_break_changed", "counterfactual", {"counterfactual": 1.0}, "WREUPUS2 2023-11-10"),
        ("only_the_break_changed", "counterfactual", {"y": 1.0}, "1 weeks are not as they must be"),
        ("only_the_break_changed", "counterfactual", {"replaced": True}, "Nothing is tuned on them"),
        ("forecast_complete", "forecast", {"lo-80": 1e6}, "WREUPUS2 has intervals that are not nested"),
        ("forecast_complete", "forecast", {"ds": pd.Timestamp("2025-01-03")}, "does not have the 26 weeks"),
    ],
)
def test_a_check_sees_what_is_wrong_with_a_table(
    copied: World, name: str, table: str, changes: dict[str, object], said: str
) -> None:
    needed = {} if name == "only_the_break_changed" else {"settings": copied.settings}
    assert check(copied, name, **needed).passed
    tamper(copied, table, **changes)
    result = check(copied, name, **needed)
    assert not result.passed
    assert said in str(result.description)


def test_a_settled_break_that_moved_since_last_week_is_a_warning(copied: World) -> None:
    before = date(2023, 11, 3)
    for table in ("structural_break", "outlier_flags"):
        copied.lake.write(table, before, copied.lake.read(table, WEEK))
    [rule] = copied.settings.breaks
    settled = rule.model_copy(update={"settled": date(2023, 5, 5)})  # the last week that 2023-11-03 tunes on
    settings = copied.settings.model_copy(update={"breaks": (settled,)})
    assert check(copied, "break_plausible", settings=settings).passed
    tamper(copied, "structural_break", end=pd.Timestamp("2022-08-12"))
    assert check(copied, "break_plausible", settings=copied.settings).passed, "it was not settled a week before"
    result = check(copied, "break_plausible", settings=settings)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    moved = "it was 2020-03-13 to 2022-08-19 and is 2020-03-13 to 2022-08-12"
    assert f"WGFUPUS2 covid-19: settled since 2023-05-05, yet {moved}" in str(result.description)


@pytest.mark.parametrize(
    ("name", "tampering", "remedy"),
    [
        ("break_plausible", ("structural_break", {"share": 0.01}), "refresh the week"),
        ("only_the_break_changed", ("counterfactual", {"y": 1.0}), "forecast refresh --week 2023-11-10 --force"),
        ("gate", ("model_scores", {}), "wait for more weeks or raise gate_tolerance"),
        ("no_series_held_back", ("model_scores", {}), "Look at their picture held_out"),
        ("every_series_has_a_candidate", ("model_scores", {"role": "x"}), "take them out of series"),
        ("residuals_independent", ("model_diagnostics", {"p_value": 0.01}), "a regressor or more harmonics"),
        ("residuals_normal", ("model_diagnostics", {"p_value": 0.01}), "read the bounds with caution"),
    ],
)
def test_a_check_that_fails_says_what_to_do(
    copied: World, name: str, tampering: tuple[str, dict[str, object]], remedy: str
) -> None:
    table, changes = tampering
    copied.lake.write(table, WEEK, copied.lake.read(table, WEEK).assign(**changes))
    if name in {"gate", "no_series_held_back"}:
        fail_the_gate(copied, *SERIES)
    needs_settings = name in {"break_plausible", "gate", "no_series_held_back", "every_series_has_a_candidate"}
    result = check(copied, name, **({"settings": copied.settings} if needs_settings else {}))
    assert not result.passed
    assert remedy in str(result.description)


def test_residuals_that_are_not_white_are_a_warning(copied: World) -> None:
    diagnostics = copied.lake.read("model_diagnostics", WEEK)
    for p_value, passed in ((0.5, True), (0.01, False)):
        copied.lake.write("model_diagnostics", WEEK, diagnostics.assign(p_value=p_value))
        for name in ("residuals_independent", "residuals_normal"):
            result = check(copied, name)
            assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)


@pytest.mark.parametrize(
    ("now", "passed", "said"),
    [
        pytest.param(datetime(2023, 11, 16, tzinfo=UTC), True, "2023-11-10, the newest week due", id="fresh"),
        pytest.param(datetime(2023, 11, 22, 15, 29, tzinfo=UTC), True, "the newest week due", id="before-the-release"),
        pytest.param(datetime(2023, 11, 22, 15, 30, tzinfo=UTC), False, "first 1 of the 26 weeks", id="at-the-release"),
        pytest.param(datetime(2024, 1, 5, tzinfo=UTC), False, "2023-12-29 were due on 2024-01-04", id="much-later"),
    ],
)
def test_a_model_that_newer_figures_have_followed_is_a_warning(
    refreshed: World, now: datetime, passed: bool, said: str
) -> None:
    result = serving.fresh.op.compute_fn.decorated_fn(
        None, refreshed.settings, Clock(fixed=now.isoformat()), refreshed.platform.sagemaker
    )
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert said in str(result.description)
    assert passed or "Run `forecast refresh`" in str(result.description)


# -- bad days -------------------------------------------------------------------------------------------------------


def test_a_week_not_released_yet_fails_and_says_when_it_is_due(copied: World) -> None:
    before = fingerprint(copied.lake.root)
    outcome = copied.run("weekly_refresh", date(2023, 11, 17))
    assert not outcome.succeeded
    assert any("2023-11-17 is due Wed 2023-11-22 10:30" in reason for reason in outcome.reasons), outcome.reasons
    assert fingerprint(copied.lake.root) == before


def test_a_series_that_is_too_short_fails_by_name_and_alone(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    source = tmp_path / "eia"
    source.mkdir()
    gasoline = (shared_data / "weekly" / "WGFUPUS2.csv").read_text().splitlines()
    (source / "WGFUPUS2.csv").write_text("\n".join(gasoline) + "\n")
    (source / "YOUNG1.csv").write_text("\n".join([gasoline[0], *gasoline[-300:]]) + "\n")
    world = World(tmp_path / "lake", source, series=("WGFUPUS2", "YOUNG1"))
    outcome = world.run("backfill")
    assert outcome.succeeded, outcome.reasons
    assert set(world.lake.read("forecast", WEEK)["unique_id"]) == {"WGFUPUS2"}
    [reason] = [reason for reason in outcome.reasons if "every_series_has_a_candidate" in reason]
    assert "YOUNG1: 300 weeks for the training span of 2023-11-10, 567 are needed" in reason
    assert world.registered() == [], "a backfill registers nothing"
    assert newest_approved(world.settings, world.platform.sagemaker) is None


def test_a_reader_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingTableError, match="no forecast of week 2023-11-10"):
        load_forecast("2023-11-10", lake=Lake(uri=str(tmp_path)))


def test_the_sql_of_the_readme_reads_the_newest_forecast(refreshed: World) -> None:
    sql = (ROOT / "README.md").read_text().split("```sql\n")[1].split("```")[0]
    database = duckdb.connect()
    database.execute((refreshed.lake.root / "catalog.sql").read_text())
    rows = database.sql(sql.rstrip().rstrip(";")).fetchall()
    forecast = load_forecast(lake=refreshed.lake)
    assert [(row[0], row[2]) for row in rows] == list(zip(forecast["unique_id"], forecast["mean"], strict=True))


def test_a_reverted_release_finds_its_own_counterfactual_again(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = (shared_data / "weekly" / "WGFUPUS2.csv").read_text()
    revised = re.sub(r"2019-11-08,\d+", "2019-11-08,9999", text)
    found = []
    for published in (text, revised, text):
        (tmp_path / "WGFUPUS2.csv").write_text(published)
        world = World(tmp_path / "lake", tmp_path, series=("WGFUPUS2",))
        assets = ("release", "observations", "outlier_flags", "structural_break", "counterfactual")
        assert world.materialize(*assets).success
        found.append(world.lake.read("counterfactual", WEEK))
    pd.testing.assert_frame_equal(found[0], found[2])
    assert not found[0]["y"].equals(found[1]["y"])
