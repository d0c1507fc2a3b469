"""`X-Miroir-Over-Fetch`: how many times the hits wanted each node is asked for, in one search by vector."""

from __future__ import annotations

import re
from typing import Final

from miroir.api.messages import Request

_HEADER: Final = b"x-miroir-over-fetch"
_FACTOR: Final = re.compile(rb"[1-9][0-9]?|100")


def over_fetch(request: Request) -> int | None:
    """The header's factor, 1 to 100, in place of `vector_search.over_fetch_factor`; None without one.

    A malformed header is ignored.
    """
    given = request.headers.get(_HEADER)
    return int(given) if given is not None and _FACTOR.fullmatch(given) else None
