"""Rate and quota, under a clock that the test turns."""

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from resources.api.gateway.limits import MonthlyQuota, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_is_let_in_at_once_and_the_rate_from_then_on() -> None:
    clock = Clock()
    bucket = TokenBucket(rate_per_s=10, burst=20, clock=clock)
    assert sum(bucket.take() for _ in range(100)) == 20
    clock.seconds += 0.5
    assert sum(bucket.take() for _ in range(100)) == 5
    clock.seconds += 3600
    assert sum(bucket.take() for _ in range(100)) == 20, "no more than a burst is saved up"


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 50), steps=st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_pattern_of_requests_gets_more_than_burst_and_rate(rate: float, burst: int, steps: list[float]) -> None:
    clock, admitted = Clock(), 0
    bucket = TokenBucket(rate_per_s=rate, burst=burst, clock=clock)
    for step in steps:
        clock.seconds += step
        admitted += bucket.take()
    assert admitted <= burst + rate * (clock.seconds - 1000) + 1e-6


def test_a_quota_outlives_its_process_and_ends_with_the_month(tmp_path: Path) -> None:
    today = [datetime(2026, 11, 30, 23, 59, tzinfo=UTC)]
    first = MonthlyQuota(tmp_path / "usage", lambda: today[0])
    assert [first.take("key", 3) for _ in range(2)] == [True, True]
    again = MonthlyQuota(tmp_path / "usage", lambda: today[0])  # the first was killed: nothing was closed
    assert [again.take("key", 3) for _ in range(3)] == [True, False, False]
    today[0] = datetime(2026, 12, 1, tzinfo=UTC)
    assert again.take("key", 3)
    for quota in (first, again):
        quota.close()


def test_a_new_key_begins_anew_and_a_raised_quota_counts_on(tmp_path: Path) -> None:
    quota = MonthlyQuota(tmp_path / "usage", lambda: datetime(2026, 11, 1, tzinfo=UTC))
    assert [quota.take("old", 1) for _ in range(2)] == [True, False]
    assert [quota.take("old", 2) for _ in range(2)] == [True, False]
    assert quota.take("new", 1)
    quota.close()
