"""The outbox: an alert is open once however many say so, and what happened to it is never undone."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from resources.alerts import Alerts
from resources.alerts.errors import DamagedAlertError
from resources.lake import Lake, LakeError
from resources.retention.notes import old_alerts
from tests.resources.alerts.conftest import NOON, Time, alert

KEY = alert().key


def test_an_alert_is_opened_once_while_it_lasts_and_closed_once(alerts: Alerts) -> None:
    assert alerts.open(alert())
    assert not alerts.open(alert(why="something else"))
    assert alerts.open_keys() == [KEY]
    assert alerts.open_keys("late:") == []
    assert alerts.close(KEY, recovery="it has succeeded")
    assert not alerts.close(KEY, recovery="again")
    assert alerts.open_keys() == []
    assert alerts.find(KEY) is None


def test_what_comes_back_after_its_end_is_another_occurrence(alerts: Alerts) -> None:
    alerts.open(alert())
    alerts.close(KEY, recovery="it has succeeded")
    assert alerts.open(alert(why="the disk is full"))
    found = alerts.find(KEY)
    assert found is not None
    assert (found.number, found.alert.why, found.alert.week, found.opened_at) == (
        2,
        "the disk is full",
        alert().week,
        NOON,
    )
    both, _ = alerts.unsettled()
    assert [(one.number, one.closed_at, one.recovery) for one in both] == [(1, NOON, "it has succeeded"), (2, None, "")]


def test_of_many_who_open_and_close_at_once_one_does(alerts: Alerts) -> None:
    def at_once(do: object) -> int:
        ready, done = threading.Barrier(8), []

        def one() -> None:
            ready.wait()
            done.append(do())  # type: ignore[operator]

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 8
        return sum(done)

    for _ in range(3):
        assert at_once(lambda: alerts.open(alert())) == 1
        assert at_once(lambda: alerts.close(KEY, recovery="over")) == 1
    assert len(alerts.unsettled()[0]) == 3


@pytest.mark.parametrize(
    "key",
    ["landing:../../etc/passwd", "landing:ein Überraschungsfund?.xls", "deploy:arn:aws:sagemaker:us-east-1:1:a/b/3"],
)
def test_any_key_stays_within_its_folder_and_is_found_again(alerts: Alerts, lake: Lake, key: str) -> None:
    alerts.open(alert(key))
    assert alerts.open_keys() == [key]
    assert len(list(lake.root.glob("_alerts/said/*/000001.opened"))) == 1
    assert alerts.close(key, recovery="over")


def test_a_key_too_long_for_a_name_is_cut_the_same_way_each_time(alerts: Alerts) -> None:
    long, other = "landing:" + "ö%/" * 200, "landing:" + "ö%/" * 200 + "x"
    assert alerts.open(alert(long))
    assert not alerts.open(alert(long))
    assert alerts.open(alert(other))
    cut = alerts.open_keys()
    assert len(cut) == 2
    assert not alerts.open(alert(cut[0]))
    assert all(alerts.close(key, recovery="over") for key in cut)
    assert alerts.open_keys() == []


def test_a_damaged_file_is_named_and_hides_no_other_alert(alerts: Alerts, lake: Lake) -> None:
    alerts.open(alert())
    alerts.open(alert("late:2023-11-10"))
    path = lake.root / f"_alerts/said/{KEY}/000001.opened"
    for content in (b"", b"[]", b'{"at": "noon"}', b"\xff"):
        path.write_bytes(content)
        found, damaged = alerts.unsettled()
        assert [one.alert.key for one in found] == ["late:2023-11-10"]
        assert str(path.parent) in str(damaged[0])
        with pytest.raises(DamagedAlertError, match="delete it"):
            alerts.find(KEY)
    assert not alerts.open(alert()), "it is open, whatever it said"
    path.unlink()
    assert alerts.open(alert()), "as the message of the error has it"


def test_what_the_lake_refuses_is_an_error_by_name_and_opens_nothing(
    alerts: Alerts, lake: Lake, tmp_path: Path
) -> None:
    (tmp_path / "lake").write_text("a file where the folder should be")
    with pytest.raises(LakeError, match="cannot write"):
        alerts.open(alert())
    (tmp_path / "lake").unlink()
    assert alerts.open(alert())


def test_only_what_was_settled_before_a_time_may_be_forgotten_and_never_looks_open_again(
    alerts: Alerts, lake: Lake, time: Time
) -> None:
    for key in ("settled", "closed", "open", "later"):
        alerts.open(alert(key))
    for key in ("settled", "closed"):
        alerts.close(key, recovery="over")
    settled = next(one for one in alerts.unsettled()[0] if one.alert.key == "settled")
    alerts.told(settled, "closed", "slack")
    alerts.settle(settled)
    assert list(alerts.forgettable(NOON)) == []
    time.to(NOON + timedelta(weeks=30))
    alerts.close("later", recovery="over")
    alerts.settle(next(one for one in alerts.unsettled()[0] if one.alert.key == "later"))

    removals = list(old_alerts(alerts, before=NOON + timedelta(weeks=26)))
    doomed = [removal.name for removal in removals]
    assert {path.split("/")[2] for path in doomed} == {"settled"}
    for removal in removals:  # whichever of them is the last before a crash
        removal.remove()
        assert alerts.open_keys() == ["open"]
        assert set(alerts.forgettable(NOON + timedelta(weeks=26))) == {
            other for other in doomed if (lake.root / other).exists()
        }
