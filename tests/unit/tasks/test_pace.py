"""The pause between polls: an end is seen late by an eighth at most, and an eighth of the time is spent on asking."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from miroir.tasks.pace import LONGEST_S, SHORTEST_S, least_pause, pause, pause_when_asked

seconds = st.floats(0, 3600)


@given(poll=seconds, quiet=seconds)
def test_a_pause_keeps_its_bounds_and_news_never_comes_later(poll: float, quiet: float) -> None:
    assert SHORTEST_S <= least_pause(poll) <= pause_when_asked(poll, quiet) <= pause(poll, quiet) <= LONGEST_S


@given(ends_after=st.floats(0.0, 60.0))
def test_what_ends_is_seen_soon_by_a_bounded_number_of_quick_polls(ends_after: float) -> None:
    poll, now, polls = 0.001, 0.0, 0
    while now < ends_after:
        now += poll + pause(poll, now)
        polls += 1
    late = now - ends_after
    assert late <= min(max(SHORTEST_S, ends_after / 8), LONGEST_S) + 2 * poll
    assert polls <= 42 + ends_after


@given(ends_after=st.floats(0.0, 20.0))
def test_somebody_who_asks_sees_the_end_sooner_and_costs_no_poll_each_time(ends_after: float) -> None:
    poll, now, polls = 0.001, 0.0, 0
    while now < ends_after:
        now += poll + pause_when_asked(poll, now)
        polls += 1
    assert now - ends_after <= max(SHORTEST_S, ends_after / 20) + 2 * poll
    assert polls <= 110


@given(poll=st.floats(0.01, 10.0))
def test_slow_polls_are_not_repeated_soon_whatever_happens(poll: float) -> None:
    assert least_pause(poll) >= min(8 * poll, LONGEST_S)
