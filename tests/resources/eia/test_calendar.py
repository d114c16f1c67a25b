from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.eia.calendar import EASTERN, due, newest_due

FRIDAYS = st.integers(0, 3000).map(lambda n: date(1991, 2, 8) + timedelta(weeks=n))


@pytest.mark.parametrize(
    ("week", "released"),
    [
        pytest.param(date(2017, 1, 20), date(2017, 1, 25), id="an ordinary week, as the workbook of that day says"),
        pytest.param(date(2024, 5, 24), date(2024, 5, 30), id="Memorial Day on Monday"),
        pytest.param(date(2018, 12, 28), date(2019, 1, 3), id="New Year's Day on Tuesday"),
        pytest.param(date(2024, 12, 27), date(2025, 1, 2), id="New Year's Day on Wednesday"),
        pytest.param(date(2022, 12, 30), date(2023, 1, 5), id="New Year's Day observed on Monday"),
        pytest.param(date(2024, 6, 14), date(2024, 6, 20), id="Juneteenth on Wednesday"),
        pytest.param(date(2019, 6, 14), date(2019, 6, 19), id="before Juneteenth was a holiday"),
        pytest.param(date(2024, 6, 28), date(2024, 7, 3), id="Independence Day on Thursday delays nothing"),
        pytest.param(date(2024, 11, 22), date(2024, 11, 27), id="Thanksgiving on Thursday delays nothing"),
        pytest.param(date(2021, 6, 18), date(2021, 6, 23), id="a holiday observed on the Friday before"),
    ],
)
def test_a_week_is_due_on_wednesday_or_after_a_holiday_on_thursday(week: date, released: date) -> None:
    assert due(week) == datetime(released.year, released.month, released.day, 10, 30, tzinfo=EASTERN)


@pytest.mark.parametrize(
    ("week", "utc_hour"),
    [pytest.param(date(2024, 1, 5), 15, id="winter"), pytest.param(date(2024, 7, 5), 14, id="summer")],
)
def test_the_hour_is_eastern_in_both_halves_of_the_year(week: date, utc_hour: int) -> None:
    assert due(week).astimezone(UTC).hour == utc_hour


@given(FRIDAYS)
def test_every_week_is_due_on_the_wednesday_or_thursday_after_it(week: date) -> None:
    released = due(week)
    assert (released.date() - week).days in {5, 6}
    assert released.tzinfo is EASTERN
    assert due(week + timedelta(weeks=1)) > released


@given(st.datetimes(datetime(1992, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
def test_the_newest_due_week_is_out_and_the_next_is_not(now: datetime) -> None:
    week = newest_due(now)
    assert due(week) <= now < due(week + timedelta(weeks=1))


def test_a_week_is_out_from_its_minute_on() -> None:
    moment = datetime(2024, 7, 3, 10, 30, tzinfo=EASTERN)
    assert newest_due(moment) == date(2024, 6, 28)
    assert newest_due(moment - timedelta(microseconds=1)) == date(2024, 6, 21)


def test_only_fridays_are_weeks() -> None:
    with pytest.raises(ValueError, match="2024-07-04 is a Thursday"):
        due(date(2024, 7, 4))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        newest_due(datetime(2024, 7, 4, 12))
