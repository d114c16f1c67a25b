"""What is counted as lost, silent or twice."""

import json
from datetime import date
from pathlib import Path

import pytest

from tests.year.inbox import Inbox
from tests.year.ledger import Ledger
from tests.year.plan import Fault, Plan
from tests.year.said import FOLDER, Outbox

WEEK = date(2023, 7, 14)


def open_alert(lake: Path, key: str, title: str, *, closed: bool, at: str = "2023-07-19T15:00:00+00:00") -> None:
    folder = lake / FOLDER / key
    folder.mkdir(parents=True, exist_ok=True)
    alert = {"key": key, "title": title, "week": str(WEEK)}
    (folder / "000001.opened").write_text(json.dumps({"at": at, "alert": alert}))
    if closed:
        (folder / "000001.closed").write_text("{}")


@pytest.mark.parametrize(
    ("messages", "closed", "times"),
    [
        pytest.param(["Late"], False, 1, id="told"),
        pytest.param(["Late", "Over: Late"], True, 1, id="told, and that it is over"),
        pytest.param(["Over: Late"], True, 1, id="over before anybody could be told"),
        pytest.param([], False, 0, id="never told"),
        pytest.param(["Late"], True, 0, id="never told that it is over"),
        pytest.param(["Late", "Late"], False, 2, id="told twice"),
        pytest.param(["Late", "Over: Late", "Over: Late"], True, 2, id="its end told twice"),
    ],
)
def test_an_alert_is_to_be_heard_once(tmp_path: Path, messages: list[str], closed: bool, times: int) -> None:
    open_alert(tmp_path, "late:2023-07-14", "Late", closed=closed)
    inbox = Inbox()
    for title in messages:
        inbox.take({"title": title, "message": f"Week: {WEEK}\nWhat: it", "type": "failure"})
    [account] = Outbox(tmp_path).accounts(inbox.messages)
    assert account.times == times


def test_what_was_cleared_away_is_remembered(tmp_path: Path) -> None:
    open_alert(tmp_path, "late:2023-07-14", "Late", closed=True)
    outbox = Outbox(tmp_path)
    assert len(outbox.of(WEEK)) == 1
    for path in (tmp_path / FOLDER / "late:2023-07-14").iterdir():
        path.unlink()
    [said] = outbox.of(WEEK)
    assert said.closed
    open_alert(tmp_path, "late:2023-07-14", "Late", closed=False, at="2023-08-16T15:00:00+00:00")
    assert [each.closed for each in outbox.of(WEEK)] == [True, False], "the first of its name again"


def test_a_channel_that_is_down_hears_nothing(tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.break_down()
    assert inbox.take({"title": "Late", "message": "", "type": "failure"}) == 500
    inbox.recover()
    assert inbox.take({"title": "Late", "message": "", "type": "failure"}) == 200
    assert (len(inbox.refused), len(inbox.messages)) == (1, 1)


def test_a_fault_that_never_struck_or_that_nobody_heard_of_is_told(tmp_path: Path) -> None:
    kinds = ("5xx", "late release", "revised")
    plan = Plan(1, (WEEK,), {WEEK: tuple(Fault(kind, WEEK, 1) for kind in kinds)})
    ledger = Ledger(tmp_path / "ledger.jsonl")
    entries = [ledger.open(fault) for fault in plan.all]
    entries[1].hit(asked_in_vain=4)
    entries[1].healed("released")
    entries[1].alerts["late:2023-07-14"] = 0
    entries[2].hit(answers={"200": 1})
    entries[2].healed("made anew")
    for entry in entries:
        ledger.write(entry)
    assert ledger.never_struck(plan) == ["5xx"]
    assert [entry.kind for entry in ledger.silent] == ["late release"]
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert [line["struck"] for line in lines] == [False, True, True]
    assert lines[2]["evidence"] == {"answers": {"200": 1}}
