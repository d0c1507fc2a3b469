"""RFC 3339 texts as instants. Texts do not sort: `...00Z` stands behind `...00.5Z`, and fractions differ in length."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_TEXT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 2**63 - 1


def nanoseconds(text: str) -> int:
    """The instant in nanoseconds of the Unix clock, held within 64 bits (1677 to 2262). `ValueError` if it is none.

    Digits beyond the ninth of a fraction are cut off; a leap second counts as the second after it (section 5.7).
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    if second > 60:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    whole = datetime(year, month, day, hour, minute, tzinfo=UTC) - _EPOCH
    seconds = whole // timedelta(seconds=1) + second
    if sign is not None:
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds -= offset if sign == "+" else -offset
    nanos = int((fraction or "0")[:9].ljust(9, "0"))
    return max(-_LAST, min(seconds * 1_000_000_000 + nanos, _LAST))
