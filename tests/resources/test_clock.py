"""The clock of rehearsals."""

from datetime import UTC, datetime, timedelta

import pytest

from resources.clock import Clock, ClockError, step

FIRST = datetime(2023, 11, 15, 15, 30, tzinfo=UTC)


def test_a_clock_that_runs_shows_the_real_time():
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    assert Clock().at(moment) == moment
    assert abs(Clock().now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_stepped_clock_knows_what_it_showed(tmp_path):
    file = tmp_path / "now"
    clock = Clock(fixed=str(file))
    moments = []
    for weeks in range(3):
        step(file, FIRST + timedelta(weeks=weeks))
        moments.append(datetime.now(UTC))
    assert clock.now() == FIRST + timedelta(weeks=2)
    assert [clock.at(moment) for moment in moments] == [FIRST + timedelta(weeks=weeks) for weeks in range(3)]
    assert clock.at(datetime(2000, 1, 1, tzinfo=UTC)) == FIRST


@pytest.mark.parametrize("text", ["2023-11-15T10:30:00-05:00", "2023-11-15T10:30:00-05:00\n"])
def test_a_file_with_one_time_stands(tmp_path, text):
    (tmp_path / "now").write_text(text)
    clock = Clock(fixed=str(tmp_path / "now"))
    assert clock.now() == clock.at(datetime.now(UTC)) == FIRST


@pytest.mark.parametrize("text", ["", "soon", "2023-11-15T10:30:00", "2023-11-15T10:30:00-05:00 soon"])
def test_a_file_without_a_time_is_refused(tmp_path, text):
    (tmp_path / "now").write_text(text)
    with pytest.raises(ClockError, match="FORECAST_NOW"):
        Clock(fixed=str(tmp_path / "now")).now()
