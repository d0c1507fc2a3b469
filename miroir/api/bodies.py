"""Reading request bodies, with a bound on how much of them is held at once by the whole process."""

from __future__ import annotations

from types import TracebackType

from miroir.errors import miroir_error
from miroir.http import ClientDisconnected, Receive


class BodyBudget:
    """At most `limit` bytes of request bodies in memory; who comes beyond that is told to come again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def body(self, receive: Receive) -> HeldBody:
        """`async with budget.body(receive) as body:` is the whole body, counted while the block runs.

        `ApiError`: 413 and 400 of the server, 503 `miroir_overloaded` beyond the budget. `ClientDisconnected` when the
        rest does not come.
        """
        return HeldBody(self, receive)


class HeldBody:
    """A body and the room it takes. A class, for every request makes one: a generator's context costs ten times it."""

    __slots__ = ("_budget", "_receive", "_size")

    def __init__(self, budget: BodyBudget, receive: Receive) -> None:
        self._budget = budget
        self._receive = receive
        self._size = 0

    async def __aenter__(self) -> bytes:
        try:
            return await self._read()
        except BaseException:
            self._budget.held -= self._size
            raise

    async def _read(self) -> bytes:
        budget = self._budget
        chunks: list[bytes] = []
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk: bytes = event.get("body", b"")
            self._size += len(chunk)
            budget.held += len(chunk)
            if budget.held > budget.limit:
                raise miroir_error("miroir_overloaded", "Too many large requests at once. Try again shortly.")
            chunks.append(chunk)
            if not event.get("more_body"):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.held -= self._size
