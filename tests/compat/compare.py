"""Two answers to one request: equal, or where they differ.

Equal means byte for byte, the time it took and the request's own number aside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_TIMES: Final = re.compile(rb'"processingTimeMs":\d+|,"requestUid":"[^"]*"')


@dataclass(frozen=True)
class Answer:
    """What one side said."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON; as text if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")

    @property
    def canonical(self) -> tuple[int, bytes]:
        """What must be equal."""
        return self.status, _TIMES.sub(b"", self.body)


def differences(left: Any, right: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(left, dict) and isinstance(right, dict):
        for name in [*left, *(name for name in right if name not in left)]:
            if name in ("processingTimeMs", "requestUid"):
                continue
            below = f"{path}.{name}"
            if name not in left or name not in right:
                yield f"{below}: only {'left' if name in left else 'right'}: {_short(left.get(name, right.get(name)))}"
            else:
                yield from differences(left[name], right[name], below)
        if list(left) != list(right) and left.keys() == right.keys():
            yield f"{path}: members in another order: {_short(list(left))} / {_short(list(right))}"
    elif isinstance(left, list) and isinstance(right, list):
        for at, (one, other) in enumerate(zip(left, right, strict=False)):
            yield from differences(one, other, f"{path}[{at}]")
        if len(left) != len(right):
            yield f"{path}: {len(left)} / {len(right)} items"
    elif left != right or type(left) is not type(right):
        yield f"{path}: {_short(left)} / {_short(right)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:160]}…"
