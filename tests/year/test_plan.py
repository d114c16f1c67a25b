"""What will go wrong is decided by the seed alone, and leaves nothing out."""

from datetime import date

import pytest

from tests.year.plan import CHANNEL_DOWN, HOLIDAY, KINDS, SPOILS, is_shifted, short_year, weeks_from, whole_year

WEEKS = weeks_from(date(2023, 7, 7), 52)


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_year_has_every_kind_weeks_with_two_and_weeks_without(seed: int) -> None:
    plan = whole_year(seed, WEEKS)
    assert plan == whole_year(seed, WEEKS)
    assert plan.kinds == set(KINDS)
    counts = [len(plan.of(week)) for week in WEEKS]
    assert counts[0] == 0
    assert counts.count(0) >= 8
    assert counts.count(2) >= 3


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_holiday_shift_is_in_a_week_with_a_holiday_and_a_silent_channel_has_something_to_say(seed: int) -> None:
    plan = whole_year(seed, WEEKS)
    for week in WEEKS:
        kinds = [fault.kind for fault in plan.of(week)]
        assert HOLIDAY not in kinds or is_shifted(week)
        assert CHANNEL_DOWN not in kinds or kinds[0] in SPOILS


def test_another_seed_is_another_year() -> None:
    assert whole_year(1, WEEKS).faults != whole_year(2, WEEKS).faults


def test_eleven_short_years_have_every_kind() -> None:
    plans = [short_year(seed, WEEKS) for seed in range(1, 12)]
    assert set().union(*(plan.kinds for plan in plans)) == set(KINDS)
    assert {len(plan.weeks) for plan in plans} == {4}
    assert not any(plan.of(plan.weeks[0]) for plan in plans)


def test_a_machine_that_cannot_have_a_kind_is_spared_it() -> None:
    assert "disk full" not in whole_year(1, WEEKS, without=("disk full",)).kinds


def test_too_few_weeks_are_refused() -> None:
    with pytest.raises(ValueError, match="too few for every kind"):
        whole_year(1, WEEKS[:20])
