"""What every benchmark relies on: both sides in turn, ratios the right way round, a file that keeps its other rows."""

import json
import math
import os
from pathlib import Path
from statistics import median

import pytest

from benchmarks import measure
from benchmarks.measure import MeasureError, Result


def row(name: str, *, ours: float = 1.0, met: bool = True) -> Result:
    return Result(name, ours, 2.0, "s", 2.0, "1x", met, "a note")


def saved(path: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads(path.read_text())}


def test_sides_take_turns_and_keep_what_each_gave() -> None:
    calls: list[str] = []
    said: list[str] = []
    ours, theirs = measure.alternate(
        lambda: calls.append("ours") or len(calls), lambda: calls.append("theirs") or len(calls), progress=said.append
    )
    assert calls == ["ours", "theirs"] * 3
    assert (ours, theirs) == ([1, 3, 5], [2, 4, 6])
    assert (median(ours), median(theirs)) == (3, 4)
    assert said[0] == "round 1 of 3, ours"
    assert len(said) == 6


def test_fewer_than_three_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rounds; a median needs 3"):
        measure.alternate(lambda: 1, lambda: 1, rounds=2, progress=lambda _: None)


@pytest.mark.parametrize(
    ("result", "ratio", "target", "met"),
    [
        pytest.param(measure.smaller("a: b", 10, 3000, "ms", times=300, note=""), 300, "300x", True, id="just smaller"),
        pytest.param(
            measure.smaller("a: b", 11, 3000, "ms", times=300, note=""), 3000 / 11, "300x", False, id="larger"
        ),
        pytest.param(measure.larger("a: b", 3000, 20, "/s", times=20, note=""), 150, "20x", True, id="larger wanted"),
        pytest.param(measure.larger("a: b", 20, 3000, "/s", times=20, note=""), 1 / 150, "20x", False, id="too small"),
        pytest.param(measure.below("a: b", 2.5, None, "s", limit=3, note=""), None, "< 3 s", True, id="below"),
        pytest.param(measure.below("a: b", 3, 6, "s", limit=3, note=""), 2, "< 3 s", False, id="at the limit"),
    ],
)
def test_ratio_says_how_many_times_better_ours_is(result: Result, ratio: float, target: str, met: bool) -> None:
    assert (result.ratio, result.target, result.met) == (ratio, target, met)


def test_file_is_a_list_of_rows_each_with_machine_and_versions(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    measure.save([row("a: one", ours=1.23456789)], path)
    (content,) = json.loads(path.read_text())
    assert list(content) == [
        *("name", "ours", "theirs", "unit", "ratio", "target", "met", "note", "machine", "versions")
    ]  # fmt: skip
    assert content["ours"] == 1.235
    assert content["machine"]["cores"] == os.cpu_count()
    assert {"python", "numpy", "pandas"} <= set(content["versions"])


def test_rows_of_what_was_run_are_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    measure.save([row("b: kept", ours=1), row("c: old", ours=1), row("c: renamed since", ours=1)], path)
    measure.save([row("c: old", ours=2), row("a: new", ours=3)], path)
    assert {name: content["ours"] for name, content in saved(path).items()} == {"a: new": 3, "b: kept": 1, "c: old": 2}
    assert [content["name"] for content in json.loads(path.read_text())] == ["a: new", "b: kept", "c: old"]


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    measure.save([row("a: one")], path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        measure.save([row("a: one", ours=math.nan)], path)
    assert path.read_bytes() == before


def test_file_is_moved_into_place_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    seen, move = [], Path.replace

    def replace(temporary: Path, target: Path) -> Path:
        seen.append((path.exists(), json.loads(temporary.read_text())[0]["name"], target))
        return move(temporary, target)

    monkeypatch.setattr(Path, "replace", replace)
    measure.save([row("a: one")], path)
    assert seen == [(False, "a: one", path)]
    assert [one.name for one in tmp_path.iterdir()] == ["results.json"]


def test_table_shows_every_row_and_note(capsys: pytest.CaptureFixture[str]) -> None:
    measure.print_table([row("a: one", ours=12345.6), row("b: two", met=False)])
    shown = capsys.readouterr().out
    for text in ("a: one", "12,346", "2x", "yes", "b: two", "no", "a note"):
        assert text in shown


def test_process_that_fails_is_an_error_with_its_reason() -> None:
    with pytest.raises(MeasureError, match="ended with 3: because"):
        measure.run(["sh", "-c", "echo because >&2; exit 3"])


def test_process_is_timed_and_gets_none_of_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_HORIZON", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = ["sh", "-c", "sleep 0.1; echo ${FORECAST_HORIZON-none} ${PYTHONDONTWRITEBYTECODE-none} $FORECAST_STEP"]
    done = measure.run(command, environment={"FORECAST_STEP": "7"})
    assert done.output == "none none 7\n"
    assert 0.1 <= done.seconds < 30


def test_pinning_ends_with_its_block() -> None:
    before = os.sched_getaffinity(0)
    _, core = measure.cores()
    with measure.pinned(core):
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before
