"""Health of a node as this process sees it: from probes, and from what live requests run into.

It decides whom we ask, never whose copy may be trusted: that is `in_sync`, a fact in the store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

HealthStatus = Literal["unknown", "healthy", "degraded", "failed"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Failures in a row that make a node failed, successes in a row that bring it back."""

    unhealthy: int
    recovery: int


@dataclass(frozen=True, slots=True)
class Health:
    """One node's health. `reason` says what was wrong last; `last_seen_ms` when it last answered."""

    status: HealthStatus = "unknown"
    failures: int = 0
    successes: int = 0
    reason: str | None = None
    last_seen_ms: int | None = None
    refuses_key: bool = False
    """Whether that is what was wrong: it opens to none of our calls."""

    @property
    def usable(self) -> bool:
        """Whether requests are sent to it."""
        return self.status in ("healthy", "degraded")


def answered(health: Health, now_ms: int, thresholds: Thresholds) -> Health:
    """The node answered. The first answer ever is enough; a failed node must answer `recovery` times in a row."""
    successes = health.successes + 1
    if health.status == "failed" and successes < thresholds.recovery:
        return replace(health, successes=successes, failures=0, last_seen_ms=now_ms)
    return Health("healthy", 0, successes, None, now_ms)


def missed(health: Health, reason: str, thresholds: Thresholds) -> Health:
    """The node did not answer, or not as a node does. Never seen: failed at once."""
    failures = health.failures + 1
    failed = failures >= thresholds.unhealthy or health.status in ("unknown", "failed")
    return Health("failed" if failed else "degraded", failures, 0, reason, health.last_seen_ms)


def condemned(health: Health, reason: str, *, refuses_key: bool = False) -> Health:
    """The node is not who it should be, or opens to nobody like us: failed at once, whatever it answers."""
    return Health("failed", health.failures + 1, 0, reason, health.last_seen_ms, refuses_key)
