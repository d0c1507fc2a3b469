"""How much a client may send, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds on one connection and on all of them. Sizes are bytes, `_s` fields are seconds.

    Timeouts are kept by one sweep over all connections, not by a cancel scope each, so they fire up to a second late
    (a quarter of the shortest timeout, when that is less).
    """

    max_head_bytes: int = 65536
    """Request line and headers together; a longer head is refused with 431. Also bounds trailers."""

    max_headers: int = 100
    """Header lines in a head; more are refused with 431."""

    max_body_bytes: int = 104857600
    """Body after chunk decoding; more is refused with 413, in Meilisearch's words."""

    head_timeout_s: float = 15.0
    """From the first byte of a head (on a new connection: from accepting it) to its last; then 408."""

    body_idle_timeout_s: float = 30.0
    """Longest silence while the app waits for body bytes; then 408."""

    min_body_rate: int = 500
    """Bytes a second a body must keep up, beyond one `body_idle_timeout_s` of grace: a drip is not progress."""

    idle_timeout_s: float = 75.0
    """How long a connection may wait for its next request; then it is closed without a word."""

    send_timeout_s: float = 30.0
    """Longest time in which a client takes none of an answer (counted per 256 KiB); then it is taken for gone."""

    max_connections: int = 20_000
    """Beyond this, connections that wait for a request are closed to make room, oldest first."""

    def shortest_timeout_s(self) -> float:
        """The timeout that decides how often connections must be looked at."""
        return min(self.head_timeout_s, self.body_idle_timeout_s, self.idle_timeout_s, self.send_timeout_s)
