"""Times and durations, in the texts Meilisearch writes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.tasks import now_text
from miroir.tasks.clock import duration, nanoseconds_of, text_of

moments = st.integers(0, 4_000_000_000 * 10**9)


@given(moments)
def test_a_text_names_its_moment_to_the_nanosecond(moment: int) -> None:
    text = text_of(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", text)
    assert nanoseconds_of(text) == moment


@given(moments, moments)
def test_texts_sort_as_their_moments_do(one: int, other: int) -> None:
    assert (text_of(one) < text_of(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-02T00:00:00.1234567899Z", 86_400_123_456_789),
    ],
)
def test_fractions_of_any_length_are_read(text: str, nanoseconds: int) -> None:
    assert nanoseconds_of(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_what_names_no_moment_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        nanoseconds_of(text)


def test_now_is_between_before_and_after() -> None:
    assert now_text() <= now_text()


START = "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("finish", "text"),
    [
        ("2026-03-01T12:00:00.003837146Z", "PT0.003837146S"),
        ("2026-03-01T12:00:00.003837Z", "PT0.003837S"),
        ("2026-03-01T12:00:00.25Z", "PT0.250S"),
        ("2026-03-01T12:00:00Z", "PT0S"),
        ("2026-03-01T12:01:05.1Z", "PT65.100S"),
        ("2026-03-02T12:00:00Z", "P1D"),
        ("2026-03-03T12:00:07.000000001Z", "P2DT7.000000001S"),
    ],
)
def test_durations_are_written_as_a_node_writes_them(finish: str, text: str) -> None:
    assert duration(START, finish) == text


def test_a_clock_that_went_back_gives_no_negative_duration() -> None:
    assert duration("2026-03-01T12:00:01Z", START) == "PT0S"


def test_no_duration_without_both_ends() -> None:
    assert duration(None, START) is None
    assert duration(START, None) is None
