"""Times in filters: what is taken, and which instant is meant."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.api.messages import Request
from miroir.api.task_filters import moment, page_of_tasks, selection
from miroir.errors import ApiError
from miroir.store import TaskQuery
from miroir.store.rfc3339 import nanoseconds


@given(st.dates(min_value=date(1700, 1, 1), max_value=date(2200, 1, 1)))
def test_a_date_is_its_first_instant_or_the_one_after_its_last(day: date) -> None:
    begin = nanoseconds(moment(day.isoformat(), end_of_day=False))
    assert nanoseconds(moment(day.isoformat(), end_of_day=True)) - begin == 86_400 * 10**9
    assert nanoseconds(f"{day.isoformat()}T00:00:00Z") == begin


@given(st.datetimes(), st.integers(0, 999_999_999), st.booleans())
def test_a_time_keeps_every_digit(at: datetime, fraction: int, end_of_day: bool) -> None:
    text = f"{at.year:04d}-{at:%m-%dT%H:%M:%S}.{fraction:09d}Z"
    assert moment(text, end_of_day=end_of_day) == text


@given(st.text(max_size=30))
def test_whatever_is_taken_the_store_can_compare(text: str) -> None:
    for end_of_day in (False, True):
        try:
            taken = moment(text, end_of_day=end_of_day)
        except ValueError:
            continue
        assert isinstance(nanoseconds(taken), int)


def test_the_edges_of_the_calendar() -> None:
    last = moment("9999-12-31", end_of_day=True)
    assert nanoseconds(last) == nanoseconds("9999-12-31T23:59:59Z")
    first = moment("0000-01-01", end_of_day=False)
    assert nanoseconds(first) <= nanoseconds("0001-01-01T00:00:00Z")
    assert nanoseconds(moment("0000-06-01T00:00:00+01:00", end_of_day=True)) == nanoseconds(first)


def request(query: str) -> Request:
    return Request("GET", "/tasks", query.encode(), {}, b"")


def test_a_batch_has_the_number_of_its_task() -> None:
    query = page_of_tasks(request("uids=1,2,mtask-3&batchUids=2,3,4&limit=5&from=9&reverse=true"))
    assert query == TaskQuery(uids=frozenset({2, 3}), limit=5, start=9, reverse=True)


@pytest.mark.parametrize("query", ["uids=*", "uids=", "afterEnqueuedAt=*", "statuses=*,failed"])
def test_any_filter_is_enough_to_select_by(query: str) -> None:
    assert selection(request(query), "cancel").limit == 20


@pytest.mark.parametrize("query", ["", "&"])
def test_without_a_filter_nothing_is_selected(query: str) -> None:
    with pytest.raises(ApiError) as refused:
        selection(request(query), "delete")
    assert (refused.value.status, refused.value.code) == (400, "missing_task_filters")


def test_a_selection_takes_no_page() -> None:
    with pytest.raises(ApiError, match="Unknown parameter `limit`"):
        selection(request("uids=1&limit=1"), "delete")


def test_a_day_is_a_day() -> None:
    day = date(2026, 2, 28)
    assert moment("2026-02-28", end_of_day=True) == f"{day + timedelta(days=1)}T00:00:00Z"
