"""Times as Meilisearch writes them, in order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.store.rfc3339 import nanoseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01t01:00:01.5+01:00", 1_500_000_000),
        ("1969-12-31 23:30:00-00:30", 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("9999-12-31T23:59:59Z", 2**63 - 1),
        ("0001-01-01T00:00:00Z", -(2**63) + 1),
    ],
)
def test_instants(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01T00:00:61Z", "２026-01-01T00:00:00Z"],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        nanoseconds(text)


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.integers(0, 999_999_999))  # noqa: DTZ001 - UTC is added
def test_order_is_that_of_time(moment: datetime, nanos: int) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    text = f"{whole:%Y-%m-%dT%H:%M:%S}".rjust(19, "0")
    fraction = f"{nanos:09}".rstrip("0")
    written = f"{text}.{fraction}Z" if fraction else f"{text}Z"
    assert nanoseconds(written) == int(whole.timestamp()) * 1_000_000_000 + nanos
