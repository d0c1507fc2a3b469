"""`X-Miroir-Over-Fetch`: a whole number from 1 to 100; anything else is as good as none."""

from __future__ import annotations

import pytest

from miroir.api.messages import Request
from miroir.api.over_fetch import over_fetch


@pytest.mark.parametrize(
    ("given", "factor"),
    [(b"1", 1), (b"10", 10), (b"99", 99), (b"100", 100), (b"0", None), (b"101", None), (b"01", None), (b"-1", None),
     (b"2.5", None), (b"", None), (b"3 ", None), (b"many", None)],
)  # fmt: skip
def test_the_header(given: bytes, factor: int | None) -> None:
    assert over_fetch(Request("POST", "/", b"", {b"x-miroir-over-fetch": given}, b"")) == factor


def test_without_the_header() -> None:
    assert over_fetch(Request("POST", "/", b"", {}, b"")) is None
