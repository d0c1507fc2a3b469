"""Who is asked about credentials that nobody knows, and knows none either."""

from __future__ import annotations

import trio

from miroir.errors import ApiError
from miroir.security import Keyring


def no_keys() -> Keyring:
    """The keyring of nodes that show us no keys."""
    keyring = Keyring()
    keyring.unmanaged = True
    return keyring


class Nobody:
    """Has no nodes to look at."""

    def __init__(self) -> None:
        self.looks = 0
        self.refused: list[bytes] = []

    async def look(self) -> None:
        await trio.lowlevel.checkpoint()
        self.looks += 1

    async def refusal(self, token: bytes) -> ApiError | None:
        await trio.lowlevel.checkpoint()
        self.refused.append(token)
        return None
