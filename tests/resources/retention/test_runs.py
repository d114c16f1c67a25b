"""Retention of Dagster's history: made-up runs on instances of their own, by a clock that steps from week to week."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.events import (
    AssetCheckEvaluationPlanned,
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)

from resources.clock import Clock, step
from resources.retention import Ages, Removal
from resources.retention.removal import size_of
from resources.retention.runs import old_runs, stray_history

FIRST = datetime(2023, 1, 4, 15, 30, tzinfo=UTC)
ASSET = dg.AssetKey("forecast")
SUCCESS, FAILURE, CANCELED, STARTED, NOT_STARTED = (
    dg.DagsterRunStatus[name] for name in ("SUCCESS", "FAILURE", "CANCELED", "STARTED", "NOT_STARTED")
)


class History:
    """An instance, and the clock of a rehearsal."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path) -> None:
        self.instance, self._now = instance, folder / "now"
        self.clock = Clock(fixed=str(self._now))
        self.go_to(0)

    def go_to(self, week: float) -> None:
        step(self._now, FIRST + timedelta(weeks=week))

    def ran(
        self,
        job: str,
        week: date | None = None,
        status: dg.DagsterRunStatus = SUCCESS,
        selection: frozenset[dg.AssetKey] | None = None,
    ) -> str:
        """A run that is nothing but a record."""
        tags = {"dagster/partition": week.isoformat()} if week else {}
        run_id = str(uuid.uuid4())
        run = dg.DagsterRun(job, run_id=run_id, status=status, tags=tags, asset_selection=selection)
        self.instance.add_run(run)
        return run_id

    def made(self, job: str, week: date, status: dg.DagsterRunStatus = SUCCESS) -> str:
        """A run with a materialization that shows a picture, a check and a log."""
        run_id = self.ran(job, week, status)
        shown = {"picture": dg.MetadataValue.md("x" * 50_000)}
        events = {
            DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED: AssetCheckEvaluationPlanned(
                asset_key=ASSET, check_name="plausible"
            ),
            DagsterEventType.ASSET_MATERIALIZATION: StepMaterializationData(
                dg.AssetMaterialization(ASSET, partition=week.isoformat(), metadata=shown)
            ),
        }
        for kind, data in events.items():
            event = DagsterEvent(kind.value, job, event_specific_data=data)
            self.instance.report_dagster_event(event, run_id=run_id)
        with self.instance.compute_log_manager.capture_logs([run_id, "compute_logs", "step"]):
            pass
        return run_id

    def old(self, *, runs_weeks: int = 5, failed_runs_weeks: int = 2) -> list[Removal]:
        ages = Ages(self.clock)
        return list(
            old_runs(
                self.instance,
                ages,
                is_ours=lambda run: run.job_name != "of_somebody_else",
                runs_weeks=runs_weeks,
                failed_runs_weeks=failed_runs_weeks,
            )
        )

    def strays(self) -> list[Removal]:
        return list(stray_history(self.instance, Ages(self.clock), weeks=1))

    def tidy(self) -> int:
        removals = [*self.old(), *self.strays()]
        for removal in removals:
            removal.remove()
        return len(removals)

    def runs(self) -> set[str]:
        return {run.run_id for run in self.instance.get_runs()}

    def weeks_shown(self) -> set[str]:
        return set(self.instance.get_materialized_partitions(ASSET))

    def checks(self) -> int:
        with self.instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
            return int(connection.execute(sqlalchemy.text("select count(*) from asset_check_executions")).scalar())


def week(number: int) -> date:
    return date(2022, 12, 30) + timedelta(weeks=number)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield History(instance, tmp_path)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[History]:
    """With SQLite files, as on a laptop."""
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield History(instance, tmp_path)


def test_the_last_success_of_a_week_outlives_what_failed_or_was_overtaken(history):
    failed, overtaken = history.ran("weekly_refresh", week(0), FAILURE), history.ran("weekly_refresh", week(0))
    cancelled, word = history.ran("weekly_refresh", week(0), CANCELED), history.ran("weekly_refresh", week(0))
    late = history.ran("weekly_refresh", week(0), FAILURE)
    history.go_to(1.9)
    assert history.old() == []
    history.go_to(2.1)
    assert history.tidy() == 4
    assert history.runs() == {word}
    assert {failed, overtaken, cancelled, late}.isdisjoint(history.runs())
    history.go_to(5.1)
    assert history.tidy() == 1
    assert history.runs() == set()


def test_a_week_in_which_nothing_succeeded_keeps_its_last_run(history):
    history.ran("weekly_refresh", week(0), FAILURE)
    last = history.ran("weekly_refresh", week(0), FAILURE)
    history.go_to(3)
    history.tidy()
    assert history.runs() == {last}


@pytest.mark.parametrize("status", [STARTED, NOT_STARTED], ids=["runs", "waits"])
def test_a_run_that_has_not_ended_stays(history, status):
    history.ran("weekly_refresh", week(0), status)
    history.go_to(500)
    assert history.old() == []


def test_runs_of_other_assets_of_a_job_do_not_overtake_each_other(history):
    one = history.ran("__ASSET_JOB", week(0), selection=frozenset({dg.AssetKey("release")}))
    other = history.ran("__ASSET_JOB", week(0), selection=frozenset({ASSET}))
    history.go_to(3)
    history.tidy()
    assert history.runs() == {one, other}


def test_the_newest_run_of_a_job_without_weeks_is_kept_for_ever(history):
    history.ran("deploy")
    newest = history.ran("deploy")
    history.go_to(500)
    history.tidy()
    assert history.runs() == {newest}


def test_by_a_clock_that_stands_nothing_ages(history):
    history.ran("weekly_refresh", week(0), FAILURE)
    history.clock = Clock(fixed="2090-01-01T00:00:00+00:00")
    assert history.old() == []


def test_runs_of_other_projects_are_left_alone(history):
    history.ran("of_somebody_else", status=FAILURE)
    history.ran("of_somebody_else", status=FAILURE)
    history.go_to(500)
    assert history.old() == []


def test_a_run_goes_with_its_events_its_checks_its_logs_and_its_file(stored):
    stored.made("weekly_refresh", week(0), FAILURE)
    kept = stored.made("weekly_refresh", week(0))
    stored.go_to(3)
    (removal,) = stored.old()
    assert removal.size_bytes > 50_000
    removal.remove()
    removal.remove()  # a second housekeeper had it on its list too
    home = Path(stored.instance.root_directory)
    assert stored.runs() == {kept}
    assert stored.checks() == 1
    assert stored.weeks_shown() == {week(0).isoformat()}  # the kept run's
    assert {path.name for path in (home / "history" / "runs").glob("*.db")} == {f"{kept}.db", "index.db"}
    assert [path.name for path in (home / "storage").iterdir()] == [kept]


@pytest.mark.parametrize("step", ["delete_events", "unlink"])
def test_a_removal_that_is_cut_short_is_finished_by_the_next(stored, monkeypatch, step):
    stored.made("weekly_refresh", week(0), FAILURE)
    kept = stored.made("weekly_refresh", week(0))
    owner = {"delete_events": stored.instance.event_log_storage, "unlink": Path}[step]
    stored.go_to(3)
    (removal,) = stored.old()
    with monkeypatch.context() as cut:
        cut.setattr(owner, step, _killed)
        with pytest.raises(KeyboardInterrupt):
            removal.remove()
    stored.go_to(4.5)
    stored.tidy()
    home = Path(stored.instance.root_directory)
    assert stored.runs() == {kept}
    assert stored.checks() == 1
    assert {path.name for path in (home / "history" / "runs").glob("*.db")} == {f"{kept}.db", "index.db"}


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_logs_of_ticks_go_once_they_are_old(stored):
    folder = Path(stored.instance.storage_directory()) / "repository" / "releases"
    folder.mkdir(parents=True)
    (folder / "17.err").write_text("said")
    pickled = folder.with_name("2022-12-30")  # of an asset whose values the default IO manager keeps
    pickled.touch()
    stored.go_to(0.9)
    assert stored.strays() == []
    stored.go_to(1.1)
    assert stored.tidy() == 1
    assert list(folder.iterdir()) == []
    assert pickled.exists()


@pytest.mark.slow
def test_history_levels_off_and_shows_the_weeks_that_are_kept(stored):
    sizes = []
    for number in range(10):
        stored.go_to(number)
        stored.made("weekly_refresh", week(number), FAILURE)
        stored.made("weekly_refresh", week(number))
        stored.tidy()
        sizes.append(size_of(Path(stored.instance.root_directory)))
    assert stored.weeks_shown() == {week(number).isoformat() for number in range(4, 10)}
    assert len(stored.runs()) == 6 + 3  # the failures of two weeks ago, of last week and of this one
    assert max(sizes[8:]) < 1.02 * max(sizes[6:8])
