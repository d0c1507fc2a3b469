"""Times as Meilisearch writes them: RFC 3339 in UTC with nanoseconds, durations as ISO 8601 seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns

_NS = 1_000_000_000
_DAY_S = 86_400


def now_text() -> str:
    """This moment, as `enqueuedAt` shows it."""
    return text_of(time_ns())


def text_of(unix_ns: int) -> str:
    """Nanoseconds of the Unix clock as a time text."""
    seconds, nanoseconds = divmod(unix_ns, _NS)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{nanoseconds:09d}Z"


def nanoseconds_of(text: str) -> int:
    """The moment a time text names; `ValueError` if it is none."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * _NS + (int(fraction[:9].ljust(9, "0")) if fraction else 0)


def duration(started_at: str | None, finished_at: str | None) -> str | None:
    """From start to finish, `PT0.003837146S`; None while either is missing.

    As a node writes it: days apart, and the fraction in three, six or nine digits, or none.
    """
    if started_at is None or finished_at is None:
        return None
    seconds, nanoseconds = divmod(max(nanoseconds_of(finished_at) - nanoseconds_of(started_at), 0), _NS)
    days, seconds = divmod(seconds, _DAY_S)
    whole = f"P{days}D" if days else "P"
    if days and not (seconds or nanoseconds):
        return whole
    digits = f"{nanoseconds:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{whole}T{seconds}.{digits}S" if digits else f"{whole}T{seconds}S"
